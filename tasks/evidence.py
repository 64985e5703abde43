"""Posts and their stored vectors, brought into the arrays that a bundle judges."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.bundle import Bundle
from pipelines.verdict import PostVectors
from storage.accounts import PostRow
from storage.evidence import Evidence
from storage.vectors import read_image_vectors, read_text_vectors
from tasks.context import Context


def arrange(bundle: Bundle, evidence: Evidence) -> PostVectors:
    """Bring what was read of accounts into the arrays that a bundle judges."""
    texts = dict(zip(bundle.manifest.text_models, evidence.texts, strict=True))
    manifest = bundle.manifest
    text = texts.get(manifest.text_model) if manifest.text_model else None
    supervised = texts.get(manifest.supervised_model) if manifest.supervised_model else None
    count = len(evidence.post_ids)
    return PostVectors(
        post_ids=evidence.post_ids,
        photos=evidence.photos,
        owners=evidence.owners,
        text=text.vectors if text else np.zeros((count, bundle.network.text.width), np.float32),
        has_text=text.usable if text else np.zeros(count, np.bool_),
        supervised=supervised.vectors if supervised else None,
    )


def stack_posts(resources: Context, bundle: Bundle, posts: Sequence[PostRow]) -> PostVectors:
    """Bring any posts into the arrays that a bundle judges; vectors that are gone count as missing.

    They need not be an account's: photos and captions are found by their hashes.
    """
    manifest = bundle.manifest
    shown = {place.sha256 for post in posts for place in post.photos if place.sha256}
    said = {post.caption_sha256 for post in posts if post.caption_sha256}
    with resources.database.read() as connection:
        images = read_image_vectors(connection, manifest.backbone.hash, shown)
        texts, supervised = (
            read_text_vectors(connection, ref.hash, said) if ref else {}
            for ref in (manifest.text_model, manifest.supervised_model)
        )
    photos: list[NDArray[np.float32]] = []
    owners: list[int] = []
    for row, post in enumerate(posts):
        for place in post.photos:
            vector = images.get(place.sha256) if place.sha256 else None
            if isinstance(vector, np.ndarray):
                photos.append(vector)
                owners.append(row)
    text, has_text = _stack_captions(posts, texts, bundle.network.text.width)
    ref = manifest.supervised_model
    return PostVectors(
        post_ids=[post.id for post in posts],
        photos=np.stack(photos) if photos else np.zeros((0, manifest.backbone.width), np.float32),
        owners=np.array(owners, np.int64),
        text=text,
        has_text=has_text,
        supervised=_stack_captions(posts, supervised, ref.width)[0] if ref else None,
    )


def _stack_captions(
    posts: Sequence[PostRow], known: dict[str, NDArray[np.float32] | None], width: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    vectors = np.zeros((len(posts), width), np.float32)
    usable = np.zeros(len(posts), np.bool_)
    for row, post in enumerate(posts):
        vector = known.get(post.caption_sha256) if post.caption_sha256 else None
        if vector is not None:
            vectors[row], usable[row] = vector, True
    return vectors, usable
