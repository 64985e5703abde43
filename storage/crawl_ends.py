"""How fetches of a crawl's addresses ended: stored, failed, or to rest for their host's sake."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from schemas.runs import MemberState
from storage.bulk import among, update_plainly
from storage.crawl_tables import crawl_urls
from storage.database import in_parts

MOST_RESTS = 3


class SettledUrl(NamedTuple):
    """How a fetch ended: ``outcome`` is ``stored``, or the reason why nothing was.

    ``failed`` tells a fetch that may work another time from a photo that is not wanted. ``shown``
    replaces an address that nobody will ask again and that holds what nobody should read.
    """

    id: int
    outcome: str
    failed: bool = False
    photo_sha256: str | None = None
    size_bytes: int | None = None
    shown: str | None = None


def lock_unsettled(connection: Connection, url_ids: Collection[int]) -> set[int]:
    """Return those addresses whose photo is not decided on yet, and keep others from doing it.

    A shard that was thought lost may be fetched twice; only the first end of each counts.
    """
    columns = crawl_urls.c
    found: set[int] = set()
    for part in in_parts(url_ids):
        query = select(columns.id).where(
            among(connection, columns.id, part), columns.state != MemberState.DONE
        )
        found.update(connection.scalars(query.order_by(columns.id).with_for_update()))
    return found


def settle_urls(connection: Connection, settled: Sequence[SettledUrl]) -> None:
    """Note how fetches ended; a failed one may be tried again some day, any other is done."""
    rows = []
    # Most that fail do so in few ways, with nothing else to tell of them.
    alike: dict[tuple[str, bool], list[int]] = {}
    for one in settled:
        if one.photo_sha256 is None and one.size_bytes is None:
            alike.setdefault((one.outcome, one.failed), []).append(one.id)
        else:
            photo = {"photo_sha256": one.photo_sha256, "size_bytes": one.size_bytes}
            rows.append({"id": one.id, **_ended(one.outcome, failed=one.failed), **photo})
    _update_each(connection, sorted(rows, key=itemgetter("id")))
    for (outcome, failed), url_ids in alike.items():
        for part in in_parts(url_ids):
            connection.execute(
                update(crawl_urls)
                .where(among(connection, crawl_urls.c.id, part))
                .values(**_ended(outcome, failed=failed), photo_sha256=None, size_bytes=None)
            )
    shown = [{"id": one.id, "url": one.shown} for one in settled if one.shown is not None]
    _update_each(connection, shown)


def _ended(outcome: str, *, failed: bool) -> dict[str, Any]:
    return {
        "state": MemberState.DEAD if failed else MemberState.DONE,
        "outcome": outcome[:40],
        "shard": None,
        "touched_at": _now(),
    }


def _update_each(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    if connection.dialect.name == "sqlite":
        update_plainly(connection, crawl_urls, rows, key="id")
    elif rows:
        connection.execute(
            update(crawl_urls)
            .where(crawl_urls.c.id == bindparam("key"))
            .values({name: bindparam(name) for name in rows[0] if name != "id"}),
            [{"key": row["id"], **row} for row in rows],
        )


def rest_urls(
    connection: Connection,
    rests_s: Mapping[int, float],
    *,
    unasked: Collection[int] = (),
    timeout_s: float,
) -> set[int]:
    """Leave addresses whose host asked for patience in flight; each is recalled after its seconds.

    ``timeout_s`` is that of ``recall_urls``. To those that are ``unasked``, their host had said so
    before: it was no try. Returns those that rest; one that was tried ``MOST_RESTS`` times is not
    among them.
    """
    columns = crawl_urls.c
    resting = set(unasked)
    for part in in_parts(unasked):
        connection.execute(
            update(crawl_urls)
            .where(among(connection, columns.id, part), columns.attempts > 0)
            .values(attempts=columns.attempts - 1)
        )
    for part in in_parts(rests_s.keys() - resting):
        query = select(columns.id).where(
            among(connection, columns.id, part), columns.attempts < MOST_RESTS
        )
        resting.update(connection.scalars(query))
    rows = [
        {
            "id": url_id,
            "shard": None,
            "touched_at": _now() + timedelta(seconds=rests_s[url_id] - timeout_s),
        }
        for url_id in sorted(resting)
    ]
    _update_each(connection, rows)
    return resting


def _now() -> datetime:
    return datetime.now(UTC)
