"""Posts found by tag, apart from those of known accounts: what they say, show and stand for."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, distinct, exists, func, select, update

from schemas.base import Frozen
from storage.crawl_tables import tagged_post_photos, tagged_posts
from storage.database import ROWS_PER_STATEMENT, in_parts, insert_or_update
from storage.tables import image_vectors
from storage.web_tables import doubts


class NewTaggedPost(Frozen):
    """A post found by a tag; ``photos`` are the addresses of its photos, in their order."""

    source: str
    external_id: str
    tag: str
    category: str
    caption: str
    caption_sha256: str | None
    username: str | None = None
    posted_at: datetime | None = None
    photos: tuple[str, ...] = ()


def save_tagged_posts(connection: Connection, posts: Sequence[NewTaggedPost]) -> dict[str, int]:
    """Store posts found by one tag; return their ids by external id.

    A post that is known keeps its photos, whatever address they have today.
    """
    ids: dict[str, int] = {}
    for start in range(0, len(posts), ROWS_PER_STATEMENT):
        ids |= _save_some(connection, posts[start : start + ROWS_PER_STATEMENT])
    return ids


def _save_some(connection: Connection, posts: Sequence[NewTaggedPost]) -> dict[str, int]:
    unique = {(post.source, post.external_id, post.tag): post for post in posts}
    now = datetime.now(UTC)
    fields = ("category", "caption", "caption_sha256", "username", "posted_at")
    insert_or_update(
        connection,
        tagged_posts,
        [{**post.model_dump(exclude={"photos"}), "created_at": now} for post in unique.values()],
        key=["source", "external_id", "tag"],
        update=fields,
    )
    columns = tagged_posts.c
    rows = connection.execute(
        select(columns.id, columns.source, columns.external_id, columns.tag).where(
            columns.external_id.in_([post.external_id for post in posts])
        )
    )
    ids = {(row.source, row.external_id, row.tag): row.id for row in rows}
    places = [
        {"post_id": ids[key], "position": position, "url": url}
        for key, post in unique.items()
        for position, url in enumerate(post.photos)
    ]
    insert_or_update(connection, tagged_post_photos, places, key=["post_id", "position"])
    return {post.external_id: ids[key] for key, post in unique.items()}


def settle_tagged_photo(
    connection: Connection, post_id: int, position: int, *, sha256: str | None, problem: str | None
) -> None:
    """Say how the fetching of a tagged post's photo ended; one that is there stays.

    Its address goes: it has expired by the time that anybody could ask for it again.
    """
    columns = tagged_post_photos.c
    connection.execute(
        update(tagged_post_photos)
        .where(
            columns.post_id == post_id,
            columns.position == position,
            columns.photo_sha256.is_(None),
        )
        .values(photo_sha256=sha256, problem=problem, url=None)
    )


class TaggedPost(Frozen):
    """One post under one tag; the same post under another tag is another row.

    ``name`` is the same for all rows of a post. ``settled``: a person has said that the category is
    right, or which one is.
    """

    id: int
    name: str
    tag: str
    category: str
    caption: str
    username: str | None
    posted_at: datetime | None
    photos: tuple[str, ...]
    settled: bool = False


def newest_tagged(connection: Connection) -> int:
    """Return the id of the newest tagged post, 0 if there is none: a snapshot ends there."""
    return connection.scalar(select(func.max(tagged_posts.c.id))) or 0


def read_tagged(
    connection: Connection, categories: Collection[str], *, until: int
) -> list[TaggedPost]:
    """Return the tagged posts of some categories up to an id, in the order of their ids.

    Where a person has corrected a category, that counts; posts that are none of ``categories`` then
    are left out.
    """
    query = select(tagged_posts).where(*_chosen(categories, until)).order_by(tagged_posts.c.id)
    rows = connection.execute(query).all()
    photos = _read_photos(connection, [row.id for row in rows])
    said = _read_settled(connection)
    found = []
    for row in rows:
        name = f"{row.source}:{row.external_id}"
        truth = said.get((name, row.category), row.category)
        if truth not in categories:
            continue
        found.append(
            TaggedPost(
                id=row.id,
                name=name,
                tag=row.tag,
                category=truth,
                caption=row.caption,
                username=row.username,
                posted_at=row.posted_at,
                photos=tuple(photos.get(row.id, ())),
                settled=(name, row.category) in said,
            )
        )
    return found


def _read_settled(connection: Connection) -> dict[tuple[str, str], str | None]:
    """Return what people said of doubted posts, by name and tag's category; None: none of ours."""
    columns = doubts.c
    query = select(columns.target, columns.given, columns.categories).where(
        columns.kind == "post", columns.decision.is_not(None)
    )
    return {
        (row.target, row.given): row.categories[0] if row.categories else None
        for row in connection.execute(query)
    }


def count_missing_tagged(
    connection: Connection, categories: Collection[str], *, until: int, backbone: str
) -> tuple[int, int]:
    """Return how many photos of tagged posts a backbone never saw, and how many there are."""
    tried = exists().where(
        image_vectors.c.photo_sha256 == tagged_post_photos.c.photo_sha256,
        image_vectors.c.backbone == backbone,
    )
    count = select(func.count(distinct(tagged_post_photos.c.photo_sha256))).where(
        *_shown(categories, until)
    )
    total = connection.scalars(count).one()
    return connection.scalars(count.where(~tried)).one(), total


def tagged_ranges(
    connection: Connection, categories: Collection[str], *, until: int, size: int
) -> list[tuple[int, int]]:
    """Cut the tagged posts into ranges of ids of at most ``size`` posts each."""
    query = select(tagged_posts.c.id).where(*_chosen(categories, until)).order_by(tagged_posts.c.id)
    ids = list(connection.scalars(query))
    parts = [ids[start : start + size] for start in range(0, len(ids), size)]
    return [(part[0], part[-1]) for part in parts]


def photos_of_tagged(
    connection: Connection, categories: Collection[str], *, first: int, last: int
) -> set[str]:
    """Return the photos of the tagged posts in a range of ids."""
    query = select(tagged_post_photos.c.photo_sha256).where(
        *_shown(categories, last), tagged_posts.c.id >= first
    )
    return set(connection.scalars(query))


def _chosen(categories: Collection[str], until: int) -> tuple[ColumnElement[bool], ...]:
    return (tagged_posts.c.category.in_(categories), tagged_posts.c.id <= until)


def _shown(categories: Collection[str], until: int) -> tuple[ColumnElement[bool], ...]:
    return (
        *_chosen(categories, until),
        tagged_posts.c.id == tagged_post_photos.c.post_id,
        tagged_post_photos.c.photo_sha256.is_not(None),
    )


def _read_photos(connection: Connection, post_ids: Sequence[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    columns = tagged_post_photos.c
    for part in in_parts(post_ids):
        query = (
            select(columns.post_id, columns.photo_sha256)
            .where(columns.post_id.in_(part), columns.photo_sha256.is_not(None))
            .order_by(columns.post_id, columns.position)
        )
        for row in connection.execute(query):
            found.setdefault(row.post_id, []).append(row.photo_sha256)
    return found
