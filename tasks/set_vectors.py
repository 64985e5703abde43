"""The vectors of labelled items as one bundle sees them; those that are missing are computed."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.verdict import PostVectors
from schemas.bundles import BundleManifest
from storage.vectors import known_image_vectors, read_image_vectors, read_text_vectors
from tasks.context import Context
from tasks.images import embed_photos
from tasks.labelled import Item
from tasks.texts import embed_captions

Step = Callable[[int, int], None]
"""Called with photos done and photos in all while vectors are computed."""


def gather_vectors(
    resources: Context, bundle_id: str, items: Sequence[Item], on_step: Step
) -> PostVectors:
    """Return the vectors of items as one bundle sees them; missing ones are computed and kept.

    They are computed in this process, on the device that the settings name, so that no worker is
    needed.

    Raises:
        WeightsError: the bundle's backbone cannot be had here.
    """
    bundle = resources.bundle(bundle_id)
    manifest = bundle.manifest
    shown = {sha256 for item in items for sha256 in item.photos}
    said = {item.caption_sha256: item.caption for item in items if item.caption_sha256}
    if "image" in manifest.halves:
        _embed_missing(resources, manifest, shown, on_step)
    if manifest.text_model is not None:
        embed_captions(resources, bundle_id, said)
    with resources.database.read() as connection:
        images = read_image_vectors(connection, manifest.backbone.hash, shown)
        texts = (
            read_text_vectors(connection, manifest.text_model.hash, said)
            if manifest.text_model
            else {}
        )
    photos: list[NDArray[np.float32]] = []
    owners: list[int] = []
    text = np.zeros((len(items), bundle.network.text.width), np.float32)
    has_text = np.zeros(len(items), np.bool_)
    for row, item in enumerate(items):
        for sha256 in item.photos:
            vector = images.get(sha256)
            if isinstance(vector, np.ndarray):
                photos.append(vector)
                owners.append(row)
        words = texts.get(item.caption_sha256) if item.caption_sha256 else None
        if words is not None:
            text[row], has_text[row] = words, True
    width = manifest.backbone.width
    return PostVectors(
        post_ids=range(len(items)),
        photos=np.stack(photos) if photos else np.zeros((0, width), np.float32),
        owners=np.array(owners, np.int64),
        text=text,
        has_text=has_text,
    )


def _embed_missing(
    resources: Context, manifest: BundleManifest, shown: set[str], on_step: Step
) -> None:
    ref = manifest.backbone
    with resources.database.read() as connection:
        missing = sorted(shown - known_image_vectors(connection, ref.hash, shown))
    size = resources.settings.shard_photos
    for start in range(0, len(missing), size):
        on_step(start, len(missing))
        embedder = resources.embedder(ref.name, ref)
        embed_photos(resources, embedder, missing[start : start + size], lambda: None)
    if missing:
        on_step(len(missing), len(missing))
