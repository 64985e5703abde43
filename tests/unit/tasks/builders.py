"""Small accounts, bundles and runs for tests of what is queued."""

import hashlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.bundle import write_bundle
from pipelines.fusion.network import InputScale, Network
from pipelines.fusion.reduce import fit_reducer
from schemas.bundles import BackboneRef, TextModelRef
from schemas.runs import Run, RunKind
from storage.accounts import NewPost, PhotoPlace
from storage.bundles import add_bundle, bundle_key
from storage.members import add_members, claim_members
from storage.runs import create_run, read_run
from storage.vectors import save_image_vectors, save_text_vectors
from tasks.context import Context
from tests.unit.storage import builders as rows

CATEGORIES = ("comida", "deporte")
BACKBONE = BackboneRef(name="toy", hash="b" * 16, width=6)
TEXT_WIDTH = 4
REDUCED_WIDTH = 3


def draw(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def publish_toy_bundle(resources: Context, folder: Path, *, with_text: bool = True) -> str:
    """Publish a bundle whose weights were drawn by lot; its text model is never loaded here."""
    text_path = folder / "text.bin"
    text_path.write_bytes(b"a text model")
    digest = hashlib.sha256(text_path.read_bytes()).hexdigest()[:16]
    halves = ("image", "text") if with_text else ("image",)
    fields: dict[str, Any] = {
        "classes": CATEGORIES,
        "reject": True,
        "halves": halves,
        "backbone": BACKBONE,
        "text_model": TextModelRef(name="toy", hash=digest, width=TEXT_WIDTH)
        if with_text
        else None,
        "methods": ("nn",),
        "post_threshold": 0.4,
        "share_thresholds": dict.fromkeys(CATEGORIES, 0.28),
        "min_posts": 2,
        "training": {},
        "metrics": {},
        "versions": {},
        "seed": 0,
        "created_at": datetime(2026, 1, 5, tzinfo=UTC),
    }
    network = Network(
        InputScale(np.zeros(REDUCED_WIDTH, np.float32), 1.0),
        InputScale(np.zeros(TEXT_WIDTH, np.float32), 1.0),
        ((draw(1, REDUCED_WIDTH + TEXT_WIDTH, 3), np.zeros(3, np.float32)),),
        ("image", "text") if with_text else ("image",),
    )
    bundle_id, path = write_bundle(
        folder / "bundles",
        fields,
        reducer=fit_reducer(draw(2, 20, BACKBONE.width), REDUCED_WIDTH),
        network=network,
        text_model_path=text_path if with_text else None,
    )
    resources.blobs.publish_folder(bundle_key(bundle_id), path)
    with resources.database.write() as connection:
        add_bundle(connection, bundle_id, resources.bundle(bundle_id).manifest)
    return bundle_id


def shows(*names: str) -> list[PhotoPlace]:
    """The places of stored photos with that content."""
    return [PhotoPlace(sha256=rows.photo(name)) for name in names]


def add_account(
    resources: Context, username: str, posts: Sequence[NewPost], *, photos: Collection[str] = ()
) -> int:
    """Store an account with posts and the rows of the photos that they show; return its id."""
    with resources.database.write() as connection:
        for name in photos:
            rows.add_photo(connection, name)
        return rows.add_account(connection, username, posts)


def keep_vectors(
    resources: Context, bundle_id: str, *, photos: Sequence[str] = (), captions: Sequence[str] = ()
) -> None:
    """Keep a vector of each of these photos and captions, as the bundle's models would."""
    manifest = resources.bundle(bundle_id).manifest
    with resources.database.write() as connection:
        images = {rows.photo(name): draw(len(name), BACKBONE.width) for name in photos}
        save_image_vectors(connection, manifest.backbone.hash, images)
        if manifest.text_model is not None:
            texts = {rows.photo(text): draw(len(text), TEXT_WIDTH) for text in captions}
            save_text_vectors(connection, manifest.text_model.hash, texts)


def start_run(
    resources: Context, bundle_id: str, members: Collection[int], *, urgent: bool = False
) -> Run:
    """Record a run whose members are all in flight already."""
    with resources.database.write() as connection:
        run_id = create_run(
            connection, RunKind.CLASSIFY, params={"urgent": urgent}, bundle_id=bundle_id
        )
        add_members(connection, run_id, members)
        claim_members(connection, run_id, window=len(members))
        return read_run(connection, run_id)
