"""Runs as a page shows them: progress at a glance, errors by reason, dead members tried again."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from schemas.base import Frozen
from schemas.errors import UsageError
from schemas.runs import MemberState, Progress, Run, RunKind, RunState
from storage.crawl_parts import retry_parts
from storage.crawl_report import read_progress_of
from storage.crawl_tables import crawl_urls
from storage.crawl_urls import retry_urls
from storage.members import count_members_of, revive_members
from storage.runs import clear_run_error, list_runs, lock_run, read_run, reopen_run
from storage.stages import DONE, Stage, read_stages_of
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
    return _view_all(connection, [read_run(connection, run_id)])[0]


def view_runs(connection: Connection, *, before: int | None, limit: int) -> list[RunView]:
    """Return runs, newest first, from those older than ``before``."""
    return _view_all(connection, list_runs(connection, before=before, limit=limit))


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
    counts: dict[str, int] = dict(connection.execute(query).all())
    place = func.row_number().over(partition_by=reason, order_by=influencers.c.username)
    numbered = (
        select(influencers.c.username, reason.label("reason"), place.label("place"))
        .join(run_members, columns.influencer_id == influencers.c.id)
        .where(*dead)
        .subquery()
    )
    first = select(numbered.c.reason, numbered.c.username).where(numbered.c.place <= EXAMPLES)
    named: dict[str, list[str]] = {}
    for why, username in connection.execute(first.order_by(numbered.c.place)):
        named.setdefault(why, []).append(username)
    return [
        ProblemGroup(reason=why, count=count, accounts=tuple(named.get(why, ())))
        for why, count in counts.items()
    ]


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


def _view_all(connection: Connection, listed: Sequence[Run]) -> list[RunView]:
    """Read what all need at once: a question for each run would be many for a page of them."""
    keys = [run.id for run in listed if run.kind is not RunKind.CRAWL]
    stages = read_stages_of(connection, keys) if keys else {}
    classified = [key for key in keys if key not in stages]
    counts = count_members_of(connection, classified) if classified else {}
    crawls = [run for run in listed if run.kind is RunKind.CRAWL]
    crawled = read_progress_of(connection, crawls) if crawls else {}
    return [
        _view_crawl(run, crawled[run.id])
        if run.id in crawled
        else _view_stages(run, stages[run.id])
        if run.id in stages
        else _view_members(run, counts[run.id])
        for run in listed
    ]


def _view_crawl(run: Run, crawl: Progress) -> RunView:
    waiting = {MemberState.PENDING: crawl.total - crawl.done}
    return _timed(run, crawl.stage, crawl.total, crawl.done, crawl.failed, waiting)


def _view_stages(run: Run, stages: Mapping[str, Stage]) -> RunView:
    done = sum(stage.state == DONE for stage in stages.values())
    now = next((name for name, stage in stages.items() if stage.state == "running"), "")
    return _timed(run, now, len(stages), done, 0, {})


def _view_members(run: Run, counts: dict[MemberState, int]) -> RunView:
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
