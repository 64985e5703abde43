"""Rows of photos: what is known of each content, and which belong to whom."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, exists, func, select, update

from schemas.base import Frozen
from storage.crawl_tables import tagged_post_photos
from storage.crawl_urls import forget_photo_urls
from storage.database import in_parts, insert_or_update
from storage.likeness import add_bands, to_stored
from storage.tables import photos, post_photos, posts, training_examples


class PhotoRow(Frozen):
    """One photo's content, as stored; ``width`` and ``height`` in pixels as a person sees it.

    ``phash`` is its perceptual hash, 64 bits unsigned, None where its pixels were not looked at.
    """

    sha256: str
    size_bytes: int
    width: int
    height: int
    format: str
    credit: str = ""
    phash: int | None = None


class PendingPhoto(Frozen):
    """A photo of a post that still has to be fetched from its address."""

    post_id: int
    position: int
    url: str


def add_photos(connection: Connection, rows: Sequence[PhotoRow]) -> None:
    """Record photos; one that is known stays as it is."""
    now = datetime.now(UTC)
    unique = {
        row.sha256: {
            **row.model_dump(),
            "phash": None if row.phash is None else to_stored(row.phash),
            "created_at": now,
        }
        # In one order, so that two workers with the same photos never wait for each other.
        for row in sorted(rows, key=lambda row: row.sha256)
    }
    insert_or_update(connection, photos, list(unique.values()), key=["sha256"])
    add_bands(connection, {row.sha256: row.phash for row in rows if row.phash is not None})


def known_photos(connection: Connection, hashes: Collection[str]) -> set[str]:
    """Return those contents that are stored already."""
    found: set[str] = set()
    for part in in_parts(hashes):
        found.update(connection.scalars(select(photos.c.sha256).where(photos.c.sha256.in_(part))))
    return found


def pending_photos(
    connection: Connection, influencer_id: int, *, first: int, last: int
) -> list[PendingPhoto]:
    """Return the photos still to be fetched of an account's posts in a range of post ids."""
    query = (
        select(post_photos.c.post_id, post_photos.c.position, post_photos.c.url)
        .join(posts, posts.c.id == post_photos.c.post_id)
        .where(
            posts.c.influencer_id == influencer_id,
            posts.c.id.between(first, last),
            post_photos.c.url.is_not(None),
            post_photos.c.photo_sha256.is_(None),
            post_photos.c.problem.is_(None),
        )
        .order_by(post_photos.c.post_id, post_photos.c.position)
    )
    return [
        PendingPhoto(post_id=row.post_id, position=row.position, url=row.url)
        for row in connection.execute(query)
    ]


def settle_photo(
    connection: Connection, pending: PendingPhoto, *, sha256: str | None, problem: str | None
) -> None:
    """Say how the fetching of one photo ended: with its content, or with a reason."""
    connection.execute(
        update(post_photos)
        .where(
            post_photos.c.post_id == pending.post_id,
            post_photos.c.position == pending.position,
            post_photos.c.url == pending.url,
        )
        .values(photo_sha256=sha256, problem=problem)
    )


def settle_place(
    connection: Connection, post_id: int, position: int, *, sha256: str | None, problem: str | None
) -> None:
    """Say how a photo of a post was fetched from whatever address; one that is there stays."""
    connection.execute(
        update(post_photos)
        .where(
            post_photos.c.post_id == post_id,
            post_photos.c.position == position,
            post_photos.c.photo_sha256.is_(None),
        )
        .values(photo_sha256=sha256, problem=problem)
    )


def count_photo_problems(connection: Connection) -> dict[str, int]:
    """Return how many photos of posts could not be used, by reason."""
    query = (
        select(post_photos.c.problem, func.count())
        .where(post_photos.c.problem.is_not(None))
        .group_by(post_photos.c.problem)
        .order_by(func.count().desc(), post_photos.c.problem)
    )
    return {problem or "": count for problem, count in connection.execute(query)}


def forget_unused_photos(connection: Connection, candidates: Collection[str]) -> list[str]:
    """Delete the rows of those photos that no post and no training example uses any more."""
    unused: list[str] = []
    for part in in_parts(candidates):
        found = list(
            connection.scalars(
                select(photos.c.sha256).where(
                    photos.c.sha256.in_(part),
                    ~exists().where(post_photos.c.photo_sha256 == photos.c.sha256),
                    ~exists().where(training_examples.c.photo_sha256 == photos.c.sha256),
                    ~exists().where(tagged_post_photos.c.photo_sha256 == photos.c.sha256),
                )
            )
        )
        connection.execute(delete(photos).where(photos.c.sha256.in_(found)))
        forget_photo_urls(connection, found)
        unused += found
    return unused


def photos_of_account(connection: Connection, influencer_id: int) -> set[str]:
    """Return the content hashes of every photo an account's posts show."""
    query = (
        select(post_photos.c.photo_sha256)
        .join(posts, posts.c.id == post_photos.c.post_id)
        .where(posts.c.influencer_id == influencer_id, post_photos.c.photo_sha256.is_not(None))
    )
    return set(connection.scalars(query))


def photos_of_posts(
    connection: Connection, influencer_id: int, *, first: int, last: int
) -> set[str]:
    """Return the content hashes of the photos of an account's posts in a range of post ids."""
    query = (
        select(post_photos.c.photo_sha256)
        .join(posts, posts.c.id == post_photos.c.post_id)
        .where(
            posts.c.influencer_id == influencer_id,
            posts.c.id.between(first, last),
            post_photos.c.photo_sha256.is_not(None),
        )
    )
    return set(connection.scalars(query))
