"""Fetching: photos that posts name by address, many at once on one event loop a process."""

import asyncio
from collections.abc import Sequence

from sqlalchemy import Connection

from pipelines.sources.http import Fetcher, redact
from schemas.errors import FetchError, PhotoError
from schemas.posts import Problem
from storage.accounts import existing_posts
from storage.members import touch_members
from storage.photos import (
    PendingPhoto,
    PhotoRow,
    add_photos,
    forget_unused_photos,
    pending_photos,
    settle_photo,
)
from storage.problems import add_problems
from storage.runs import is_current, read_run
from tasks.app import task
from tasks.chords import never_failing, noting_problems
from tasks.context import Context, context
from tasks.fetching import fetching
from tasks.ingest import check_photo

SHARD_DEADLINE_S = 600.0
"""Longest time one shard may take; threads know no time limit of Celery's."""


@task("scrape.photos", ignore_result=True)
@never_failing
def photos(run_id: int, generation: int, influencer_id: int, first: int, last: int) -> str:
    """Fetch the photos still missing of an account's posts with ids from ``first`` to ``last``.

    A photo that cannot be had is recorded on its post with the reason.
    """
    resources = context()
    with resources.database.read() as connection:
        run = read_run(connection, run_id)
        if not is_current(run, generation):
            return "stale"
        wanted = pending_photos(connection, influencer_id, first=first, last=last, scope=run.scope)
    with noting_problems(resources, run_id, influencer_id):
        loop, fetcher = fetching()
        found = loop.run(_fetch_all(resources, fetcher, wanted), timeout_s=SHARD_DEADLINE_S)
        stored = settle(resources, wanted, found)
    with resources.database.write() as connection:
        touch_members(connection, run_id, [influencer_id])
    return f"photos={len(wanted)} stored={stored}"


def settle(
    resources: Context,
    wanted: Sequence[PendingPhoto],
    found: Sequence[PhotoRow | FetchError | PhotoError],
) -> int:
    """Record how each fetch ended, in one transaction; return how many photos were stored."""
    rows = [result for result in found if isinstance(result, PhotoRow)]
    problems: list[tuple[Problem, int]] = []
    with resources.database.write() as connection:
        add_photos(connection, rows)
        for photo, result in zip(wanted, found, strict=True):
            if isinstance(result, PhotoRow):
                settle_photo(connection, photo, sha256=result.sha256, problem=None)
                continue
            settle_photo(connection, photo, sha256=None, problem=result.reason[:40])
            problem = Problem(where=redact(photo.url), reason=result.reason, detail=str(result))
            problems.append((problem, photo.post_id))
        add_problems(connection, "fetch", _of_posts(connection, problems))
        # An account may have been erased while its photos were on their way.
        forget_unused_photos(connection, [row.sha256 for row in rows])
    return len(rows)


def _of_posts(
    connection: Connection, problems: Sequence[tuple[Problem, int]]
) -> list[tuple[Problem, int]]:
    """Leave only the problems of posts that still exist."""
    known = existing_posts(connection, [post_id for _problem, post_id in problems])
    return [(problem, post_id) for problem, post_id in problems if post_id in known]


async def _fetch_all(
    resources: Context, fetcher: Fetcher, wanted: Sequence[PendingPhoto]
) -> list[PhotoRow | FetchError | PhotoError]:
    return await asyncio.gather(*(_fetch_one(resources, fetcher, photo.url) for photo in wanted))


async def _fetch_one(
    resources: Context, fetcher: Fetcher, url: str
) -> PhotoRow | FetchError | PhotoError:
    try:
        answer = await fetcher.fetch(url)
        # Decoding and writing would hold up every other fetch on this loop.
        return await asyncio.to_thread(check_photo, resources, answer.body)
    except (FetchError, PhotoError) as error:
        return error
