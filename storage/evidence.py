"""What accounts are concluded from: posts, photos, captions, vectors, and what is missing."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, and_, bindparam, case, func, null, or_, select

from schemas.bundles import BackboneRef, TextModelRef
from schemas.runs import EVERY_POST, PostScope
from storage.bulk import among_bound, bind_keys
from storage.photos import in_scope
from storage.tables import image_vectors, post_photos, posts, text_vectors
from storage.vectors import unpack_all

_UNFETCHED = and_(
    post_photos.c.url.is_not(None),
    post_photos.c.photo_sha256.is_(None),
    post_photos.c.problem.is_(None),
)
_EMBEDDED = and_(
    image_vectors.c.photo_sha256 == post_photos.c.photo_sha256,
    image_vectors.c.backbone == bindparam("backbone"),
)


@dataclass(frozen=True)
class Captions:
    """What one text model made of the captions of n posts.

    ``vectors (n, d)`` are zeros where ``usable (n,)`` is False; ``unread`` are the captions by
    their hash that the model has not read yet.
    """

    vectors: NDArray[np.float32]
    usable: NDArray[np.bool_]
    unread: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """The posts of some accounts, one account after the other, and their vectors.

    ``accounts`` says which rows of ``post_ids`` are an account's. ``photos (m, d)`` are the vectors
    of the photos that have one, and ``owners (m,)`` the rows of the posts that show them.
    ``captions`` has the hash of each post's caption, ``texts`` what each text model made of it.
    ``incomplete`` names the accounts with a photo that still has to be fetched or embedded.
    """

    accounts: dict[int, range]
    post_ids: list[int]
    captions: list[str | None]
    photos: NDArray[np.float32]
    owners: NDArray[np.int64]
    texts: tuple[Captions, ...]
    incomplete: frozenset[int]


def read_evidence(
    connection: Connection,
    influencer_ids: Collection[int],
    backbone: BackboneRef,
    models: Sequence[TextModelRef],
    scope: PostScope = EVERY_POST,
) -> Evidence:
    """Return what is known of accounts' posts that count, by their ids; all accounts are named."""
    query = _query(connection.dialect.name, len(models), scope)
    hashes = {f"model{number}": ref.hash for number, ref in enumerate(models)}
    given = {"keys": bind_keys(connection, influencer_ids), "backbone": backbone.hash, **hashes}
    # By account, post and place, whatever order the database finds them in.
    rows = sorted(connection.execute(query, given).all(), key=itemgetter(0, 1, 2))
    found: dict[int, list[int]] = {key: [] for key in sorted(influencer_ids)}
    post_ids: list[int] = []
    captions: list[str | None] = []
    said: list[Any] = []
    images: list[bytes] = []
    owners: list[int] = []
    incomplete: set[int] = set()
    for row in rows:
        account, post, _place, embedded, wanted, vector, caption = row[:7]
        if not post_ids or post_ids[-1] != post:
            found[account].append(len(post_ids))
            post_ids.append(post)
            captions.append(caption)
            said.append(row)
        if vector is not None:
            images.append(vector)
            owners.append(len(post_ids) - 1)
        elif wanted and not embedded:
            incomplete.add(account)
    return Evidence(
        accounts={key: range(at[0], at[-1] + 1) if at else range(0) for key, at in found.items()},
        post_ids=post_ids,
        captions=captions,
        photos=unpack_all(images, backbone.width),
        owners=np.array(owners, np.int64),
        texts=tuple(
            _read_captions(said, captions, 8 + 2 * number, ref.width)
            for number, ref in enumerate(models)
        ),
        incomplete=frozenset(incomplete),
    )


class Missing(NamedTuple):
    """What an account still lacks: so many posts with photos to embed, and whether to fetch any."""

    posts: int
    unfetched: bool


def count_missing(
    connection: Connection,
    influencer_ids: Collection[int],
    backbone: str,
    scope: PostScope = EVERY_POST,
) -> dict[int, Missing]:
    """Return what accounts lack; those that lack nothing are absent."""
    given = {"keys": bind_keys(connection, influencer_ids), "backbone": backbone}
    rows = connection.execute(_missing(connection.dialect.name, scope), given)
    return {key: Missing(posts, bool(unfetched)) for key, posts, unfetched in rows}


@lru_cache(maxsize=64)
def _missing(dialect: str, scope: PostScope) -> Select[int, int, int]:
    chosen = among_bound(dialect, posts.c.influencer_id, "keys")
    unembedded = post_photos.c.photo_sha256.is_not(None) & image_vectors.c.photo_sha256.is_(None)
    lacking = case((unembedded, post_photos.c.post_id))
    return (
        select(
            posts.c.influencer_id,
            func.count(lacking.distinct()),
            func.max(case((_UNFETCHED, 1), else_=0)),
        )
        .join(post_photos, post_photos.c.post_id == posts.c.id)
        .outerjoin(image_vectors, _EMBEDDED)
        .where(chosen, *in_scope(scope, chosen), or_(unembedded, _UNFETCHED))
        .group_by(posts.c.influencer_id)
    )


def _read_captions(
    rows: Sequence[Any], captions: Sequence[str | None], column: int, width: int
) -> Captions:
    vectors = np.zeros((len(rows), width), np.float32)
    usable = np.array([row[column + 1] is not None for row in rows], np.bool_)
    vectors[usable] = unpack_all([v for row in rows if (v := row[column + 1]) is not None], width)
    unread = {
        sha256: row[7]
        for row, sha256 in zip(rows, captions, strict=True)
        if sha256 is not None and row[column] is None
    }
    return Captions(vectors, usable, unread)


@lru_cache(maxsize=64)
def _query(dialect: str, models: int, scope: PostScope) -> Select[Any]:
    """Return columns: account, post, place, tried, wanted, vector, hash, caption, two a model."""
    chosen = among_bound(dialect, posts.c.influencer_id, "keys")
    texts = [text_vectors.alias(f"text{number}") for number in range(models)]
    shown = posts.outerjoin(post_photos, post_photos.c.post_id == posts.c.id)
    source = shown.outerjoin(image_vectors, _EMBEDDED)
    for number, table in enumerate(texts):
        source = source.outerjoin(
            table,
            and_(
                table.c.caption_sha256 == posts.c.caption_sha256,
                table.c.text_model == bindparam(f"model{number}"),
            ),
        )
    unread = [table.c.caption_sha256.is_(None) for table in texts]
    query = select(
        posts.c.influencer_id,
        posts.c.id,
        post_photos.c.position,
        image_vectors.c.photo_sha256,
        or_(post_photos.c.photo_sha256.is_not(None), _UNFETCHED),
        image_vectors.c.vector,
        posts.c.caption_sha256,
        # Few are needed again once they were read.
        case((or_(*unread), posts.c.caption)) if unread else null(),
        *(column for table in texts for column in (table.c.caption_sha256, table.c.vector)),
    )
    return query.select_from(source).where(chosen, *in_scope(scope, chosen))
