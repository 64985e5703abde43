"""Runs as a page shows them: progress at a glance, errors by reason, dead members tried again."""

from collections.abc import Collection
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select, update

from schemas.base import Frozen
from schemas.errors import UsageError
from schemas.runs import MemberState, Run, RunKind, RunState
from storage.crawl_report import read_crawl_progress
from storage.members import count_members
from storage.runs import list_runs, read_run
from storage.stages import DONE, read_stages
from storage.tables import influencers, run_members, runs

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
    """Return why accounts of a run failed, most frequent first; a long reason is cut."""
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


def retry_failed(connection: Connection, run_id: int) -> int:
    """Put the members that a run gave up back in line and let it run; return how many.

    Raises:
        NotFoundError: there is no such run.
        UsageError: it was cancelled, or nothing of it failed.
    """
    run = read_run(connection, run_id)
    if run.state is RunState.CANCELLED:
        raise UsageError(f"Run {run_id} was cancelled: start another one.")
    again = connection.execute(
        update(run_members)
        .where(run_members.c.run_id == run_id, run_members.c.state == MemberState.DEAD)
        .values(state=MemberState.PENDING, attempts=0, problem=None, touched_at=datetime.now(UTC))
    ).rowcount
    if not again:
        raise UsageError(f"Nothing of run {run_id} has failed: there is nothing to try again.")
    connection.execute(
        update(runs)
        .where(runs.c.id == run_id, runs.c.state.in_((RunState.DONE, RunState.FAILED)))
        .values(state=RunState.RUNNING, error=None, finished_at=None)
    )
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
