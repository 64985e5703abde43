"""Rows of photos: what is known of each content, and which belong to whom."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)

from schemas.base import Frozen
from schemas.runs import EVERY_POST, MemberState, PostScope
from storage.bulk import among
from storage.crawl_tables import tagged_post_photos
from storage.crawl_urls import forget_photo_urls
from storage.database import in_parts, insert_or_update
from storage.event_tables import doomed_blobs
from storage.likeness import add_bands, from_stored, to_stored
from storage.tables import (
    image_vectors,
    photos,
    post_photos,
    posts,
    run_members,
    training_examples,
)


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
    for part in in_parts(unique):
        connection.execute(
            delete(doomed_blobs).where(among(connection, doomed_blobs.c.sha256, part))
        )


def known_photos(connection: Connection, hashes: Collection[str]) -> set[str]:
    """Return those contents that are stored already."""
    found: set[str] = set()
    for part in in_parts(hashes):
        found.update(
            connection.scalars(
                select(photos.c.sha256).where(among(connection, photos.c.sha256, part))
            )
        )
    return found


def in_scope(scope: PostScope, chosen: ColumnElement[bool]) -> list[ColumnElement[bool]]:
    """Return the conditions that leave only those posts that count.

    ``chosen`` is the condition on posts that names their accounts.
    """
    conditions: list[ColumnElement[bool]] = []
    if scope.since is not None:
        conditions.append(or_(posts.c.posted_at.is_(None), posts.c.posted_at >= scope.since))
    if scope.last is not None:
        rank = func.row_number().over(
            partition_by=posts.c.influencer_id,
            order_by=(posts.c.posted_at.desc().nulls_last(), posts.c.id.desc()),
        )
        ranked = select(posts.c.id, rank.label("rank")).where(chosen, *conditions)
        newest = ranked.subquery()
        ids = select(newest.c.id).where(newest.c.rank <= scope.last)
        conditions.append(posts.c.id.in_(ids))
    return conditions


def pending_photos(
    connection: Connection,
    influencer_id: int,
    *,
    first: int,
    last: int,
    scope: PostScope = EVERY_POST,
) -> list[PendingPhoto]:
    """Return the photos still to be fetched of an account's posts in a range of post ids."""
    query = (
        select(post_photos.c.post_id, post_photos.c.position, post_photos.c.url)
        .join(posts, posts.c.id == post_photos.c.post_id)
        .where(
            posts.c.influencer_id == influencer_id,
            posts.c.id.between(first, last),
            *in_scope(scope, posts.c.influencer_id == influencer_id),
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
    """Delete the rows of those photos that no post and no training example uses any more.

    Their bytes are doomed in the same transaction, so that a crash leaves none behind.
    """
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
    now = datetime.now(UTC)
    doomed = [{"sha256": sha256, "created_at": now} for sha256 in unused]
    insert_or_update(connection, doomed_blobs, doomed, key=["sha256"])
    return unused


def doomed_photos(connection: Connection, *, limit: int = 1000) -> list[str]:
    """Return photos whose bytes still have to be erased."""
    return list(connection.scalars(select(doomed_blobs.c.sha256).limit(limit)))


def release_doomed_photo(connection: Connection, sha256: str) -> bool:
    """Take a photo off the list of the doomed; whether its bytes are to be erased now.

    They are not if somebody has brought the photo back meanwhile.
    """
    gone = connection.execute(delete(doomed_blobs).where(doomed_blobs.c.sha256 == sha256)).rowcount
    used = connection.execute(select(photos.c.sha256).where(photos.c.sha256 == sha256)).first()
    return bool(gone) and used is None


def photos_of_account(connection: Connection, influencer_id: int) -> set[str]:
    """Return the content hashes of every photo an account's posts show."""
    query = (
        select(post_photos.c.photo_sha256)
        .join(posts, posts.c.id == post_photos.c.post_id)
        .where(posts.c.influencer_id == influencer_id, post_photos.c.photo_sha256.is_not(None))
    )
    return set(connection.scalars(query))


def photos_of_posts(
    connection: Connection,
    influencer_id: int,
    *,
    first: int,
    last: int,
    scope: PostScope = EVERY_POST,
) -> set[str]:
    """Return the content hashes of the photos of an account's posts in a range of post ids."""
    query = (
        select(post_photos.c.photo_sha256)
        .join(posts, posts.c.id == post_photos.c.post_id)
        .where(
            posts.c.influencer_id == influencer_id,
            posts.c.id.between(first, last),
            *in_scope(scope, posts.c.influencer_id == influencer_id),
            post_photos.c.photo_sha256.is_not(None),
        )
    )
    return set(connection.scalars(query))


def photos_of_members(
    connection: Connection,
    run_id: int,
    backbone: str,
    *,
    first: int,
    last: int,
    scope: PostScope = EVERY_POST,
) -> tuple[set[int], dict[str, bool]]:
    """Return which accounts with ids from ``first`` to ``last`` are in flight in a run.

    Only those that show photos; and of these by content hash whether the backbone has tried them.
    """
    given = {"run": run_id, "backbone": backbone, "first": first, "last": last}
    rows = connection.execute(_members_photos(scope), given).all()
    return {row[0] for row in rows}, {row[1]: bool(row[2]) for row in rows}


@lru_cache(maxsize=64)
def _members_photos(scope: PostScope) -> Select[int, str, bool]:
    ids = select(run_members.c.influencer_id).where(
        run_members.c.run_id == bindparam("run"),
        run_members.c.state == MemberState.IN_FLIGHT,
        run_members.c.influencer_id.between(bindparam("first"), bindparam("last")),
    )
    chosen = posts.c.influencer_id.in_(ids)
    tried = (image_vectors.c.photo_sha256 == post_photos.c.photo_sha256) & (
        image_vectors.c.backbone == bindparam("backbone")
    )
    return (
        select(
            posts.c.influencer_id,
            post_photos.c.photo_sha256,
            image_vectors.c.photo_sha256.is_not(None),
        )
        .join(posts, posts.c.id == post_photos.c.post_id)
        .outerjoin(image_vectors, tried)
        .where(chosen, *in_scope(scope, chosen), post_photos.c.photo_sha256.is_not(None))
    )


def read_hashes(connection: Connection, photos_wanted: Collection[str]) -> dict[str, int]:
    """Return the perceptual hashes (64 bits, unsigned) of those photos that have one."""
    found: dict[str, int] = {}
    for part in in_parts(photos_wanted):
        query = select(photos.c.sha256, photos.c.phash).where(
            photos.c.sha256.in_(part), photos.c.phash.is_not(None)
        )
        found.update((row.sha256, from_stored(row.phash)) for row in connection.execute(query))
    return found


def read_credits(connection: Connection, photos_wanted: Collection[str]) -> dict[str, str]:
    """Return whose photos these are and where they are shown, of those that came with a credit."""
    found: dict[str, str] = {}
    for part in in_parts(photos_wanted):
        query = select(photos.c.sha256, photos.c.credit).where(
            photos.c.sha256.in_(part), photos.c.credit != ""
        )
        found.update((row.sha256, row.credit) for row in connection.execute(query))
    return found
