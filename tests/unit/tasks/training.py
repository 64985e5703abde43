"""A whole training on drawn vectors, run in this process, stage by stage."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import insert

from schemas.runs import Run, RunKind, RunState
from storage.crawl_tables import tagged_post_photos, tagged_posts
from storage.photos import PhotoRow, add_photos
from storage.runs import create_run, read_run
from storage.stages import add_stages, finish_stage, read_stages
from storage.training import NewExample, add_examples
from storage.vectors import save_image_vectors
from tasks.context import Context
from tasks.marks import remembering
from tasks.stages import run_stage
from tasks.start import TrainingOptions, plan_training
from tasks.train import STEPS, stages_for
from tests.unit.tasks.builders import BACKBONE

CLASSES = ("comida", "deporte", "moda", "otra")
WORDS = {
    "comida": "rica receta con tomate y queso en casa #comida",
    "deporte": "entreno fuerte carrera y gol del equipo #deporte",
    "moda": "vestido nuevo con zapatos de temporada #moda",
}


def sha(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def draw_vectors(names: Sequence[str], categories: Sequence[str]) -> dict[str, Any]:
    """A vector a photo, near its category's corner."""
    found = {}
    for name, category in zip(names, categories, strict=True):
        rng = np.random.default_rng(int(sha(name)[:8], 16))
        corner = 2.5 * np.eye(len(CLASSES), BACKBONE.width)[CLASSES.index(category)]
        found[sha(name)] = (corner + rng.normal(size=BACKBONE.width)).astype(np.float32)
    return found


def add_photos_of(
    resources: Context, category: str, count: int, *, source: str = "dev", captions: bool = False
) -> None:
    """Store labelled photos of one category with their vectors."""
    names = [f"{source} {category} {number}" for number in range(count)]
    rows = [PhotoRow(sha256=sha(n), size_bytes=9, width=8, height=8, format="jpeg") for n in names]
    examples = [
        NewExample(
            source=source,
            photo_sha256=sha(name),
            category=category,
            split="train",
            caption=f"{WORDS[category]} {number % 7}" if captions and category in WORDS else "",
        )
        for number, name in enumerate(names)
    ]
    with resources.database.write() as connection:
        add_photos(connection, rows)
        add_examples(connection, examples)
        vectors = draw_vectors(names, [category] * count)
        save_image_vectors(connection, BACKBONE.hash, vectors)


def add_tagged(
    resources: Context,
    tag_says: str,
    truth: str,
    count: int,
    *,
    author: str = "ana",
    posted_at: datetime | None = None,
) -> None:
    """Store tagged posts of one author whose photos show ``truth``, whatever their tag says."""
    now = datetime.now(UTC)
    for number in range(count):
        name = f"tagged {author} {tag_says} {truth} {number}"
        with resources.database.write() as connection:
            photo = PhotoRow(sha256=sha(name), size_bytes=9, width=8, height=8, format="jpeg")
            add_photos(connection, [photo])
            save_image_vectors(connection, BACKBONE.hash, draw_vectors([name], [truth]))
            post = insert(tagged_posts).values(
                source="instagram",
                external_id=name,
                tag=tag_says,
                category=tag_says,
                caption=f"{WORDS[tag_says]} {number % 5}",
                username=author,
                posted_at=posted_at,
                created_at=now,
            )
            key = connection.execute(post).inserted_primary_key
            assert key is not None
            place = {"post_id": key[0], "position": 0, "photo_sha256": sha(name)}
            connection.execute(insert(tagged_post_photos).values(place))


def begin(resources: Context, **options: Any) -> Run:
    """Record a training on what is stored, past the stages that need a backbone."""
    params, _left_out = plan_training(
        resources, CLASSES[:-1], backbone="toy", seed=0, options=TrainingOptions(**options)
    )
    with resources.database.write() as connection:
        run_id = create_run(connection, RunKind.TRAIN, params=params)
        add_stages(connection, run_id, stages_for(params))
        finish_stage(connection, run_id, "backbone", output=BACKBONE.model_dump())
        finish_stage(connection, run_id, "vectors", output={"rows": 0})
        return read_run(connection, run_id)


def train(resources: Context, **options: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Run every stage of a training; return what each left behind and how each ended."""
    run = begin(resources, **options)
    endings = {}
    for stage, (mark_of, compute) in STEPS.items():
        endings[stage] = run_stage(run.id, 0, stage, remembering(stage, mark_of, compute))
    with resources.database.read() as connection:
        stages = read_stages(connection, run.id)
        failed = read_run(connection, run.id)
    assert failed.state is RunState.RUNNING, failed.error
    return {name: stage.output for name, stage in stages.items()}, endings
