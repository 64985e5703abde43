"""Accounts and their posts: written by imports, read by everything else."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, select

from schemas.base import Frozen
from schemas.errors import NotFoundError
from schemas.runs import EVERY_POST, PostScope
from storage.bulk import among, among_bound, bind_keys
from storage.database import ROWS_PER_STATEMENT, in_parts, insert_or_update
from storage.members import forget_member
from storage.photos import forget_unused_photos, in_scope, photos_of_account
from storage.standings import note_followers
from storage.tables import influencers, post_photos, posts, truth_labels
from storage.vectors import forget_unused_captions


# Read by the thousand for a run: as pydantic models these took half of the feeder's time.
@dataclass(frozen=True, slots=True)
class PhotoPlace:
    """A photo's place in a post: stored, still to be fetched, or unusable for a reason."""

    sha256: str | None = None
    url: str | None = None
    problem: str | None = None


class NewPost(Frozen):
    """A post ready to be stored; ``caption_sha256`` is of what cleaning leaves of the caption."""

    external_id: str
    caption: str
    caption_sha256: str | None
    posted_at: datetime | None
    likes: int | None
    comments: int | None
    photos: tuple[PhotoPlace, ...]


class AccountRow(Frozen):
    """An account as listed."""

    id: int
    username: str
    followers: int | None
    posts: int


@dataclass(frozen=True, slots=True)
class PostRow:
    """A post as stored, with its photos in their order."""

    id: int
    external_id: str
    caption: str
    caption_sha256: str | None
    posted_at: datetime | None
    likes: int | None
    comments: int | None
    photos: tuple[PhotoPlace, ...]


def save_account(
    connection: Connection,
    *,
    username: str,
    followers: int | None,
    imported_from: str,
    new_posts: Sequence[NewPost],
) -> dict[str, int]:
    """Store an account with posts, adding to what is known; return post ids by external id.

    A post that is known already gets its newest caption, figures and photos.
    """
    now = datetime.now(UTC)
    row = {
        "username": username,
        "followers": followers,
        "imported_from": imported_from[:1000],
        "created_at": now,
        "updated_at": now,
    }
    # Without posts nothing changed that a verdict rests on.
    changed = ["updated_at", "imported_from"] if new_posts else []
    if followers is not None:
        changed.append("followers")
    insert_or_update(connection, influencers, [row], key=["username"], update=changed)
    influencer_id = connection.scalars(
        select(influencers.c.id).where(influencers.c.username == username)
    ).one()
    if followers is not None:
        note_followers(connection, influencer_id, followers)
    unique = list({post.external_id: post for post in new_posts}.values())
    ids: dict[str, int] = {}
    for start in range(0, len(unique), ROWS_PER_STATEMENT):
        part = unique[start : start + ROWS_PER_STATEMENT]
        ids |= _save_posts(connection, influencer_id, part)
    return ids


def _save_posts(
    connection: Connection, influencer_id: int, new_posts: Sequence[NewPost]
) -> dict[str, int]:
    fields = ("caption", "caption_sha256", "posted_at", "likes", "comments")
    insert_or_update(
        connection,
        posts,
        [
            {
                "influencer_id": influencer_id,
                "external_id": post.external_id,
                **{name: getattr(post, name) for name in fields},
            }
            for post in new_posts
        ],
        key=["influencer_id", "external_id"],
        update=fields,
    )
    ids = {
        row.external_id: row.id
        for row in connection.execute(
            select(posts.c.external_id, posts.c.id).where(
                posts.c.influencer_id == influencer_id,
                posts.c.external_id.in_([post.external_id for post in new_posts]),
            )
        )
    }
    _save_places(connection, {ids[post.external_id]: post.photos for post in new_posts})
    return ids


def _save_places(connection: Connection, places: dict[int, tuple[PhotoPlace, ...]]) -> None:
    """Replace the photos of posts, keeping what was fetched from an unchanged address."""
    known = {
        (row.post_id, row.position): row
        for row in connection.execute(
            select(post_photos).where(post_photos.c.post_id.in_(list(places)))
        )
    }
    rows = []
    for post_id, photo_places in places.items():
        for position, place in enumerate(photo_places):
            old = known.get((post_id, position))
            fetched = place.url is not None and old is not None and old.url == place.url
            rows.append(
                {
                    "post_id": post_id,
                    "position": position,
                    "photo_sha256": old.photo_sha256 if fetched and old else place.sha256,
                    "url": place.url,
                    "problem": old.problem if fetched and old else place.problem,
                }
            )
    connection.execute(delete(post_photos).where(post_photos.c.post_id.in_(list(places))))
    insert_or_update(connection, post_photos, rows, key=["post_id", "position"])


def find_places(
    connection: Connection, username: str, external_ids: Collection[str]
) -> dict[str, list[PhotoPlace]]:
    """Return the photos of those posts of an account that are known, by the posts' own ids."""
    query = (
        select(
            posts.c.external_id,
            post_photos.c.photo_sha256,
            post_photos.c.url,
            post_photos.c.problem,
        )
        .join(posts, posts.c.id == post_photos.c.post_id)
        .join(influencers, influencers.c.id == posts.c.influencer_id)
        .where(influencers.c.username == username, posts.c.external_id.in_(external_ids))
        .order_by(post_photos.c.post_id, post_photos.c.position)
    )
    found: dict[str, list[PhotoPlace]] = {}
    for row in connection.execute(query):
        place = PhotoPlace(sha256=row.photo_sha256, url=row.url, problem=row.problem)
        found.setdefault(row.external_id, []).append(place)
    return found


def find_account(connection: Connection, username: str) -> AccountRow:
    """Return one account.

    Raises:
        NotFoundError: no account has that name.
    """
    name = username.strip().lstrip("@").lower()
    query = _list_query().where(influencers.c.username == name)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError(
            f"No account named {name!r}: 'afin accounts list' shows those there are, "
            "'afin import accounts' adds more."
        )
    return _account(row)


def list_accounts(
    connection: Connection, *, after: str = "", limit: int | None = None
) -> list[AccountRow]:
    """Return accounts by name, those after ``after`` first."""
    query = _list_query().where(influencers.c.username > after).order_by(influencers.c.username)
    return [_account(row) for row in connection.execute(query.limit(limit))]


def count_accounts(connection: Connection) -> int:
    """Return how many accounts there are."""
    return connection.scalars(select(func.count()).select_from(influencers)).one()


def account_posts(
    connection: Connection, influencer_ids: Collection[int], scope: PostScope = EVERY_POST
) -> dict[int, list[PostRow]]:
    """Return the posts of some accounts that count, by the order of their ids, with photos."""
    chosen = among(connection, posts.c.influencer_id, influencer_ids)
    query = (
        select(posts)
        .where(chosen, *in_scope(scope, chosen))
        .order_by(posts.c.influencer_id, posts.c.id)
    )
    rows = connection.execute(query).all()
    places = _places(connection, influencer_ids)
    found: dict[int, list[PostRow]] = {identifier: [] for identifier in influencer_ids}
    for row in rows:
        found[row.influencer_id].append(make_post(row, places.get(row.id, ())))
    return found


def make_post(row: Row[Any], photos: Iterable[PhotoPlace]) -> PostRow:
    """Make a post of its row and its photos' places, in their order."""
    return PostRow(
        id=row.id,
        external_id=row.external_id,
        caption=row.caption,
        caption_sha256=row.caption_sha256,
        posted_at=row.posted_at,
        likes=row.likes,
        comments=row.comments,
        photos=tuple(photos),
    )


def _places(connection: Connection, influencer_ids: Collection[int]) -> dict[int, list[PhotoPlace]]:
    query = (
        select(
            post_photos.c.post_id,
            post_photos.c.photo_sha256,
            post_photos.c.url,
            post_photos.c.problem,
        )
        .join(posts, posts.c.id == post_photos.c.post_id)
        .where(among(connection, posts.c.influencer_id, influencer_ids))
        .order_by(post_photos.c.post_id, post_photos.c.position)
    )
    places: dict[int, list[PhotoPlace]] = {}
    for post_id, *place in connection.execute(query):
        places.setdefault(post_id, []).append(PhotoPlace(*place))
    return places


def delete_account(connection: Connection, username: str) -> list[str]:
    """Erase an account: posts, outcomes, verdicts, vectors, labels, and photos nobody else uses.

    Returns the content hashes whose bytes are doomed: ``tasks.erasing`` erases them once this is
    committed.

    Raises:
        NotFoundError: no account has that name.
    """
    account = find_account(connection, username)
    shown = photos_of_account(connection, account.id)
    said = captions_of_account(connection, account.id)
    forget_member(connection, account.id)
    connection.execute(delete(influencers).where(influencers.c.id == account.id))
    connection.execute(
        delete(truth_labels).where(
            truth_labels.c.kind.in_(("account", "post")),
            (truth_labels.c.target == account.username)
            | truth_labels.c.target.startswith(f"{account.username}/", autoescape=True),
        )
    )
    forget_unused_captions(connection, said)
    return forget_unused_photos(connection, shown)


def account_versions(
    connection: Connection, influencer_ids: Collection[int], *, lock: bool = False
) -> dict[int, datetime]:
    """Return which of some accounts are not erased, each with when its posts last changed.

    With ``lock`` nobody erases or changes them until the transaction ends.
    """
    given = {"keys": bind_keys(connection, influencer_ids)}
    return dict(connection.execute(_versions(connection.dialect.name, lock), given).all())


@cache
def _versions(dialect: str, lock: bool) -> Select[int, datetime]:
    query = select(influencers.c.id, influencers.c.updated_at).where(
        among_bound(dialect, influencers.c.id, "keys")
    )
    return query.order_by(influencers.c.id).with_for_update(read=True) if lock else query


def existing_posts(connection: Connection, post_ids: Collection[int]) -> set[int]:
    """Return which of some posts have not been erased meanwhile."""
    found: set[int] = set()
    for part in in_parts(post_ids):
        found.update(connection.scalars(select(posts.c.id).where(posts.c.id.in_(part))))
    return found


def captions_of_account(
    connection: Connection, influencer_id: int, scope: PostScope = EVERY_POST
) -> dict[str, str]:
    """Return the captions of an account's posts by the hash of their cleaned text."""
    query = select(posts.c.caption_sha256, posts.c.caption).where(
        posts.c.influencer_id == influencer_id,
        posts.c.caption_sha256.is_not(None),
        *in_scope(scope, posts.c.influencer_id == influencer_id),
    )
    return dict(connection.execute(query).all())


def all_captions(connection: Connection, *, limit: int) -> Iterator[str]:
    """Return the captions of posts, newest first; unlabelled, they may train a text model."""
    query = (
        select(posts.c.caption)
        .where(posts.c.caption_sha256.is_not(None))
        .order_by(posts.c.id.desc())
        .limit(limit)
    )
    yield from connection.scalars(query)


def _list_query() -> Select[Any]:
    return (
        select(
            influencers.c.id,
            influencers.c.username,
            influencers.c.followers,
            func.count(posts.c.id).label("posts"),
        )
        .outerjoin(posts, posts.c.influencer_id == influencers.c.id)
        .group_by(influencers.c.id)
    )


def _account(row: Row[Any]) -> AccountRow:
    return AccountRow(id=row.id, username=row.username, followers=row.followers, posts=row.posts)
