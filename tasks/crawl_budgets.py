"""Spending what sources allow: looked up and noted in one transaction, whichever worker asks."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from pipelines.sources.instagram import MOST_TAGS, next_free_tag_slot
from pipelines.sources.instagram.budget import WINDOW
from pipelines.sources.pexels.budget import HOUR, next_free_request
from schemas.crawls import RateState
from schemas.errors import BudgetError
from storage.budgets import (
    forget_requests,
    hash_account,
    lock_budgets,
    note_request,
    pause_source,
    read_pause,
    read_rate,
    read_requests,
    save_rate,
)
from tasks.context import Context

PEXELS, INSTAGRAM = "pexels", "instagram"


def spend_request(resources: Context, key: str) -> RateState | None:
    """Take one request out of Pexels' hour and month; return what it said last of the month.

    Raises:
        BudgetError: nothing is left; it says when there will be.
    """
    account, now = hash_account(key), datetime.now(UTC)
    with resources.database.write() as connection:
        lock_budgets(connection)
        asked = [
            moment for _, moment in read_requests(connection, PEXELS, account, since=now - HOUR)
        ]
        rate = read_rate(connection, PEXELS, account)
        free = [next_free_request(asked, rate, now), read_pause(connection, PEXELS, account)]
        free_at = max((moment for moment in free if moment is not None), default=None)
        if free_at is not None:
            raise BudgetError(
                "The requests that Pexels allows an hour or a month are spent", free_at
            )
        note_request(connection, PEXELS, account, "search")
        forget_requests(connection, PEXELS, before=now - HOUR)
    return rate


def keep_rate(resources: Context, key: str, rate: RateState) -> None:
    """Keep what Pexels' answer said of the month."""
    with resources.database.write() as connection:
        save_rate(connection, PEXELS, hash_account(key), rate)


def spend_tag(resources: Context, user_id: str, tag: str) -> None:
    """Take a tag out of the 30 that an account may ask for in 7 days; one asked before is free.

    Raises:
        BudgetError: none is left, or Instagram asked for patience; it says until when.
    """
    account, now = hash_account(user_id), datetime.now(UTC)
    with resources.database.write() as connection:
        lock_budgets(connection)
        _heed_pause(connection, account)
        asked = read_requests(connection, INSTAGRAM, account, since=now - 2 * WINDOW)
        free_at = next_free_tag_slot(asked, tag, now)
        if free_at is not None:
            raise BudgetError(
                f"This account has asked for {MOST_TAGS} different tags in 7 days", free_at
            )
        if not any(name == tag and moment > now - WINDOW for name, moment in asked):
            note_request(connection, INSTAGRAM, account, tag)
        forget_requests(connection, INSTAGRAM, before=now - timedelta(days=30))


def heed_pause(resources: Context, user_id: str) -> None:
    """Ask Instagram for nothing while it wants to be left alone.

    Raises:
        BudgetError: it does; it says until when.
    """
    with resources.database.read() as connection:
        _heed_pause(connection, hash_account(user_id))


def _heed_pause(connection: Connection, account: str) -> None:
    paused = read_pause(connection, INSTAGRAM, account)
    if paused is not None:
        raise BudgetError("Instagram's calls of this hour are nearly used up", paused)


def slow_down(resources: Context, source: str, account: str, until: datetime) -> None:
    """Let nobody ask a source on this account's behalf before a moment."""
    with resources.database.write() as connection:
        pause_source(connection, source, hash_account(account), until=until)
