"""Crawls: the feeder that keeps lists and photos in flight, and the two tasks that fetch them."""

import logging
import math
import secrets
from collections.abc import Coroutine, Mapping
from concurrent.futures import CancelledError
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from pipelines.sources.http import PassingError, ThrottledError
from schemas.errors import (
    AfinError,
    BudgetError,
    FetchError,
    NotFoundError,
    SourceBlockedError,
    SourceError,
    UsageError,
)
from schemas.runs import MemberState, Run, RunState
from schemas.settings import Settings
from storage.crawl_counts import (
    count_handed_out,
    count_in_flight,
    count_photos,
    count_waiting,
)
from storage.crawl_parts import (
    Part,
    begin_part,
    claim_parts,
    count_parts,
    finish_parts,
    give_up_parts,
    open_parts,
    postpone_part,
    recall_parts,
)
from storage.crawl_urls import begin_shard, claim_urls, recall_urls, skip_urls
from storage.runs import end_run, is_current, lock_run, note_run_error, read_run
from tasks.app import EVENT_SUFFIX, app, task
from tasks.chords import never_failing
from tasks.context import Context, context
from tasks.crawl_listing import keep_listing
from tasks.crawl_pages import Listing, list_page
from tasks.crawl_photos import crawl_shard
from tasks.fetching import fetching

log = logging.getLogger(__name__)

PAGE_DEADLINE_S = 300.0
"""Longest time one page may take; threads know no time limit of Celery's."""

BACKOFF_S = 5.0
BACKOFF_CAP_S = 300.0
WINDOWS_IN_FLIGHT = 3
"""So many times more addresses may be fetched than wait: a host that says nothing for a quarter of
a minute has a part of every window meanwhile, and a process hardly notices those that queue."""

PATIENCE = 3
"""A list may be silent this many times longer than an account in a run before it is sent again."""


@task("scrape.page")
@never_failing
def page(run_id: int, generation: int, part_id: int) -> str:
    """List one page of a part of a crawl, and store what it names."""
    resources = context()
    with resources.database.write() as connection:
        run = read_run(connection, run_id)
        part = begin_part(connection, part_id) if is_current(run, generation) else None
    if part is None:
        return "stale"
    try:
        status = _list_and_keep(resources, run, part)
    except CancelledError:
        return "cancelled"
    except (AfinError, TimeoutError) as error:
        status = _put_off(resources, run, part, error)
    except Exception as error:
        # Whatever is wrong with a page hurts only its list.
        log.exception("crawl %s: %s %s", run.id, part.kind, part.name)
        reason = f"It failed ({type(error).__name__}): see the scrape workers' logs."
        status = _put_off(resources, run, part, RuntimeError(reason))
    app.send_task("runs.feed", (run_id,))
    return status


def _list_and_keep(resources: Context, run: Run, part: Part) -> str:
    loop, fetcher = fetching()
    # Never longer than until the sweeper would send it out again.
    deadline_s = min(PAGE_DEADLINE_S, resources.settings.member_timeout_s * PATIENCE)
    work: Coroutine[Any, Any, Listing] = list_page(resources, fetcher, part, run.params)
    listing = loop.run(work, timeout_s=deadline_s)
    new = keep_listing(resources, run, part, listing)
    return f"{part.kind} {part.name}: found={len(listing.photos) + len(listing.posts)} new={new}"


@task("scrape.fetch")
@never_failing
def fetch(run_id: int, generation: int, shard: int) -> str:
    """Fetch the photos of a shard of a crawl; the slowest go on after the message has ended."""
    resources = context()
    with resources.database.write() as connection:
        run = read_run(connection, run_id)
        current = is_current(run, generation)
        wanted = begin_shard(connection, run_id, shard) if current else []
    if not wanted:
        return "stale"
    try:
        settled, stored = crawl_shard(run, shard, wanted)
    except CancelledError:
        return "cancelled"
    app.send_task("runs.feed", (run_id,))
    return f"photos={len(wanted)} settled={settled} stored={stored}"


def sweep_crawl(resources: Context, run: Run) -> None:
    """Put back in line what nothing was heard of."""
    settings = resources.settings
    with resources.database.write() as connection:
        again = recall_urls(
            connection,
            run.id,
            timeout_s=settings.member_timeout_s,
            max_attempts=settings.max_attempts,
        )
        recall_parts(
            connection,
            run.id,
            timeout_s=settings.member_timeout_s * PATIENCE,
            max_attempts=settings.max_attempts,
        )
    if again:
        log.info("crawl %s: %s addresses sent again", run.id, again)


def feed_crawl(resources: Context, run: Run) -> str:
    """Send out as many pages and photos of a crawl as its windows have room for, or end it.

    Sending is not undone if it is interrupted: the sweeper puts those back in line.
    """
    settings = resources.settings
    with resources.database.write() as connection:
        # Two feeders at once would both fill the window, and both what is left of a limit.
        run = lock_run(connection, run.id)
        if run.state is not RunState.RUNNING:
            return f"run is {run.state}"
        # Before what has landed: a photo that lands between counts twice, and never not at all.
        flying = count_in_flight(connection, run.id)
        photos = _heed_limit(connection, run)
        shards = _claim_shards(connection, run, settings, flying, photos)
        parts = []
        # Lists go on only while few photos wait: a source names millions.
        if count_waiting(connection, run.id, most=settings.crawl_window) < settings.crawl_window:
            parts = claim_parts(connection, run.id, window=settings.crawl_lists)
        if not shards and not parts:
            return _end_if_done(connection, run)
    suffix = EVENT_SUFFIX if run.params.get("urgent") else ""
    for part_id in parts:
        app.send_task("scrape.page", (run.id, run.generation, part_id), queue=f"scrape{suffix}")
    for shard in shards:
        app.send_task("scrape.fetch", (run.id, run.generation, shard), queue=f"scrape{suffix}")
    return f"lists={len(parts)} shards={len(shards)}"


def _claim_shards(
    connection: Connection,
    run: Run,
    settings: Settings,
    flying: Mapping[str, int],
    photos: Mapping[str, int],
) -> list[int]:
    most = WINDOWS_IN_FLIGHT * settings.crawl_window
    room = most - sum(flying.values())
    if room < settings.crawl_shard_urls:
        # Those that rest for their host's sake are in nobody's hands: as many again may do so.
        room = min(most - count_handed_out(connection, run.id), room + most)
    limit = run.params.get("limit")
    shards: list[int] = []
    if not limit:
        while room > 0 and (claimed := _claim_shard(connection, run, settings, room, None, shards)):
            room -= claimed
        return shards
    for category in run.params["categories"]:
        wanted = min(room, limit - photos.get(category, 0) - flying.get(category, 0))
        while wanted > 0 and (
            claimed := _claim_shard(connection, run, settings, wanted, category, shards)
        ):
            wanted -= claimed
            room -= claimed
    return shards


def _claim_shard(
    connection: Connection,
    run: Run,
    settings: Settings,
    room: int,
    category: str | None,
    shards: list[int],
) -> int:
    shard = secrets.randbits(48)
    most = min(settings.crawl_shard_urls, room)
    claimed = claim_urls(connection, run.id, shard=shard, most=most, category=category)
    if claimed:
        shards.append(shard)
    return claimed


def _heed_limit(connection: Connection, run: Run) -> Mapping[str, int]:
    """Stop listing and fetching for categories that have as many photos as were asked for.

    Returns how many photos each category has; nothing where no limit asks for it.
    """
    limit = run.params.get("limit")
    if not limit:
        return {}
    photos = count_photos(connection, run.id)
    full = {category for category, number in photos.items() if number >= limit}
    for category in full:
        finish_parts(connection, open_parts(connection, run.id, category=category))
        skip_urls(connection, run.id, category)
    if full.issuperset(run.params["categories"]):
        # A file of addresses is for all categories at once.
        finish_parts(connection, open_parts(connection, run.id))
    return photos


def _end_if_done(connection: Connection, run: Run) -> str:
    parts = count_parts(connection, run.id)
    if parts[MemberState.PENDING] or parts[MemberState.IN_FLIGHT]:
        return "waits for lists"
    if count_in_flight(connection, run.id) or count_waiting(connection, run.id, most=1):
        return "waits for photos"
    error = read_run(connection, run.id).error
    total, dead = sum(parts.values()), parts[MemberState.DEAD]
    if error is None and dead and dead == total:
        error = f"None of {total} lists could be read: 'afin scrape report {run.id}' says why."
    state = RunState.DONE if error is None else RunState.FAILED
    end_run(connection, run.id, state, error=error)
    return state


def _put_off(resources: Context, run: Run, part: Part, error: Exception) -> str:
    """Decide when, if ever, a part is listed again after an error."""
    reason = str(error) or "It took too long."
    now = datetime.now(UTC)
    wait_s = min(BACKOFF_S * math.exp2(part.attempts - 1), BACKOFF_CAP_S)
    with resources.database.write() as connection:
        match error:
            case BudgetError():
                postpone_part(
                    connection, part.id, until=error.free_at, problem=reason, attempt=False
                )
            case ThrottledError(retry_after_s=float(asked_s)):
                # Never given up, but asked more and more rarely, however short it says.
                until = now + timedelta(seconds=max(asked_s, wait_s))
                growing = part.attempts < resources.settings.max_attempts - 1
                postpone_part(connection, part.id, until=until, problem=reason, attempt=growing)
            case SourceBlockedError():
                # The run before its parts, as a page is stored: else each may wait for the other.
                note_run_error(connection, run.id, reason)
                give_up_parts(connection, open_parts(connection, run.id), problem=reason)
            case NotFoundError() | UsageError() | SourceError():
                give_up_parts(connection, [part.id], problem=reason)
            case FetchError() if not isinstance(error, PassingError):
                give_up_parts(connection, [part.id], problem=reason)
            case _ if part.attempts >= resources.settings.max_attempts:
                give_up_parts(connection, [part.id], problem=reason)
            case _:
                until = now + timedelta(seconds=wait_s)
                postpone_part(connection, part.id, until=until, problem=reason, attempt=True)
    log.warning("crawl %s: %s %s: %s", run.id, part.kind, part.name, reason)
    return f"{part.kind} {part.name}: {reason}"[:200]
