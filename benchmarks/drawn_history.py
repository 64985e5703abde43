"""Crawls and events of a drawn store: what has piled up once afin has worked for a year."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from benchmarks.bulk import insert_rows
from benchmarks.drawn import NOW, account_name
from schemas.events import AnswerType, DeliveryState, EventState, EventType
from schemas.runs import MemberState, RunKind, RunState
from storage.crawl_tables import crawl_parts, crawl_urls
from storage.database import Database
from storage.event_tables import inbox, outbox
from storage.tables import runs

CRAWLS = 40
ADDRESSES_A_PART = 1000
FRESH = 2000
LATENCY_S = 4
OUTCOMES = ("stored", "stored", "stored", "duplicate", "low-quality", "known", "http-404")
DEAD = ("http-404",)


def insert_crawls(connection: Connection, last_run: int, addresses: int) -> None:
    """Write crawls with a tenth of ``addresses`` each that have ended, and one with all going on.

    They come after ``last_run``; the one that goes on is the newest.
    """
    sizes = [max(addresses // 10, 1)] * CRAWLS + [addresses]
    keys = range(last_run + 1, last_run + len(sizes) + 1)
    insert_rows(
        connection,
        runs,
        (
            {"id": key, "kind": RunKind.CRAWL, "generation": 0, "params": {"source": "pexels"}}
            | {"state": RunState.RUNNING if key == keys[-1] else RunState.DONE}
            | {"created_at": NOW, "finished_at": None if key == keys[-1] else NOW}
            | {"members": None if key == keys[-1] else size}
            for key, size in zip(keys, sizes, strict=True)
        ),
    )
    parts = list(_parts(dict(zip(keys, sizes, strict=True))))
    insert_rows(connection, crawl_parts, parts)
    insert_rows(connection, crawl_urls, _addresses(parts, going_on=keys[-1]))


def _parts(sizes: dict[int, int]) -> Iterator[dict[str, Any]]:
    key = 0
    for run_id, size in sizes.items():
        for number, first in enumerate(range(0, size, ADDRESSES_A_PART)):
            key += 1
            yield {
                "id": key,
                "run_id": run_id,
                "kind": "search",
                "name": f"search {number}",
                "category": "comida",
                "state": MemberState.DONE,
                "touched_at": NOW,
                "pages": 10,
                "found": min(ADDRESSES_A_PART, size - first),
            }


def _addresses(parts: list[dict[str, Any]], *, going_on: int) -> Iterator[dict[str, Any]]:
    key = 0
    for part in parts:
        for _ in range(part["found"]):
            key += 1
            url = f"https://photos{key % 7}.example/{key}.jpg"
            waits = part["run_id"] == going_on and key % 3 == 0
            outcome = None if waits else OUTCOMES[key % len(OUTCOMES)]
            ended = MemberState.DEAD if outcome in DEAD else MemberState.DONE
            yield {
                "id": key,
                "run_id": part["run_id"],
                "part_id": part["id"],
                "url": url,
                "url_sha256": hashlib.sha256(url.encode()).hexdigest(),
                "host": f"photos{key % 7}.example",
                "external_id": str(key),
                "category": part["category"],
                "state": MemberState.PENDING if waits else ended,
                "touched_at": NOW,
                "outcome": outcome,
                "size_bytes": 40_000 if outcome == "stored" else None,
            }


def insert_events(connection: Connection, accounts: int, event_runs: int) -> None:
    """Write the event that began each of the first runs, and the answer to it."""
    keys = range(1, event_runs + 1)
    insert_rows(
        connection,
        inbox,
        (
            {"id": key, "public_id": f"evt_{key}", "sender": "bench", "webhook_id": f"in_{key}"}
            | {"type": EventType.POSTED, "username": account_name(1 + key % accounts)}
            | {"payload": None, "reply": True, "state": EventState.DONE, "attempts": 1}
            | {"influencer_id": 1 + key % accounts, "run_id": key}
            | {"next_at": NOW, "received_at": NOW, "handled_at": NOW}
            for key in keys
        ),
    )
    insert_rows(
        connection,
        outbox,
        (
            {"id": key, "key": f"answer {key}", "webhook_id": f"msg_{key}", "sender": "bench"}
            | {"type": AnswerType.CONCLUDED, "username": account_name(1 + key % accounts)}
            | {"payload": None, "state": DeliveryState.DELIVERED, "attempts": 1}
            | {"next_at": NOW, "created_at": NOW, "delivered_at": NOW}
            for key in keys
        ),
    )


def freshen(database: Database) -> None:
    """Let the newest events have got their verdicts just now, as if afin had worked until here."""
    now = datetime.now(UTC)
    with database.write() as connection:
        newest = select(inbox.c.id).order_by(inbox.c.id.desc()).limit(FRESH)
        connection.execute(
            update(inbox)
            .where(inbox.c.id.in_(newest.scalar_subquery()))
            .values(received_at=now - timedelta(seconds=LATENCY_S), handled_at=now)
        )
