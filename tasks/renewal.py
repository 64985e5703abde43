"""New posts of known accounts: asked for by hand, or by the clock."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pipelines.sources.values import parse_username
from schemas.errors import UsageError
from schemas.runs import RunKind
from schemas.settings import Settings
from storage.accounts import count_accounts, find_account
from storage.crawl_parts import NewPart, add_parts
from storage.refreshes import EVERYBODY, add_everybody, last_refresh
from storage.runs import create_run
from tasks.app import app, task
from tasks.context import Context, context
from tasks.crawl_pages import read_access
from tasks.refreshing import has_access

log = logging.getLogger(__name__)


@task("runs.refresh")
def refresh_by_clock() -> str:
    """Start refreshing everybody if the last time is long enough ago and has ended."""
    resources = context()
    hours = resources.settings.refresh_hours
    if not hours:
        return "off"
    if not has_access(resources.settings):
        log.warning("AFIN_REFRESH_HOURS is set, but nobody may ask Instagram: see docs/crawls.md.")
        return "nobody may ask"
    before = datetime.now(UTC) - timedelta(hours=hours)
    run_id = _start_everybody(resources, before=before)
    return "not yet" if run_id is None else f"run={run_id}"


def refresh_everybody(resources: Context) -> int:
    """Start asking for the new posts of every known account; return the run's id.

    Raises:
        UsageError: nobody is known, or it is being done.
        SourceBlockedError: the token or the account that asks is not set.
    """
    read_access(resources.settings)
    run_id = _start_everybody(resources)
    if run_id is None:
        raise UsageError("There is no account yet: 'afin import accounts FILE' brings some.")
    return run_id


def refresh_accounts(resources: Context, usernames: Sequence[str]) -> int:
    """Start asking for the new posts of known accounts; return the run's id.

    Raises:
        UsageError: a username is none.
        NotFoundError: one is of no known account.
        SourceBlockedError: the token or the account that asks is not set.
    """
    read_access(resources.settings)
    try:
        names = [parse_username(name) for name in usernames]
    except ValueError as error:
        raise UsageError(str(error)) from None
    with resources.database.write() as connection:
        for name in names:
            find_account(connection, name)
        run_id = create_run(connection, RunKind.CRAWL, params=_params(resources.settings))
        parts = [NewPart(kind="account", name=name) for name in names]
        add_parts(connection, run_id, parts)
    app.send_task("runs.feed", (run_id,))
    return run_id


def _start_everybody(resources: Context, *, before: datetime | None = None) -> int | None:
    """Start a run over everybody, unless the last one began after ``before`` or goes on."""
    with resources.database.write() as connection:
        last = last_refresh(connection)
        if count_accounts(connection) == 0:
            return None
        if last is not None and not last.state.final:
            if before is not None:
                return None
            raise UsageError(
                f"Run {last.id} is asking for everybody's new posts: 'afin runs watch {last.id}' "
                f"shows how far it is, 'afin runs cancel {last.id}' ends it."
            )
        if last is not None and before is not None and last.created_at > before:
            return None
        params = _params(resources.settings) | {EVERYBODY: True}
        run_id = create_run(connection, RunKind.CRAWL, params=params)
        add_everybody(connection, run_id)
    app.send_task("runs.feed", (run_id,))
    return run_id


def _params(settings: Settings) -> dict[str, object]:
    return {
        "source": "instagram",
        "categories": [],
        "urgent": False,
        "refresh": True,
        "posts": settings.refresh_posts,
    }
