"""Runs over accounts: a row a run, a row a member; progress is a count."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from schemas.errors import NotFoundError
from schemas.runs import MemberState, Progress, Run, RunKind, RunState
from storage.members import count_members
from storage.tables import runs
from storage.totals import select_totals

# Made once: every message begins with it, and making a statement takes longer than running it.
_ONE = select(runs).where(runs.c.id == bindparam("run_id"))
_LOCKED = _ONE.with_for_update(read=True)


def create_run(
    connection: Connection, kind: RunKind, *, params: dict[str, Any], bundle_id: str | None = None
) -> int:
    """Record a new run and return its id; it has no members yet."""
    result = connection.execute(
        insert(runs)
        .values(
            kind=kind,
            state=RunState.RUNNING,
            generation=0,
            bundle_id=bundle_id,
            params=params,
            created_at=_now(),
        )
        .returning(runs.c.id)
    )
    identifier: int = result.scalar_one()
    return identifier


def read_run(connection: Connection, run_id: int, *, lock: bool = False) -> Run:
    """Return one run; with ``lock`` nobody ends or cancels it until the transaction ends.

    Raises:
        NotFoundError: there is no such run.
    """
    row = connection.execute(_LOCKED if lock else _ONE, {"run_id": run_id}).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no run {run_id}: 'afin runs list' shows those there are.")
    return _run(row)


def lock_run(connection: Connection, run_id: int) -> Run:
    """Return one run, and let nobody else feed or steer it until the transaction ends.

    Raises:
        NotFoundError: there is no such run.
    """
    connection.execute(select(runs.c.id).where(runs.c.id == run_id).with_for_update())
    return read_run(connection, run_id)


def list_runs(
    connection: Connection,
    *,
    state: RunState | None = None,
    kind: RunKind | None = None,
    before: int | None = None,
    limit: int | None = None,
) -> list[Run]:
    """Return runs, newest first: those of one state or kind, older than one, so many at most."""
    query = select(runs).order_by(runs.c.id.desc())
    if state is not None:
        query = query.where(runs.c.state == state)
    if kind is not None:
        query = query.where(runs.c.kind == kind)
    if before is not None:
        query = query.where(runs.c.id < before)
    return [_run(row) for row in connection.execute(query.limit(limit))]


def is_current(run: Run, generation: int) -> bool:
    """Whether a message of this generation still has work to do (a paused run ends what flies)."""
    return run.generation == generation and run.state in {RunState.RUNNING, RunState.PAUSED}


def end_run(
    connection: Connection, run_id: int, state: RunState, *, error: str | None = None
) -> bool:
    """Bring a run to a final state once; return whether this call did it.

    Cancelling also raises the generation, so that messages on their way end at once.
    """
    # Before the totals are counted: whoever adds to them holds the run until that is stored.
    connection.execute(select(runs.c.id).where(runs.c.id == run_id).with_for_update())
    accounts, addresses = select_totals(run_id)
    values: dict[str, Any] = {
        "state": state,
        "error": error,
        "finished_at": _now(),
        "members": accounts + addresses,
    }
    if state is RunState.CANCELLED:
        values["generation"] = runs.c.generation + 1
    result = connection.execute(
        update(runs)
        .where(runs.c.id == run_id, runs.c.state.in_((RunState.RUNNING, RunState.PAUSED)))
        .values(values)
    )
    return result.rowcount == 1


def pause_run(connection: Connection, run_id: int) -> bool:
    """Stop feeding a run; what flies ends. Return whether it was running."""
    return _change_state(connection, run_id, RunState.RUNNING, RunState.PAUSED)


def resume_run(connection: Connection, run_id: int) -> bool:
    """Go on feeding a paused run; return whether it was paused."""
    return _change_state(connection, run_id, RunState.PAUSED, RunState.RUNNING)


def note_run_error(connection: Connection, run_id: int, error: str) -> None:
    """Keep why a run will have failed although some of its work still goes on."""
    connection.execute(update(runs).where(runs.c.id == run_id).values(error=error[:1000]))


def clear_run_error(connection: Connection, run_id: int) -> None:
    """Forget why a run would have failed: that work is tried again."""
    connection.execute(update(runs).where(runs.c.id == run_id).values(error=None))


def reopen_run(connection: Connection, run_id: int) -> None:
    """Let a run that had ended go on, because some of its work is to be tried again.

    Its generation rises, so that a message left over from before does nothing.
    """
    connection.execute(
        update(runs)
        .where(runs.c.id == run_id)
        .values(
            state=RunState.RUNNING,
            error=None,
            finished_at=None,
            members=None,
            generation=runs.c.generation + 1,
        )
    )


def read_progress(connection: Connection, run_id: int) -> Progress:
    """Return how far a run over accounts is."""
    run = read_run(connection, run_id)
    counts = count_members(connection, run_id)
    dead = counts[MemberState.DEAD]
    return Progress(
        state=run.state,
        total=sum(counts.values()),
        done=counts[MemberState.DONE] + dead,
        failed=dead,
        stage="accounts",
        error=run.error,
    )


def _change_state(connection: Connection, run_id: int, old: RunState, new: RunState) -> bool:
    result = connection.execute(
        update(runs).where(runs.c.id == run_id, runs.c.state == old).values(state=new)
    )
    return result.rowcount == 1


def _run(row: Row[Any]) -> Run:
    return Run(
        id=row.id,
        kind=RunKind(row.kind),
        state=RunState(row.state),
        generation=row.generation,
        bundle_id=row.bundle_id,
        params=row.params,
        error=row.error,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


def _now() -> datetime:
    return datetime.now(UTC)
