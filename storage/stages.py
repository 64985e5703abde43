"""Stages of a training run: what is done, who holds the one that runs, what it left behind."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Update, case, or_, select, update

from schemas.base import Frozen
from storage.database import insert_or_update
from storage.tables import run_stages

PENDING = "pending"
RUNNING = "running"
DONE = "done"


class Stage(Frozen):
    """One stage as stored; ``output`` is what later stages need of it."""

    stage: str
    state: str
    done: int
    total: int
    attempts: int
    lease_until: datetime | None
    output: dict[str, Any] | None
    problem: str | None
    mark: str | None = None
    seconds: float | None = None

    @property
    def held(self) -> bool:
        """Whether a worker that is alive works on it, or a message for it is on its way."""
        return self.lease_until is not None and self.lease_until > datetime.now(UTC)


def add_stages(connection: Connection, run_id: int, names: tuple[str, ...]) -> None:
    """Record the stages of a run; known ones stay as they are."""
    rows = [
        {"run_id": run_id, "stage": name, "state": PENDING, "done": 0, "total": 0, "attempts": 0}
        for name in names
    ]
    insert_or_update(connection, run_stages, rows, key=["run_id", "stage"])


def read_stages(connection: Connection, run_id: int) -> dict[str, Stage]:
    """Return the stages of a run by name."""
    return read_stages_of(connection, [run_id]).get(run_id, {})


def read_stages_of(connection: Connection, run_ids: Collection[int]) -> dict[int, dict[str, Stage]]:
    """Return the stages of runs by run and name; of runs without any nothing."""
    query = select(run_stages).where(run_stages.c.run_id.in_(run_ids))
    found: dict[int, dict[str, Stage]] = {}
    for row in connection.execute(query):
        found.setdefault(row.run_id, {})[row.stage] = Stage(
            stage=row.stage,
            state=row.state,
            done=row.done,
            total=row.total,
            attempts=row.attempts,
            lease_until=row.lease_until,
            output=row.output,
            problem=row.problem,
            mark=row.mark,
            seconds=row.seconds,
        )
    return found


class DoneStage(Frozen):
    """A stage that some run finished: whose it was, what it left, and how long it took."""

    run_id: int
    output: dict[str, Any]
    seconds: float | None


def find_done_stage(
    connection: Connection, stage: str, *, mark: str | None = None, timed: bool = False
) -> DoneStage | None:
    """Return the newest finished stage of a name: with this mark, or one whose time was taken."""
    columns = run_stages.c
    query = select(columns.run_id, columns.output, columns.seconds).where(
        columns.stage == stage, columns.state == DONE
    )
    if mark is not None:
        query = query.where(columns.mark == mark)
    if timed:
        query = query.where(columns.seconds.is_not(None))
    row = connection.execute(query.order_by(columns.run_id.desc()).limit(1)).first()
    if row is None:
        return None
    return DoneStage(run_id=row.run_id, output=row.output or {}, seconds=row.seconds)


def note_start(connection: Connection, run_id: int, stage: str, *, total: int) -> None:
    """Note when work on a stage began, the first time, and how much there is of it."""
    connection.execute(
        update(run_stages)
        .where(
            run_stages.c.run_id == run_id,
            run_stages.c.stage == stage,
            run_stages.c.started_at.is_(None),
        )
        .values(started_at=datetime.now(UTC), total=total)
    )


def seconds_since_start(connection: Connection, run_id: int, stage: str) -> float | None:
    """Return how long ago a stage began, or None if that was not noted."""
    started = connection.scalar(
        select(run_stages.c.started_at).where(
            run_stages.c.run_id == run_id, run_stages.c.stage == stage
        )
    )
    return None if started is None else (datetime.now(UTC) - started).total_seconds()


def take_lease(
    connection: Connection, run_id: int, stage: str, *, holder: str, lease_s: float
) -> bool:
    """Hold an unfinished stage for a while; False if somebody else holds it."""
    now = datetime.now(UTC)
    columns = run_stages.c
    result = connection.execute(
        update(run_stages)
        .where(
            columns.run_id == run_id,
            columns.stage == stage,
            columns.state != DONE,
            or_(
                columns.lease_until.is_(None),
                columns.lease_until <= now,
                columns.lease_holder == holder,
                # Only promised to a message that is on its way, which this may be.
                columns.state == PENDING,
            ),
        )
        .values(
            state=RUNNING,
            lease_holder=holder,
            lease_until=now + timedelta(seconds=lease_s),
        )
    )
    return result.rowcount == 1


def promise_lease(connection: Connection, run_id: int, stage: str, *, lease_s: float) -> None:
    """Note that a message for a stage was sent: nobody sends another for a while.

    That a stage was begun and then not heard of again counts as an attempt; that a message is
    still waiting for a worker does not.
    """
    connection.execute(
        update(run_stages)
        .where(run_stages.c.run_id == run_id, run_stages.c.stage == stage)
        .values(
            state=PENDING,
            attempts=case(
                (run_stages.c.state == RUNNING, run_stages.c.attempts + 1),
                else_=run_stages.c.attempts,
            ),
            lease_holder=None,
            lease_until=datetime.now(UTC) + timedelta(seconds=lease_s),
        )
    )


def keep_lease(
    connection: Connection,
    run_id: int,
    stage: str,
    *,
    holder: str | None,
    lease_s: float,
    done: int | None = None,
    total: int | None = None,
) -> bool:
    """Say that a stage goes on, and how far it is; False if it is not, or no longer, ``holder``'s.

    None is for a stage that no single worker holds, as its messages are many.
    """
    values: dict[str, Any] = {"lease_until": datetime.now(UTC) + timedelta(seconds=lease_s)}
    if done is not None:
        values["done"] = done
    if total is not None:
        values["total"] = total
    query = _unfinished(run_id, stage).where(run_stages.c.lease_holder == holder)
    return connection.execute(query.values(values)).rowcount == 1


def note_output(connection: Connection, run_id: int, stage: str, *, output: dict[str, Any]) -> None:
    """Show what a stage that is still at work has so far; ``finish_stage`` has the last word."""
    connection.execute(_unfinished(run_id, stage).values(output=output))


def drop_lease(
    connection: Connection, run_id: int, stage: str, *, holder: str | None, problem: str
) -> bool:
    """Count a failed attempt and give the stage back, so that it is tried again soon.

    False, and nothing is changed, if it is not ``holder``'s; None as for ``keep_lease``.
    """
    query = _unfinished(run_id, stage).where(run_stages.c.lease_holder == holder)
    result = connection.execute(
        query.values(
            state=PENDING,
            attempts=run_stages.c.attempts + 1,
            lease_until=None,
            lease_holder=None,
            problem=problem[:1000],
        )
    )
    return result.rowcount == 1


def finish_stage(
    connection: Connection,
    run_id: int,
    stage: str,
    *,
    output: dict[str, Any],
    holder: str | None = None,
    seconds: float | None = None,
) -> bool:
    """Note that a stage is done and what it left behind; its ``mark`` is kept apart as well.

    With ``holder``, only if that one still holds it; return whether this call finished it.
    """
    query = _unfinished(run_id, stage)
    if holder is not None:
        query = query.where(run_stages.c.lease_holder == holder)
    result = connection.execute(
        query.values(
            state=DONE,
            output=output,
            mark=output.get("mark"),
            seconds=seconds,
            lease_until=None,
            lease_holder=None,
        )
    )
    return result.rowcount == 1


def _unfinished(run_id: int, stage: str) -> Update:
    columns = run_stages.c
    return update(run_stages).where(
        columns.run_id == run_id, columns.stage == stage, columns.state != DONE
    )
