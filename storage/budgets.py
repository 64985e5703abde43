"""What may be asked of sources yet: kept for each key or account, whichever worker asks."""

import hashlib
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, insert, select, text

from schemas.crawls import RateState
from storage.crawl_tables import crawl_rates, crawl_requests
from storage.database import insert_or_update

LOCK = 0x61666275
"""PostgreSQL's lock of all budgets: who reads one and asks must be alone."""


def hash_account(secret: str) -> str:
    """Return what a key or account is known by, from which it cannot be told."""
    return hashlib.sha256(f"afin budget {secret}".encode()).hexdigest()[:16]


def lock_budgets(connection: Connection) -> None:
    """Let one worker at a time look at budgets and spend from them, until its transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})


def note_request(connection: Connection, source: str, account: str, what: str) -> None:
    """Record that something is asked of a source now."""
    connection.execute(
        insert(crawl_requests).values(
            source=source, account=account, what=what[:100], asked_at=datetime.now(UTC)
        )
    )


def read_requests(
    connection: Connection, source: str, account: str, *, since: datetime
) -> list[tuple[str, datetime]]:
    """Return what was asked of a source and when, oldest first."""
    columns = crawl_requests.c
    query = select(columns.what, columns.asked_at).where(
        columns.source == source, columns.account == account, columns.asked_at >= since
    )
    return [
        (row.what, row.asked_at) for row in connection.execute(query.order_by(columns.asked_at))
    ]


def forget_requests(connection: Connection, source: str, *, before: datetime) -> None:
    """Delete requests that no budget counts any more."""
    columns = crawl_requests.c
    connection.execute(
        delete(crawl_requests).where(columns.source == source, columns.asked_at < before)
    )


def save_rate(connection: Connection, source: str, account: str, rate: RateState) -> None:
    """Keep what a source said last of what is left; what it did not say stays."""
    said = {name: value for name, value in rate.model_dump().items() if value is not None}
    insert_or_update(
        connection,
        crawl_rates,
        [{"source": source, "account": account, **said}],
        key=["source", "account"],
        update=list(said),
    )


def read_rate(connection: Connection, source: str, account: str) -> RateState | None:
    """Return what a source said last of what is left."""
    columns = crawl_rates.c
    row = connection.execute(
        select(columns.limit, columns.remaining, columns.reset_at).where(
            columns.source == source, columns.account == account
        )
    ).one_or_none()
    if row is None:
        return None
    return RateState(limit=row.limit, remaining=row.remaining, reset_at=row.reset_at)


def pause_source(connection: Connection, source: str, account: str, *, until: datetime) -> None:
    """Note that a source is not to be asked before a moment."""
    insert_or_update(
        connection,
        crawl_rates,
        [{"source": source, "account": account, "not_before": until}],
        key=["source", "account"],
        update=["not_before"],
    )


def read_pause(connection: Connection, source: str, account: str) -> datetime | None:
    """Return until when a source is not to be asked; None if it may be now."""
    until = connection.scalar(
        select(crawl_rates.c.not_before).where(
            crawl_rates.c.source == source, crawl_rates.c.account == account
        )
    )
    return until if until is not None and until > datetime.now(UTC) else None
