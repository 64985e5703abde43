"""Runs as a page shows them: progress at a glance, errors by reason, dead members tried again."""

from collections.abc import Collection
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from schemas.base import Frozen
from schemas.errors import UsageError
from schemas.runs import MemberState, Run, RunKind, RunState
from storage.crawl_parts import retry_parts
from storage.crawl_report import read_crawl_progress
from storage.crawl_tables import crawl_urls
from storage.crawl_urls import retry_urls
from storage.members import count_members, revive_members
from storage.runs import clear_run_error, list_runs, lock_run, read_run, reopen_run
from storage.stages import DONE, read_stages
from storage.tables import influencers, run_members

REASONS = 20
EXAMPLES = 5


class RunView(Frozen):
    """A run with how far it is; ``eta_s`` is what is left at the pace so far, if that tells."""

    run: Run
    stage: str
    total: int
    done: int
    failed: int
    waiting: int
    in_flight: int
    eta_s: float | None

    @property
    def percent(self) -> float:
        """How much of it is done, 0 to 100."""
        return 100 * self.done / self.total if self.total else 0.0


class ProblemGroup(Frozen):
    """Accounts of a run that failed for the same reason; ``accounts`` names some of them."""

    reason: str
    count: int
    accounts: tuple[str, ...]


def view_run(connection: Connection, run_id: int) -> RunView:
    """Return how far a run is.

    Raises:
        NotFoundError: there is no such run.
    """
    return _view(connection, read_run(connection, run_id))


def view_runs(connection: Connection, *, before: int | None, limit: int) -> list[RunView]:
    """Return runs, newest first, from those older than ``before``."""
    listed = [run for run in list_runs(connection) if before is None or run.id < before]
    return [_view(connection, run) for run in listed[:limit]]


def group_problems(connection: Connection, run_id: int) -> list[ProblemGroup]:
    """Return why accounts of a run (or addresses of a crawl) failed, most frequent first.

    A long reason is cut; that of addresses names some of their hosts.
    """
    if read_run(connection, run_id).kind is RunKind.CRAWL:
        return _group_addresses(connection, run_id)
    columns = run_members.c
    reason = func.substr(func.coalesce(columns.problem, ""), 1, 200)
    dead = (columns.run_id == run_id, columns.state == MemberState.DEAD)
    query = (
        select(reason.label("reason"), func.count().label("count"))
        .where(*dead)
        .group_by(reason)
        .order_by(func.count().desc())
        .limit(REASONS)
    )
    groups = []
    for row in connection.execute(query):
        named = (
            select(influencers.c.username)
            .join(run_members, columns.influencer_id == influencers.c.id)
            .where(*dead, reason == row.reason)
            .order_by(influencers.c.username)
            .limit(EXAMPLES)
        )
        names = tuple(connection.scalars(named))
        groups.append(ProblemGroup(reason=row.reason, count=row.count, accounts=names))
    return groups


def _group_addresses(connection: Connection, run_id: int) -> list[ProblemGroup]:
    columns = crawl_urls.c
    dead = (columns.run_id == run_id, columns.state == MemberState.DEAD)
    query = (
        select(columns.outcome, func.count().label("count"))
        .where(*dead)
        .group_by(columns.outcome)
        .order_by(func.count().desc())
        .limit(REASONS)
    )
    groups = []
    for row in connection.execute(query).all():
        busiest = (
            select(columns.host)
            .where(*dead, columns.outcome == row.outcome)
            .group_by(columns.host)
            .order_by(func.count().desc(), columns.host)
            .limit(EXAMPLES)
        )
        hosts = ", ".join(connection.scalars(busiest))
        reason = f"{row.outcome}: {hosts}"
        groups.append(ProblemGroup(reason=reason, count=row.count, accounts=()))
    return groups


def retry_failed(connection: Connection, run_id: int) -> int:
    """Put what a run or crawl gave up back in line and let it run; return how much that is.

    Raises:
        NotFoundError: there is no such run.
        UsageError: it was cancelled, or nothing of it failed.
    """
    run = lock_run(connection, run_id)
    if run.state is RunState.CANCELLED:
        raise UsageError(f"Run {run_id} was cancelled: start another one.")
    if run.kind is RunKind.CRAWL:
        again = retry_parts(connection, run_id) + retry_urls(connection, run_id)
    else:
        again = revive_members(connection, run_id)
    if not again:
        raise UsageError(f"Nothing of run {run_id} has failed: there is nothing to try again.")
    if run.state.final:
        reopen_run(connection, run_id)
    else:
        clear_run_error(connection, run_id)
    return again


def running(found: Collection[RunView]) -> bool:
    """Whether any of these still moves."""
    return any(not view.run.state.final for view in found)


def _view(connection: Connection, run: Run) -> RunView:
    if run.kind is RunKind.CRAWL:
        crawl = read_crawl_progress(connection, run.id)
        waiting = {MemberState.PENDING: crawl.total - crawl.done}
        return _timed(run, crawl.stage, crawl.total, crawl.done, crawl.failed, waiting)
    stages = read_stages(connection, run.id)
    if stages:
        done = sum(stage.state == DONE for stage in stages.values())
        now = next((name for name, stage in stages.items() if stage.state == "running"), "")
        return _timed(run, now, len(stages), done, 0, {})
    counts = count_members(connection, run.id)
    dead = counts[MemberState.DEAD]
    done = counts[MemberState.DONE] + dead
    return _timed(run, "accounts", sum(counts.values()), done, dead, counts)


def _timed(
    run: Run, stage: str, total: int, done: int, failed: int, counts: dict[MemberState, int]
) -> RunView:
    eta_s = None
    # Stages take very different times: their number says nothing about the time left.
    if counts and run.state is RunState.RUNNING and done - failed > 0:
        elapsed_s = (datetime.now(UTC) - run.created_at).total_seconds()
        eta_s = elapsed_s / done * (total - done)
    return RunView(
        run=run,
        stage=stage,
        total=total,
        done=done,
        failed=failed,
        waiting=counts.get(MemberState.PENDING, 0),
        in_flight=counts.get(MemberState.IN_FLIGHT, 0),
        eta_s=eta_s,
    )
