"""Vectors of photos and captions, computed once per content and model."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, delete, exists, select

from schemas.base import Frozen
from storage.bulk import among
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
    usable = {key: one for key, one in vectors.items() if not isinstance(one, Unusable)}
    rows: list[dict[str, Any]] = [
        {"photo_sha256": sha256, "backbone": backbone, "vector": packed, "problem": None}
        for sha256, packed in zip(usable, pack_all(list(usable.values())), strict=True)
    ]
    rows += [
        {"photo_sha256": sha256, "backbone": backbone, "vector": None, "problem": one.problem}
        for sha256, one in vectors.items()
        if isinstance(one, Unusable)
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
        ).where(
            image_vectors.c.backbone == backbone,
            among(connection, image_vectors.c.photo_sha256, part),
        )
        rows = connection.execute(query).all()
        found |= {row[0]: Unusable(problem=row[2]) for row in rows if row[1] is None}
        found |= _unpack_rows([row for row in rows if row[1] is not None])
    return found


def usable_photos(connection: Connection, backbone: str, photos: Collection[str]) -> list[str]:
    """Return which of some photos have a vector, sorted; those tried in vain are not among them."""
    found: list[str] = []
    for part in in_parts(photos):
        query = select(image_vectors.c.photo_sha256).where(
            image_vectors.c.backbone == backbone,
            among(connection, image_vectors.c.photo_sha256, part),
            image_vectors.c.vector.is_not(None),
        )
        found.extend(connection.scalars(query))
    return sorted(found)


def known_image_vectors(connection: Connection, backbone: str, photos: Collection[str]) -> set[str]:
    """Return which of some photos have been tried already."""
    found: set[str] = set()
    for part in in_parts(photos):
        query = select(image_vectors.c.photo_sha256).where(
            image_vectors.c.backbone == backbone,
            among(connection, image_vectors.c.photo_sha256, part),
        )
        found.update(connection.scalars(query))
    return found


def save_text_vectors(
    connection: Connection, text_model: str, vectors: Mapping[str, Vector | None]
) -> None:
    """Keep the vectors of captions by the hash of their cleaned text; None: no known word."""
    packed = iter(pack_all([vector for vector in vectors.values() if vector is not None]))
    rows = [
        {
            "caption_sha256": sha256,
            "text_model": text_model,
            "vector": None if vector is None else next(packed),
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
            text_vectors.c.text_model == text_model,
            among(connection, text_vectors.c.caption_sha256, part),
        )
        rows = connection.execute(query).all()
        found |= {row[0]: None for row in rows if row[1] is None}
        found |= _unpack_rows([row for row in rows if row[1] is not None])
    return found


def known_text_vectors(
    connection: Connection, text_model: str, captions: Collection[str]
) -> set[str]:
    """Return which of some captions have been tried already."""
    found: set[str] = set()
    for part in in_parts(captions):
        query = select(text_vectors.c.caption_sha256).where(
            text_vectors.c.text_model == text_model,
            among(connection, text_vectors.c.caption_sha256, part),
        )
        found.update(connection.scalars(query))
    return found


def forget_unused_captions(connection: Connection, captions: Collection[str]) -> None:
    """Delete the vectors of those captions that no post says any more."""
    for part in in_parts(captions):
        connection.execute(
            delete(text_vectors).where(
                among(connection, text_vectors.c.caption_sha256, part),
                ~exists().where(posts.c.caption_sha256 == text_vectors.c.caption_sha256),
            )
        )


def _unpack_rows(rows: Sequence[Row[*tuple[Any, ...]]]) -> dict[str, Vector]:
    """Return vectors by the hash before them; all of a model have one width."""
    width = len(rows[0][1]) // _STORED.itemsize if rows else 1
    vectors = unpack_all([row[1] for row in rows], width)
    return {row[0]: vector for row, vector in zip(rows, vectors, strict=True)}


def pack(vector: Vector) -> bytes:
    """Turn a vector into bytes: half precision costs a cosine of 1e-7 and halves the store.

    Values beyond float16's range are brought to its edge.
    """
    return pack_all([vector])[0]


def pack_all(vectors: Sequence[Vector]) -> list[bytes]:
    """Turn vectors of one width into bytes, as ``pack`` does, all at once."""
    if not vectors:
        return []
    packed = np.clip(np.stack(vectors), -_EDGE, _EDGE).astype(_STORED)
    return [row.tobytes() for row in packed]


def as_stored(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors (n, d) as they will be read once they were kept."""
    return np.clip(vectors, -_EDGE, _EDGE).astype(_STORED).astype(np.float32)


def unpack(data: bytes) -> Vector:
    """Turn bytes from ``pack`` into a float32 vector."""
    return np.frombuffer(data, _STORED).astype(np.float32)


def unpack_all(data: Sequence[bytes], width: int) -> NDArray[np.float32]:
    """Turn n vectors' bytes into float32 (n, width)."""
    return np.frombuffer(b"".join(data), _STORED).reshape(-1, width).astype(np.float32)
