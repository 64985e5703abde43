"""Vectors of photos and captions, computed once per content and model."""

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, exists, select

from schemas.base import Frozen
from storage.database import in_parts, insert_or_update
from storage.tables import image_vectors, posts, text_vectors

Vector = NDArray[np.float32]
_STORED = np.dtype("<f2")
_EDGE = float(np.finfo(_STORED).max)


class Unusable(Frozen):
    """Why something has no vector."""

    problem: str


def save_image_vectors(
    connection: Connection, backbone: str, vectors: Mapping[str, Vector | Unusable]
) -> None:
    """Keep the vectors (float32, (d,)) of photos by content hash, or why there is none."""
    rows = [
        {
            "photo_sha256": sha256,
            "backbone": backbone,
            "vector": None if isinstance(vector, Unusable) else pack(vector),
            "problem": vector.problem if isinstance(vector, Unusable) else None,
        }
        for sha256, vector in vectors.items()
    ]
    insert_or_update(connection, image_vectors, rows, key=["photo_sha256", "backbone"])


def read_image_vectors(
    connection: Connection, backbone: str, photos: Collection[str]
) -> dict[str, Vector | Unusable]:
    """Return what is known of some photos; those never tried are absent."""
    found: dict[str, Vector | Unusable] = {}
    for part in in_parts(photos):
        query = select(
            image_vectors.c.photo_sha256, image_vectors.c.vector, image_vectors.c.problem
        ).where(image_vectors.c.backbone == backbone, image_vectors.c.photo_sha256.in_(part))
        for row in connection.execute(query):
            found[row.photo_sha256] = (
                Unusable(problem=row.problem) if row.vector is None else unpack(row.vector)
            )
    return found


def usable_photos(connection: Connection, backbone: str, photos: Collection[str]) -> list[str]:
    """Return which of some photos have a vector, sorted; those tried in vain are not among them."""
    found: list[str] = []
    for part in in_parts(photos):
        query = select(image_vectors.c.photo_sha256).where(
            image_vectors.c.backbone == backbone,
            image_vectors.c.photo_sha256.in_(part),
            image_vectors.c.vector.is_not(None),
        )
        found.extend(connection.scalars(query))
    return sorted(found)


def known_image_vectors(connection: Connection, backbone: str, photos: Collection[str]) -> set[str]:
    """Return which of some photos have been tried already."""
    found: set[str] = set()
    for part in in_parts(photos):
        query = select(image_vectors.c.photo_sha256).where(
            image_vectors.c.backbone == backbone, image_vectors.c.photo_sha256.in_(part)
        )
        found.update(connection.scalars(query))
    return found


def save_text_vectors(
    connection: Connection, text_model: str, vectors: Mapping[str, Vector | None]
) -> None:
    """Keep the vectors of captions by the hash of their cleaned text; None: no known word."""
    rows = [
        {
            "caption_sha256": sha256,
            "text_model": text_model,
            "vector": None if vector is None else pack(vector),
        }
        for sha256, vector in vectors.items()
    ]
    insert_or_update(connection, text_vectors, rows, key=["caption_sha256", "text_model"])


def read_text_vectors(
    connection: Connection, text_model: str, captions: Collection[str]
) -> dict[str, Vector | None]:
    """Return what is known of some captions; those never tried are absent."""
    found: dict[str, Vector | None] = {}
    for part in in_parts(captions):
        query = select(text_vectors.c.caption_sha256, text_vectors.c.vector).where(
            text_vectors.c.text_model == text_model, text_vectors.c.caption_sha256.in_(part)
        )
        for row in connection.execute(query):
            found[row.caption_sha256] = None if row.vector is None else unpack(row.vector)
    return found


def known_text_vectors(
    connection: Connection, text_model: str, captions: Collection[str]
) -> set[str]:
    """Return which of some captions have been tried already."""
    found: set[str] = set()
    for part in in_parts(captions):
        query = select(text_vectors.c.caption_sha256).where(
            text_vectors.c.text_model == text_model, text_vectors.c.caption_sha256.in_(part)
        )
        found.update(connection.scalars(query))
    return found


def forget_unused_captions(connection: Connection, captions: Collection[str]) -> None:
    """Delete the vectors of those captions that no post says any more."""
    for part in in_parts(captions):
        connection.execute(
            delete(text_vectors).where(
                text_vectors.c.caption_sha256.in_(part),
                ~exists().where(posts.c.caption_sha256 == text_vectors.c.caption_sha256),
            )
        )


def pack(vector: Vector) -> bytes:
    """Turn a vector into bytes: half precision costs a cosine of 1e-7 and halves the store.

    Values beyond float16's range are brought to its edge.
    """
    return np.clip(vector, -_EDGE, _EDGE).astype(_STORED).tobytes()


def unpack(data: bytes) -> Vector:
    """Turn bytes from ``pack`` into a float32 vector."""
    return np.frombuffer(data, _STORED).astype(np.float32)
