"""How long a training takes whose photos have their vectors already.

Run it as ``make bench NAME=training``. Vectors are drawn, captions composed; every stage after the
vectors runs in this process, as the workers run them.
"""

import argparse
import hashlib
import json
import os
import resource
import time
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.report import describe_machine, note
from pipelines.sources.samples.canvas import seed_random
from pipelines.sources.samples.captions import compose_caption
from schemas.bundles import BackboneRef
from schemas.methods import DEFAULT_METHODS, parse_methods
from schemas.runs import RunKind, RunState
from storage.photos import PhotoRow, add_photos
from storage.runs import create_run, read_run
from storage.stages import add_stages, finish_stage, read_stages
from storage.training import NewExample, add_examples
from storage.vectors import save_image_vectors
from tasks.context import Context, adopt_settings, context
from tasks.marks import remembering
from tasks.stages import run_stage
from tasks.start import TrainingOptions, plan_training
from tasks.train import STEPS, stages_for

FIVE = ("animal", "comida", "deporte", "moda", "viajes")
BACKBONE = BackboneRef(name="drawn", hash="drawn", width=512)


def main() -> None:
    """Measure and print the result, as the last line in JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=10_000)
    parser.add_argument("--methods", default=",".join(DEFAULT_METHODS))
    options = parser.parse_args()
    with TemporaryDirectory(prefix="afin-bench-") as folder:
        adopt_settings(
            {
                "AFIN_DATA_DIR": folder,
                "AFIN_BROKER_URL": "memory://",
                "AFIN_RESULT_URL": "cache+memory://",
            }
        )
        resources = context()
        note("Storing drawn vectors and captions ...")
        store_posts(resources, options.posts)
        figures = run_stages(resources, parse_methods(options.methods))
        resources.database.close()
    document = {
        "bench": "training",
        "ratios": {},
        "figures": {"posts": options.posts, "methods": options.methods, **figures},
        "machine": describe_machine(),
    }
    print(json.dumps(document))


def store_posts(resources: Context, count: int) -> None:
    """Store labelled photos with captions, their vectors near their category's corner."""
    rng = np.random.default_rng(0)
    words = seed_random("bench/training")
    corners = rng.normal(size=(len(FIVE), BACKBONE.width))
    names = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]
    places = [number % len(FIVE) for number in range(count)]
    examples = [
        NewExample(
            source="drawn",
            photo_sha256=name,
            category=FIVE[place],
            split="train",
            caption=compose_caption(FIVE[place], words),
        )
        for name, place in zip(names, places, strict=True)
    ]
    vectors: dict[str, Any] = {
        name: (0.3 * corners[place] + rng.normal(size=BACKBONE.width)).astype(np.float32)
        for name, place in zip(names, places, strict=True)
    }
    rows = [PhotoRow(sha256=n, size_bytes=1, width=8, height=8, format="jpeg") for n in names]
    with resources.database.write() as connection:
        add_photos(connection, rows)
        add_examples(connection, examples)
        save_image_vectors(connection, BACKBONE.hash, vectors)


def run_stages(resources: Context, methods: tuple[str, ...]) -> dict[str, Any]:
    """Run every stage after the vectors, and return how long each took."""
    params, _left_out = plan_training(
        resources, FIVE, backbone="drawn", seed=0, options=TrainingOptions(methods=methods)
    )
    with resources.database.write() as connection:
        run_id = create_run(connection, RunKind.TRAIN, params=params)
        add_stages(connection, run_id, stages_for(params))
        finish_stage(connection, run_id, "backbone", output=BACKBONE.model_dump())
        finish_stage(connection, run_id, "vectors", output={"rows": 0})
    started, busy, apart = time.perf_counter(), time.process_time(), _children_s()
    for stage, (mark_of, compute) in STEPS.items():
        note(f"{stage}: {run_stage(run_id, 0, stage, remembering(stage, mark_of, compute))}")
    seconds, cpu = time.perf_counter() - started, time.process_time() - busy
    fasttext = _children_s() - apart
    with resources.database.read() as connection:
        stages = read_stages(connection, run_id)
        ended = read_run(connection, run_id)
    if ended.state is not RunState.RUNNING:
        raise SystemExit(ended.error)
    took = {name: round(stage.seconds, 1) for name, stage in stages.items() if stage.seconds}
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds_without_fasttext": round(cpu, 1),
        "cpu_seconds_of_fasttext": round(fasttext, 1),
        "load": round(os.getloadavg()[0], 1),
        "stages": took,
        "fused": (stages["fuse"].output or {})["left_out"],
    }


def _children_s() -> float:
    """Return the processor time of processes that were waited for: fastText's."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
