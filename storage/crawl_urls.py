"""Addresses of a crawl's photos: found once, handed out, and put back in line."""

import hashlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, select, update

from schemas.runs import MemberState
from storage.bulk import among
from storage.crawl_tables import crawl_urls, crawl_uses
from storage.database import ROWS_PER_STATEMENT, in_parts, insert_or_update
from storage.tables import photos

STORED = "stored"
KNOWN = "known"
"""The address was fetched by an earlier crawl, and its photo is still here."""

LIMIT = "limit"
"""Found, but the crawl already had as many photos as it was asked for."""

FORGOTTEN = "forgotten"
"""It was stored, and deleted since because nothing used it any more."""

UseKind = Literal["example", "tagged", "post"]


class Use(NamedTuple):
    """What a fetched photo is for.

    An ``example`` of a category, or the photo at ``position`` of the tagged post or the account's
    post with the id ``target``.
    """

    use: UseKind
    category: str = ""
    target: int = 0
    position: int = 0


class NewUrl(NamedTuple):
    """An address that a source listed."""

    url: str
    host: str
    external_id: str
    use: Use
    credit: str = ""
    category: str = ""


class WantedUrl(NamedTuple):
    """An address to fetch; what its photo is for is asked once it is there."""

    id: int
    url: str
    external_id: str
    credit: str


def hash_url(url: str) -> str:
    """Return what an address is known by."""
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()


def add_urls(
    connection: Connection,
    run_id: int,
    part_id: int,
    found: Sequence[NewUrl],
    *,
    room: dict[str, int] | None = None,
) -> tuple[int, list[tuple[Use, str]]]:
    """Record listed addresses; return how many are new to the crawl, and uses that are served now.

    An address whose photo an earlier crawl (or this one) has stored is not fetched again: its uses
    come back with the photo's content hash, for the caller to fulfil. ``room`` is how many photos
    each category still takes; it is used up, and what is known beyond it is left out.
    """
    new, served = 0, []
    for start in range(0, len(found), ROWS_PER_STATEMENT):
        part = found[start : start + ROWS_PER_STATEMENT]
        added, fulfilled = _add_some(connection, run_id, part_id, part, room)
        new += added
        served += fulfilled
    return new, served


def _add_some(
    connection: Connection,
    run_id: int,
    part_id: int,
    found: Sequence[NewUrl],
    room: dict[str, int] | None,
) -> tuple[int, list[tuple[Use, str]]]:
    hashes = {hash_url(one.url): one for one in reversed(found)}
    # Locked before anything is asked of them: one that is settled meanwhile is known afterwards.
    before = _lock_ids(connection, run_id, hashes)
    known = _known_photos(connection, hashes)
    rows, beyond = [], set()
    for digest, one in sorted(hashes.items()):
        if digest in before:
            continue
        photo = known.get(digest)
        if photo is not None and room is not None and not _take(room, one.category):
            beyond.add(digest)
            photo = None
        rows.append(_new_row(run_id, part_id, digest, one, photo, beyond=digest in beyond))
    insert_or_update(connection, crawl_urls, rows, key=["run_id", "url_sha256"])
    # Again, for those that another page has added meanwhile, and that may even be settled by now.
    ids = _lock_ids(connection, run_id, hashes)
    known |= _known_photos(connection, ids.keys() - known.keys())
    uses = {(ids[hash_url(one.url)], one.use): hash_url(one.url) for one in found}
    insert_or_update(
        connection,
        crawl_uses,
        [{"url_id": url_id, **use._asdict()} for url_id, use in uses],
        key=["url_id", "use", "category", "target", "position"],
    )
    served = [
        (use, known[digest])
        for (_, use), digest in uses.items()
        if digest in known and digest not in beyond
    ]
    return len(rows), served


def _new_row(
    run_id: int, part_id: int, digest: str, one: NewUrl, photo: str | None, *, beyond: bool
) -> dict[str, object]:
    outcome = LIMIT if beyond else KNOWN if photo is not None else None
    return {
        "run_id": run_id,
        "part_id": part_id,
        "url": one.url,
        "host": one.host[:255],
        "external_id": one.external_id[:200],
        "credit": one.credit,
        "category": one.category,
        "url_sha256": digest,
        "state": MemberState.PENDING if outcome is None else MemberState.DONE,
        "outcome": outcome,
        "photo_sha256": photo,
        "attempts": 0,
        "touched_at": _now(),
    }


def _take(room: dict[str, int], category: str) -> bool:
    left = room.get(category, 0)
    room[category] = left - 1
    return left > 0


def claim_urls(
    connection: Connection, run_id: int, *, shard: int, most: int, category: str | None = None
) -> int:
    """Put up to ``most`` waiting addresses in flight under a shard's number; return how many."""
    columns = crawl_urls.c
    query = select(columns.id).where(columns.run_id == run_id, columns.state == MemberState.PENDING)
    if category is not None:
        query = query.where(columns.category == category)
    # In the order of their index: sorted by id alone, every claim would read all that wait.
    in_line = query.order_by(columns.category, columns.id).limit(most)
    chosen = in_line.with_for_update(skip_locked=True)
    claimed = list(connection.scalars(chosen))
    for part in in_parts(claimed):
        connection.execute(
            update(crawl_urls)
            .where(among(connection, columns.id, part))
            .values(state=MemberState.IN_FLIGHT, shard=shard, touched_at=_now())
        )
    return len(claimed)


def begin_shard(connection: Connection, run_id: int, shard: int) -> list[WantedUrl]:
    """Return the addresses of a shard that are still in flight, because somebody fetches them now.

    Only this counts as a try: a message that waits for a worker has done its addresses no harm.
    """
    columns = crawl_urls.c
    query = select(columns.id, columns.url, columns.external_id, columns.credit).where(
        columns.shard == shard,
        columns.run_id == run_id,
        columns.state == MemberState.IN_FLIGHT,
    )
    rows = connection.execute(query.order_by(columns.id).with_for_update())
    wanted = [WantedUrl(*row) for row in rows]
    for part in in_parts(one.id for one in wanted):
        connection.execute(
            update(crawl_urls)
            .where(among(connection, columns.id, part))
            .values(attempts=columns.attempts + 1, touched_at=_now())
        )
    return wanted


def read_uses(
    connection: Connection, url_ids: Collection[int], *, of_posts: bool = False
) -> dict[int, list[Use]]:
    """Return what the photos of some addresses are for; ``of_posts``, in posts only."""
    columns = crawl_uses.c
    found: dict[int, list[Use]] = {}
    for part in in_parts(url_ids):
        query = select(
            columns.url_id, columns.use, columns.category, columns.target, columns.position
        ).where(among(connection, columns.url_id, part))
        if of_posts:
            query = query.where(columns.use != "example")
        for url_id, *use in connection.execute(query):
            found.setdefault(url_id, []).append(Use(*use))
    return found


def touch_shard(connection: Connection, shard: int) -> None:
    """Note that the fetching of a shard goes on."""
    connection.execute(
        update(crawl_urls)
        .where(
            crawl_urls.c.id.in_(
                _unlocked(crawl_urls.c.shard == shard, crawl_urls.c.state == MemberState.IN_FLIGHT)
            )
        )
        .values(touched_at=_now())
    )


def skip_urls(connection: Connection, run_id: int, category: str) -> None:
    """Leave unfetched what a crawl still has in line for a category that has enough."""
    columns = crawl_urls.c
    waiting = _unlocked(
        columns.run_id == run_id,
        columns.state == MemberState.PENDING,
        columns.category == category,
    )
    connection.execute(
        update(crawl_urls)
        .where(columns.id.in_(waiting))
        .values(state=MemberState.DONE, outcome=LIMIT, touched_at=_now())
    )


def recall_urls(connection: Connection, run_id: int, *, timeout_s: float, max_attempts: int) -> int:
    """Put addresses back in line that nothing was heard of; return how many.

    One that was begun too often is given up: it may be what kills its workers.
    """
    columns = crawl_urls.c
    silent = _unlocked(
        columns.run_id == run_id,
        columns.state == MemberState.IN_FLIGHT,
        columns.touched_at < _now() - timedelta(seconds=timeout_s),
    )
    connection.execute(
        update(crawl_urls)
        .where(columns.id.in_(silent), columns.attempts >= max_attempts)
        .values(state=MemberState.DEAD, outcome="lost", shard=None)
    )
    return connection.execute(
        update(crawl_urls)
        .where(columns.id.in_(silent))
        .values(state=MemberState.PENDING, shard=None)
    ).rowcount


def retry_urls(connection: Connection, run_id: int) -> int:
    """Put every address that was given up back in line; return how many."""
    result = connection.execute(
        update(crawl_urls)
        .where(crawl_urls.c.run_id == run_id, crawl_urls.c.state == MemberState.DEAD)
        .values(state=MemberState.PENDING, attempts=0, outcome=None, shard=None)
    )
    return result.rowcount


def forget_photo_urls(connection: Connection, hashes: Collection[str]) -> None:
    """Keep no address of photos that are deleted; that they were crawled still counts."""
    connection.execute(
        update(crawl_urls)
        .where(crawl_urls.c.photo_sha256.in_(hashes))
        .values(photo_sha256=None, outcome=FORGOTTEN, url="", credit="", external_id="")
    )


def _known_photos(connection: Connection, hashes: Collection[str]) -> dict[str, str]:
    query = (
        select(crawl_urls.c.url_sha256, crawl_urls.c.photo_sha256)
        # A photo may have been forgotten since.
        .join(photos, photos.c.sha256 == crawl_urls.c.photo_sha256)
        .where(
            among(connection, crawl_urls.c.url_sha256, hashes),
            crawl_urls.c.state == MemberState.DONE,
        )
    )
    return dict(connection.execute(query).all())


def _lock_ids(connection: Connection, run_id: int, hashes: Collection[str]) -> dict[str, int]:
    query = (
        select(crawl_urls.c.url_sha256, crawl_urls.c.id)
        .where(crawl_urls.c.run_id == run_id, among(connection, crawl_urls.c.url_sha256, hashes))
        .order_by(crawl_urls.c.id)
        .with_for_update()
    )
    return dict(connection.execute(query).all())


def _unlocked(*chosen: ColumnElement[bool]) -> Select[tuple[int]]:
    """Ids of addresses that nobody settles just now: waiting for them could end in a deadlock."""
    return select(crawl_urls.c.id).where(*chosen).with_for_update(skip_locked=True)


def _now() -> datetime:
    return datetime.now(UTC)
