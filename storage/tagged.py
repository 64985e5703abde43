"""Posts found by tag: what they say and show, apart from the posts of known accounts."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select, update

from schemas.base import Frozen
from storage.crawl_tables import tagged_post_photos, tagged_posts
from storage.database import ROWS_PER_STATEMENT, insert_or_update


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


def count_tagged_posts(connection: Connection) -> dict[str, int]:
    """Return how many tagged posts there are of each category."""
    query = select(tagged_posts.c.category, func.count()).group_by(tagged_posts.c.category)
    return dict(connection.execute(query).all())
