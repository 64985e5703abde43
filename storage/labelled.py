"""What bundles are scored on: photos by source, and labelled posts and accounts as stored."""

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, func, select

from schemas.base import Frozen
from storage.accounts import PostRow, account_posts
from storage.database import in_parts
from storage.tables import influencers, photos, training_examples
from storage.training import is_corrected


class SourcePhoto(Frozen):
    """A photo of a source with what the source says it shows; its ``id`` tells when it came."""

    id: int
    sha256: str
    category: str
    split: str
    caption: str


def count_sources(connection: Connection) -> dict[str, int]:
    """Return how many photos each source has, by its name."""
    columns = training_examples.c
    query = (
        select(columns.source, func.count(func.distinct(columns.photo_sha256)))
        .group_by(columns.source)
        .order_by(columns.source)
    )
    return dict(connection.execute(query).all())


def read_source(connection: Connection, source: str) -> list[SourcePhoto]:
    """Return every photo of a source, of any split, in the order of their coming."""
    columns = training_examples.c
    query = (
        select(training_examples)
        .where(columns.source == source, ~is_corrected())
        .order_by(columns.id)
    )
    return [
        SourcePhoto(
            id=row.id,
            sha256=row.photo_sha256,
            category=row.category,
            split=row.split,
            caption=row.caption,
        )
        for row in connection.execute(query)
    ]


def existing_photos(connection: Connection, hashes: Collection[str]) -> set[str]:
    """Return which of some photos are stored."""
    found: set[str] = set()
    for part in in_parts(hashes):
        found.update(connection.scalars(select(photos.c.sha256).where(photos.c.sha256.in_(part))))
    return found


def posts_by_account(connection: Connection, usernames: Iterable[str]) -> dict[str, list[PostRow]]:
    """Return the posts of those accounts that are stored, by username."""
    found: dict[str, list[PostRow]] = {}
    for part in in_parts(usernames):
        query = select(influencers.c.id, influencers.c.username).where(
            influencers.c.username.in_(part)
        )
        names = dict(connection.execute(query).all())
        posts = account_posts(connection, list(names))
        found |= {names[key]: rows for key, rows in posts.items()}
    return found
