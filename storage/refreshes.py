"""Refreshes of everybody: one at a time, and when the last one began."""

from collections.abc import Collection
from datetime import UTC, datetime

from sqlalchemy import Connection, insert, literal, select, text

from schemas.runs import MemberState, Run, RunKind
from storage.crawl_tables import crawl_parts
from storage.runs import list_runs
from storage.tables import influencers, posts

LOCK = 0x61667265
"""PostgreSQL's lock of refreshes: who looks for one and starts one must be alone."""

EVERYBODY = "everybody"
"""Set among the params of a run that refreshes every account."""


def last_refresh(connection: Connection) -> Run | None:
    """Return the newest refresh of everybody; nobody else starts one until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    crawls = list_runs(connection, kind=RunKind.CRAWL)
    return next((run for run in crawls if run.params.get(EVERYBODY)), None)


def add_everybody(connection: Connection, run_id: int) -> None:
    """Give a crawl every known account to list."""
    fixed: dict[str, object] = {
        "run_id": run_id,
        "kind": "account",
        "category": "",
        "state": MemberState.PENDING.value,
        "attempts": 0,
        "touched_at": datetime.now(UTC),
        "pages": 0,
        "found": 0,
        "idle_pages": 0,
    }
    columns = crawl_parts.c
    values = [literal(value, columns[name].type) for name, value in fixed.items()]
    # By the database itself: a million names need not come here.
    everyone = select(influencers.c.username, *values).order_by(influencers.c.username)
    query = insert(crawl_parts).from_select(["name", *fixed], everyone)
    connection.execute(query)


def known_posts(
    connection: Connection, username: str, external_ids: Collection[str]
) -> set[str] | None:
    """Return which of these posts of an account are stored; None if it is not known."""
    account = select(influencers.c.id).where(influencers.c.username == username)
    influencer_id = connection.scalars(account.with_for_update()).one_or_none()
    if influencer_id is None:
        return None
    query = select(posts.c.external_id).where(
        posts.c.influencer_id == influencer_id, posts.c.external_id.in_(external_ids)
    )
    return set(connection.scalars(query))
