"""Addresses of a crawl's photos: found once, fetched once, each with how it ended."""

import hashlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from sqlalchemy import ColumnElement, Connection, bindparam, func, select, update

from schemas.base import Frozen
from schemas.runs import MemberState
from storage.crawl_tables import crawl_urls, crawl_uses
from storage.database import ROWS_PER_STATEMENT, in_parts, insert_or_update

STORED = "stored"
KNOWN = "known"
"""The address was fetched by an earlier crawl, and its photo is still here."""

LIMIT = "limit"
"""Found, but the crawl already had as many photos as it was asked for."""

MOST_RESTS = 3

UseKind = Literal["example", "tagged", "post"]


class Use(Frozen):
    """What a fetched photo is for.

    An ``example`` of a category, or the photo at ``position`` of the tagged post or the account's
    post with the id ``target``.
    """

    use: UseKind
    category: str = ""
    target: int = 0
    position: int = 0


class NewUrl(Frozen):
    """An address that a source listed."""

    url: str
    host: str
    external_id: str
    credit: str = ""
    category: str = ""
    use: Use


class WantedUrl(Frozen):
    """An address to fetch; what its photo is for is asked once it is there."""

    id: int
    url: str
    external_id: str
    credit: str


class SettledUrl(Frozen):
    """How a fetch ended: ``outcome`` is ``stored``, or the reason why nothing was.

    ``failed`` tells a fetch that may work another time from a photo that is not wanted.
    """

    id: int
    outcome: str
    failed: bool = False
    photo_sha256: str | None = None
    size_bytes: int | None = None


def hash_url(url: str) -> str:
    """Return what an address is known by."""
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()


def add_urls(
    connection: Connection, run_id: int, part_id: int, found: Sequence[NewUrl]
) -> tuple[int, list[tuple[Use, str]]]:
    """Record listed addresses; return how many are new to the crawl, and uses that are served now.

    An address whose photo an earlier crawl (or this one) has stored is not fetched again: its uses
    come back with the photo's content hash, for the caller to fulfil.
    """
    new, served = 0, []
    for start in range(0, len(found), ROWS_PER_STATEMENT):
        part = found[start : start + ROWS_PER_STATEMENT]
        added, fulfilled = _add_some(connection, run_id, part_id, part)
        new += added
        served += fulfilled
    return new, served


def _add_some(
    connection: Connection, run_id: int, part_id: int, found: Sequence[NewUrl]
) -> tuple[int, list[tuple[Use, str]]]:
    hashes = {hash_url(one.url): one for one in reversed(found)}
    # Locked before anything is asked of them: one that is settled meanwhile is known afterwards.
    before = _ids(connection, run_id, hashes, lock=True)
    known = _known_photos(connection, hashes)
    rows = [
        {
            "run_id": run_id,
            "part_id": part_id,
            **one.model_dump(exclude={"use"}),
            "external_id": one.external_id[:200],
            "host": one.host[:255],
            "url_sha256": digest,
            "state": MemberState.DONE if digest in known else MemberState.PENDING,
            "outcome": KNOWN if digest in known else None,
            "photo_sha256": known.get(digest),
            "attempts": 0,
            "touched_at": _now(),
        }
        for digest, one in sorted(hashes.items())
        if digest not in before
    ]
    insert_or_update(connection, crawl_urls, rows, key=["run_id", "url_sha256"])
    ids = _ids(connection, run_id, hashes)
    uses = {(ids[hash_url(one.url)], one.use): hash_url(one.url) for one in found}
    insert_or_update(
        connection,
        crawl_uses,
        [{"url_id": url_id, **use.model_dump()} for url_id, use in uses],
        key=["url_id", "use", "category", "target", "position"],
    )
    return len(rows), [(use, known[digest]) for (_, use), digest in uses.items() if digest in known]


def claim_urls(
    connection: Connection, run_id: int, *, shard: int, most: int, category: str | None = None
) -> int:
    """Put up to ``most`` waiting addresses in flight under a shard's number; return how many."""
    columns = crawl_urls.c
    query = select(columns.id).where(columns.run_id == run_id, columns.state == MemberState.PENDING)
    if category is not None:
        query = query.where(columns.category == category)
    chosen = query.order_by(columns.id).limit(most).with_for_update(skip_locked=True)
    claimed = list(connection.scalars(chosen))
    for part in in_parts(claimed):
        connection.execute(
            update(crawl_urls)
            .where(columns.id.in_(part))
            .values(
                state=MemberState.IN_FLIGHT,
                attempts=columns.attempts + 1,
                shard=shard,
                touched_at=_now(),
            )
        )
    return len(claimed)


def read_shard(connection: Connection, run_id: int, shard: int) -> list[WantedUrl]:
    """Return the addresses of a shard that are still in flight."""
    columns = crawl_urls.c
    query = select(columns.id, columns.url, columns.external_id, columns.credit).where(
        columns.shard == shard,
        columns.run_id == run_id,
        columns.state == MemberState.IN_FLIGHT,
    )
    return [
        WantedUrl(id=row.id, url=row.url, external_id=row.external_id, credit=row.credit)
        for row in connection.execute(query.order_by(columns.id))
    ]


def read_uses(connection: Connection, url_ids: Collection[int]) -> dict[int, list[Use]]:
    """Return what the photos of some addresses are for."""
    found: dict[int, list[Use]] = {}
    for part in in_parts(url_ids):
        query = select(crawl_uses).where(crawl_uses.c.url_id.in_(part))
        for row in connection.execute(query):
            use = Use(use=row.use, category=row.category, target=row.target, position=row.position)
            found.setdefault(row.url_id, []).append(use)
    return found


def touch_shard(connection: Connection, shard: int) -> None:
    """Note that the fetching of a shard goes on."""
    connection.execute(
        update(crawl_urls)
        .where(crawl_urls.c.shard == shard, crawl_urls.c.state == MemberState.IN_FLIGHT)
        .values(touched_at=_now())
    )


def settle_urls(connection: Connection, settled: Sequence[SettledUrl]) -> None:
    """Note how fetches ended; a failed one may be tried again some day, any other is done."""
    rows = [
        {
            "key": one.id,
            "state": MemberState.DEAD if one.failed else MemberState.DONE,
            "outcome": one.outcome[:40],
            "photo_sha256": one.photo_sha256,
            "size_bytes": one.size_bytes,
            "shard": None,
            "touched_at": _now(),
        }
        for one in sorted(settled, key=lambda one: one.id)
    ]
    if rows:
        connection.execute(
            update(crawl_urls)
            .where(crawl_urls.c.id == bindparam("key"))
            .values({name: bindparam(name) for name in rows[0] if name != "key"}),
            rows,
        )


def rest_urls(connection: Connection, url_ids: Collection[int]) -> set[int]:
    """Leave addresses whose host asked for patience in flight, to be recalled after a while.

    Returns those; one that was tried ``MOST_RESTS`` times is not among them.
    """
    columns = crawl_urls.c
    resting: set[int] = set()
    for part in in_parts(url_ids):
        query = select(columns.id).where(columns.id.in_(part), columns.attempts < MOST_RESTS)
        found = list(connection.scalars(query))
        connection.execute(
            update(crawl_urls).where(columns.id.in_(found)).values(shard=None, touched_at=_now())
        )
        resting.update(found)
    return resting


def skip_urls(connection: Connection, run_id: int, category: str) -> None:
    """Leave unfetched what a crawl still has in line for a category that has enough."""
    columns = crawl_urls.c
    connection.execute(
        update(crawl_urls)
        .where(
            columns.run_id == run_id,
            columns.state == MemberState.PENDING,
            columns.category == category,
        )
        .values(state=MemberState.DONE, outcome=LIMIT, touched_at=_now())
    )


def recall_urls(connection: Connection, run_id: int, *, timeout_s: float, max_attempts: int) -> int:
    """Put addresses back in line that nothing was heard of; return how many.

    One that was sent out too often is given up: it may be what kills its workers.
    """
    columns = crawl_urls.c
    overdue = (
        columns.run_id == run_id,
        columns.state == MemberState.IN_FLIGHT,
        columns.touched_at < _now() - timedelta(seconds=timeout_s),
    )
    connection.execute(
        update(crawl_urls)
        .where(*overdue, columns.attempts >= max_attempts)
        .values(state=MemberState.DEAD, outcome="lost", shard=None)
    )
    return connection.execute(
        update(crawl_urls).where(*overdue).values(state=MemberState.PENDING, shard=None)
    ).rowcount


def retry_urls(connection: Connection, run_id: int) -> int:
    """Put every address that was given up back in line; return how many."""
    result = connection.execute(
        update(crawl_urls)
        .where(crawl_urls.c.run_id == run_id, crawl_urls.c.state == MemberState.DEAD)
        .values(state=MemberState.PENDING, attempts=0, outcome=None, shard=None)
    )
    return result.rowcount


def count_urls(connection: Connection, run_id: int) -> dict[MemberState, int]:
    """Return how many addresses of a crawl stand where."""
    query = (
        select(crawl_urls.c.state, func.count())
        .where(crawl_urls.c.run_id == run_id)
        .group_by(crawl_urls.c.state)
    )
    found: dict[str, int] = dict(connection.execute(query).all())
    return {state: found.get(state, 0) for state in MemberState}


def count_waiting(connection: Connection, run_id: int, *, most: int) -> int:
    """Return how many addresses wait for their turn, counting no further than ``most``."""
    waiting = (
        select(crawl_urls.c.id)
        .where(crawl_urls.c.run_id == run_id, crawl_urls.c.state == MemberState.PENDING)
        .limit(most)
        .subquery()
    )
    return connection.scalars(select(func.count()).select_from(waiting)).one()


def count_in_flight(connection: Connection, run_id: int) -> dict[str, int]:
    """Return how many addresses of each category are in flight."""
    return _by_category(connection, run_id, crawl_urls.c.state == MemberState.IN_FLIGHT)


def count_photos(connection: Connection, run_id: int) -> dict[str, int]:
    """Return how many photos a crawl has for each category."""
    return _by_category(connection, run_id, crawl_urls.c.outcome.in_((STORED, KNOWN)))


def _by_category(
    connection: Connection, run_id: int, chosen: ColumnElement[bool]
) -> dict[str, int]:
    query = (
        select(crawl_urls.c.category, func.count())
        .where(crawl_urls.c.run_id == run_id, chosen)
        .group_by(crawl_urls.c.category)
    )
    return dict(connection.execute(query).all())


def _known_photos(connection: Connection, hashes: Collection[str]) -> dict[str, str]:
    query = select(crawl_urls.c.url_sha256, crawl_urls.c.photo_sha256).where(
        crawl_urls.c.url_sha256.in_(hashes),
        crawl_urls.c.state == MemberState.DONE,
        crawl_urls.c.photo_sha256.is_not(None),
    )
    return dict(connection.execute(query).all())


def _ids(
    connection: Connection, run_id: int, hashes: Collection[str], *, lock: bool = False
) -> dict[str, int]:
    query = (
        select(crawl_urls.c.url_sha256, crawl_urls.c.id)
        .where(crawl_urls.c.run_id == run_id, crawl_urls.c.url_sha256.in_(hashes))
        .order_by(crawl_urls.c.id)
    )
    if lock:
        query = query.with_for_update()
    return dict(connection.execute(query).all())


def _now() -> datetime:
    return datetime.now(UTC)
