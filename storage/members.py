"""Members of runs: accounts that wait, fly, are done or dead, and what the sweeper puts back."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from functools import cache

from sqlalchemy import Connection, Update, bindparam, func, insert, literal, or_, select, update

from schemas.runs import MemberState
from storage.bulk import among, among_bound, bind_keys
from storage.database import insert_or_update
from storage.tables import influencers, run_members, runs
from storage.totals import count_states_of

PATIENCE = 10
"""How much longer a silent member is waited for while the rest of its run moves."""

HASTE = 6
"""How much sooner a member is tried again whose attempt is known to have failed."""

CLOCK_SKEW = timedelta(seconds=60)
"""How far the clocks of machines that share a database may differ."""

# Made once, as those below are: making a statement takes longer than running it.
_OF_RUN = run_members.c.run_id == bindparam("run")
_IN_FLIGHT = run_members.c.state == MemberState.IN_FLIGHT
_FLYING = select(func.count()).where(_OF_RUN, _IN_FLIGHT)
_WAITING = (
    select(run_members.c.influencer_id)
    .where(_OF_RUN, run_members.c.state == MemberState.PENDING)
    .limit(1)
)
_RANGE = select(run_members.c.influencer_id).where(
    _OF_RUN,
    _IN_FLIGHT,
    run_members.c.influencer_id.between(bindparam("first"), bindparam("last")),
)


def add_members(connection: Connection, run_id: int, influencer_ids: Collection[int]) -> None:
    """Give a run its accounts; one that is a member already stays as it is."""
    rows = [
        {
            "run_id": run_id,
            "influencer_id": identifier,
            "state": MemberState.PENDING,
            "attempts": 0,
            "touched_at": _now(),
        }
        for identifier in influencer_ids
    ]
    insert_or_update(connection, run_members, rows, key=["run_id", "influencer_id"])


def add_every_account(connection: Connection, run_id: int) -> int:
    """Make every account a member of a run and return how many there are."""
    chosen = select(
        literal(run_id),
        influencers.c.id,
        literal(MemberState.PENDING.value),
        literal(0),
        literal(_now(), type_=run_members.c.touched_at.type),
    )
    columns = ["run_id", "influencer_id", "state", "attempts", "touched_at"]
    connection.execute(insert(run_members).from_select(columns, chosen))
    return sum(count_members(connection, run_id).values())


def count_members(connection: Connection, run_id: int) -> dict[MemberState, int]:
    """Return how many members stand where."""
    return count_members_of(connection, [run_id])[run_id]


def count_members_of(
    connection: Connection, run_ids: Collection[int]
) -> dict[int, dict[MemberState, int]]:
    """Return by run how many members stand where."""
    return count_states_of(connection, run_members, run_ids)


def forget_member(connection: Connection, influencer_id: int) -> None:
    """Take an account that is about to be erased out of the totals of runs that have ended."""
    member_of = select(run_members.c.run_id).where(run_members.c.influencer_id == influencer_id)
    connection.execute(
        update(runs)
        .where(runs.c.id.in_(member_of), runs.c.members.is_not(None))
        .values(members=runs.c.members - 1)
    )


def count_in_flight(connection: Connection, run_id: int) -> int:
    """Return how many members are in flight: never more than the window, however long the run."""
    return connection.scalars(_FLYING, {"run": run_id}).one()


def has_pending(connection: Connection, run_id: int) -> bool:
    """Whether members still wait to be sent out."""
    return connection.execute(_WAITING, {"run": run_id}).first() is not None


def claim_members(connection: Connection, run_id: int, *, window: int) -> list[int]:
    """Put as many members in flight as the window has room for; return their accounts."""
    in_flight = count_in_flight(connection, run_id)
    if in_flight >= window:
        return []
    query = (
        select(run_members.c.influencer_id)
        .where(run_members.c.run_id == run_id, run_members.c.state == MemberState.PENDING)
        .order_by(run_members.c.influencer_id)
        .limit(window - in_flight)
        .with_for_update(skip_locked=True)
    )
    claimed = list(connection.scalars(query))
    connection.execute(
        update(run_members)
        .where(
            run_members.c.run_id == run_id, among(connection, run_members.c.influencer_id, claimed)
        )
        .values(
            state=MemberState.IN_FLIGHT,
            attempts=run_members.c.attempts + 1,
            touched_at=_now(),
            problem=None,
        )
    )
    return claimed


def touch_members(connection: Connection, run_id: int, influencer_ids: Collection[int]) -> None:
    """Note that work on members goes on, so that the sweeper lets them be."""
    keys = bind_keys(connection, influencer_ids)
    given = {"run": run_id, "keys": keys, "now": _now()}
    connection.execute(_touching(connection.dialect.name), given)


@cache
def _touching(dialect: str) -> Update:
    return (
        update(run_members)
        .where(
            run_members.c.run_id == bindparam("run"),
            among_bound(dialect, run_members.c.influencer_id, "keys"),
            run_members.c.state == MemberState.IN_FLIGHT,
        )
        .values(touched_at=bindparam("now"))
    )


def finish_members(connection: Connection, run_id: int, influencer_ids: Collection[int]) -> None:
    """Note that members have their verdict."""
    keys = bind_keys(connection, influencer_ids)
    given = {"run": run_id, "keys": keys, "now": _now()}
    connection.execute(_finishing(connection.dialect.name), given)


@cache
def _finishing(dialect: str) -> Update:
    return (
        update(run_members)
        .where(
            run_members.c.run_id == bindparam("run"),
            among_bound(dialect, run_members.c.influencer_id, "keys"),
        )
        .values(state=MemberState.DONE, problem=None, touched_at=bindparam("now"))
    )


def note_problem(
    connection: Connection, run_id: int, influencer_ids: Collection[int], problem: str
) -> None:
    """Keep beside members why their last attempt did not end."""
    connection.execute(
        update(run_members)
        .where(
            run_members.c.run_id == run_id,
            among(connection, run_members.c.influencer_id, influencer_ids),
        )
        .values(problem=problem[:1000])
    )


def recall_overdue(
    connection: Connection, run_id: int, *, timeout_s: float, max_attempts: int
) -> tuple[int, int]:
    """Put members back in line that nothing was heard of; give up those tried too often.

    While other members of the run move, a silent one is probably just waiting its turn and gets
    ten times as long; once nothing in the run moves, ``timeout_s`` counts; an attempt that is known
    to have failed is repeated after a sixth of it.

    Returns how many were put back and how many were given up.
    """
    _mend_clock(connection, run_id)
    oldest = connection.scalar(
        select(func.min(run_members.c.touched_at)).where(
            run_members.c.run_id == run_id, run_members.c.state == MemberState.IN_FLIGHT
        )
    )
    # Most of the time: spares reading a whole run every few seconds.
    if oldest is None or oldest > _now() - timedelta(seconds=timeout_s / HASTE):
        return 0, 0
    newest = connection.scalar(
        select(func.max(run_members.c.touched_at)).where(
            run_members.c.run_id == run_id, run_members.c.touched_at <= _now() + CLOCK_SKEW
        )
    )
    if newest is None:
        return 0, 0
    stalled = newest < _now() - timedelta(seconds=timeout_s)
    patience_s = timeout_s if stalled else timeout_s * PATIENCE
    columns = run_members.c
    overdue = (
        columns.run_id == run_id,
        columns.state == MemberState.IN_FLIGHT,
        or_(
            columns.touched_at < _now() - timedelta(seconds=patience_s),
            columns.problem.is_not(None)
            & (columns.touched_at < _now() - timedelta(seconds=timeout_s / HASTE)),
        ),
    )
    lost = "No worker finished this account in time; see the workers' logs."
    dead = connection.execute(
        update(run_members)
        .where(*overdue, run_members.c.attempts >= max_attempts)
        .values(
            state=MemberState.DEAD,
            touched_at=_now(),
            problem=func.coalesce(run_members.c.problem, lost),
        )
    ).rowcount
    again = connection.execute(
        update(run_members).where(*overdue).values(state=MemberState.PENDING, touched_at=_now())
    ).rowcount
    return again, dead


def _mend_clock(connection: Connection, run_id: int) -> None:
    """Bring members heard of in the future to this moment: the clock was moved back since.

    Else they would be waited for until the clock is there again.
    """
    columns = run_members.c
    connection.execute(
        update(run_members)
        .where(
            columns.run_id == run_id,
            columns.state == MemberState.IN_FLIGHT,
            columns.touched_at > _now() + CLOCK_SKEW,
        )
        .values(touched_at=_now())
    )


def read_member(
    connection: Connection, run_id: int, influencer_id: int
) -> tuple[MemberState, str | None] | None:
    """Return how a member stands and what its last attempt met; None where there is none."""
    row = connection.execute(
        select(run_members.c.state, run_members.c.problem).where(
            run_members.c.run_id == run_id, run_members.c.influencer_id == influencer_id
        )
    ).one_or_none()
    return None if row is None else (MemberState(row.state), row.problem)


def members_in_flight(connection: Connection, run_id: int, *, first: int, last: int) -> list[int]:
    """Return the accounts of a range of ids that are in flight in a run."""
    return list(connection.scalars(_RANGE, {"run": run_id, "first": first, "last": last}))


def dead_members(connection: Connection, run_id: int) -> list[tuple[str, str]]:
    """Return the accounts that a run gave up, each with the reason."""
    query = (
        select(influencers.c.username, run_members.c.problem)
        .join(influencers, influencers.c.id == run_members.c.influencer_id)
        .where(run_members.c.run_id == run_id, run_members.c.state == MemberState.DEAD)
        .order_by(influencers.c.username)
    )
    return [(username, problem or "") for username, problem in connection.execute(query)]


def list_dead_members(connection: Connection, *, limit: int) -> list[tuple[int, str, str]]:
    """Return accounts that any run gave up: run, name and reason, newest run first."""
    query = (
        select(run_members.c.run_id, influencers.c.username, run_members.c.problem)
        .join(influencers, influencers.c.id == run_members.c.influencer_id)
        .where(run_members.c.state == MemberState.DEAD)
        .order_by(run_members.c.run_id.desc(), influencers.c.username)
        .limit(limit)
    )
    return [(row.run_id, row.username, row.problem or "") for row in connection.execute(query)]


def revive_members(connection: Connection, run_id: int) -> int:
    """Put the accounts that a run gave up back in line, as if never tried; return how many."""
    return connection.execute(
        update(run_members)
        .where(run_members.c.run_id == run_id, run_members.c.state == MemberState.DEAD)
        .values(state=MemberState.PENDING, attempts=0, problem=None, touched_at=_now())
    ).rowcount


def _now() -> datetime:
    return datetime.now(UTC)
