"""Events of the platform: each kept once, and how far it is."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)

from schemas.base import Frozen
from schemas.errors import NotFoundError
from schemas.events import EventState, EventStatus, EventType
from schemas.runs import MemberState, RunState
from storage.bulk import among_bound, bind_keys
from storage.database import insert_or_update
from storage.event_tables import inbox
from storage.tables import run_members, runs

OPEN = (EventState.FETCHING, EventState.CLASSIFYING)
"""States in which something is under way for an account: its other events wait for the end."""


class NewEvent(Frozen):
    """A validated event; ``reply`` says whether its sender wants to be called back."""

    sender: str
    webhook_id: str
    type: EventType
    username: str
    payload: dict[str, Any]
    reply: bool


class InboxRow(Frozen):
    """An event as whoever handles it needs it."""

    id: int
    sender: str
    webhook_id: str
    type: EventType
    username: str
    payload: dict[str, Any] | None
    reply: bool
    state: EventState
    influencer_id: int | None
    run_id: int | None
    attempts: int


def add_event(connection: Connection, event: NewEvent) -> tuple[EventStatus, bool]:
    """Keep an event unless the sender's webhook id is known; return it and whether it is new."""
    now = _now()
    public_id = f"evt_{uuid.uuid4().hex}"
    row = event.model_dump(mode="json") | {
        "public_id": public_id,
        "state": EventState.RECEIVED,
        "attempts": 0,
        "next_at": now,
        "received_at": now,
    }
    insert_or_update(connection, inbox, [row], key=["sender", "webhook_id"])
    query = select(inbox).where(
        inbox.c.sender == event.sender, inbox.c.webhook_id == event.webhook_id
    )
    status = _status(connection.execute(query).one())
    return status, status.id == public_id


def count_events_since(connection: Connection, sender: str, moment: datetime) -> int:
    """Return how many events of a sender were kept since a moment."""
    query = select(func.count()).where(inbox.c.sender == sender, inbox.c.received_at > moment)
    return connection.scalars(query).one()


def find_event(connection: Connection, public_id: str) -> EventStatus:
    """Return how far an event is.

    Raises:
        NotFoundError: there is no such event, or no longer.
    """
    row = connection.execute(select(inbox).where(inbox.c.public_id == public_id)).one_or_none()
    if row is None:
        raise NotFoundError("There is no such event: use the address that answered it.")
    return _status(row)


def list_events(
    connection: Connection, *, state: EventState | None = None, limit: int = 100
) -> list[EventStatus]:
    """Return events, newest first."""
    query = select(inbox).order_by(inbox.c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(inbox.c.state == state)
    return [_status(row) for row in connection.execute(query)]


def claim_events(connection: Connection, *, limit: int, lease_s: float) -> list[InboxRow]:
    """Take events that may be handled now, oldest first, each counted as tried once more.

    Those of an account for which one is under way are left: they go together once it has ended.
    Only an erasure never waits.
    """
    now = _now()
    other = inbox.alias()
    busy = exists().where(other.c.username == inbox.c.username, other.c.state.in_(OPEN))
    query = (
        select(inbox)
        .where(
            inbox.c.state == EventState.RECEIVED,
            inbox.c.next_at <= now,
            or_(inbox.c.type == EventType.DELETED, ~busy),
        )
        .order_by(inbox.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(query).all()
    connection.execute(
        update(inbox)
        .where(inbox.c.id.in_([row.id for row in rows]))
        .values(attempts=inbox.c.attempts + 1, next_at=now + timedelta(seconds=lease_s))
    )
    return [_row(row).model_copy(update={"attempts": row.attempts + 1}) for row in rows]


def read_event(connection: Connection, identifier: int, *, lock: bool = False) -> InboxRow | None:
    """Return an event by its number; None where it is gone."""
    query = select(inbox).where(inbox.c.id == identifier)
    if lock:
        query = query.with_for_update()
    row = connection.execute(query).one_or_none()
    return None if row is None else _row(row)


def mark_fetching(connection: Connection, identifier: int, *, timeout_s: float) -> None:
    """Note that an event's account is being asked for."""
    _set(
        connection,
        [identifier],
        state=EventState.FETCHING,
        next_at=_now() + timedelta(seconds=timeout_s),
    )


def mark_fetched(connection: Connection, identifier: int, influencer_id: int) -> None:
    """Note that an event's account is here, so that the event may go on."""
    _set(
        connection,
        [identifier],
        state=EventState.RECEIVED,
        influencer_id=influencer_id,
        next_at=_now(),
    )


def mark_classifying(connection: Connection, run_id: int, accounts: Mapping[int, int]) -> None:
    """Note that events (each with its account) wait for the verdicts of a run."""
    for identifier, influencer_id in accounts.items():
        _set(
            connection,
            [identifier],
            state=EventState.CLASSIFYING,
            run_id=run_id,
            influencer_id=influencer_id,
            problem=None,
        )


def finish_events(
    connection: Connection, identifiers: Collection[int], *, problem: str | None = None
) -> None:
    """Note that events are done with; what they held is forgotten."""
    if not identifiers:
        return
    _set(
        connection,
        identifiers,
        state=EventState.DONE,
        payload=None,
        handled_at=_now(),
        problem=problem,
    )


def put_back(
    connection: Connection, identifier: int, *, problem: str, wait_s: float, counted: bool = True
) -> None:
    """Let an event be tried again later; not ``counted`` where waiting is nobody's fault."""
    attempts = inbox.c.attempts if counted else inbox.c.attempts - 1
    _set(
        connection,
        [identifier],
        state=EventState.RECEIVED,
        run_id=None,
        attempts=attempts,
        next_at=_now() + timedelta(seconds=wait_s),
        problem=problem[:1000],
    )


def bury_event(connection: Connection, identifier: int, *, problem: str) -> None:
    """Give an event up; what it held is kept, so that it can be replayed."""
    _set(
        connection,
        [identifier],
        state=EventState.DEAD,
        handled_at=_now(),
        problem=problem[:1000],
    )


def replay_events(connection: Connection, public_ids: Collection[str] | None = None) -> int:
    """Let dead events be tried from the start, all or some; return how many."""
    query = update(inbox).where(inbox.c.state == EventState.DEAD)
    if public_ids is not None:
        query = query.where(inbox.c.public_id.in_(public_ids))
    return connection.execute(
        query.values(
            state=EventState.RECEIVED,
            attempts=0,
            run_id=None,
            influencer_id=None,
            next_at=_now(),
            handled_at=None,
        )
    ).rowcount


def forget_events(connection: Connection, username: str, *, before: int) -> None:
    """Forget what earlier events of an erased account held, and end those that still wait."""
    mine = (inbox.c.username == username, inbox.c.id < before)
    ended = (EventState.DONE, EventState.DEAD)
    connection.execute(
        update(inbox)
        .where(*mine, inbox.c.state.not_in(ended))
        .values(
            state=EventState.DONE,
            handled_at=_now(),
            problem="The account was erased meanwhile.",
        )
    )
    connection.execute(update(inbox).where(*mine).values(payload=None, state=EventState.DONE))


def events_of_run(
    connection: Connection, run_id: int, influencer_ids: Collection[int]
) -> list[InboxRow]:
    """Return the events that wait for a run's verdicts of some accounts."""
    given = {"run": run_id, "keys": bind_keys(connection, influencer_ids)}
    return [_row(row) for row in connection.execute(_of_run(connection.dialect.name), given)]


@cache
def _of_run(dialect: str) -> Select[*tuple[Any, ...]]:
    return (
        select(inbox)
        .where(
            inbox.c.run_id == bindparam("run"),
            inbox.c.state == EventState.CLASSIFYING,
            among_bound(dialect, inbox.c.influencer_id, "keys"),
        )
        .order_by(inbox.c.id)
    )


def overdue_fetches(connection: Connection) -> list[InboxRow]:
    """Return events whose account was asked for and never came."""
    query = select(inbox).where(inbox.c.state == EventState.FETCHING, inbox.c.next_at <= _now())
    return [_row(row) for row in connection.execute(query)]


def stranded_events(connection: Connection) -> list[tuple[InboxRow, MemberState | None, str]]:
    """Return events that no run will answer any more: with the member's state, and why.

    The member is None where its account was erased.
    """
    member = and_(
        run_members.c.run_id == inbox.c.run_id,
        run_members.c.influencer_id == inbox.c.influencer_id,
    )
    final = [state for state in RunState if state.final]
    query = (
        select(
            inbox,
            run_members.c.state.label("member"),
            run_members.c.problem.label("why"),
            runs.c.state.label("run_state"),
        )
        .join(runs, runs.c.id == inbox.c.run_id)
        .outerjoin(run_members, member)
        .where(
            inbox.c.state == EventState.CLASSIFYING,
            or_(
                run_members.c.state.is_(None),
                run_members.c.state.in_((MemberState.DONE, MemberState.DEAD)),
                runs.c.state.in_(final),
            ),
        )
    )
    return [
        (
            _row(row),
            None if row.member is None else MemberState(row.member),
            row.why or f"Its run was {row.run_state}.",
        )
        for row in connection.execute(query)
    ]


def has_waiting_events(connection: Connection) -> bool:
    """Whether an event could be handled now."""
    query = select(inbox.c.id).where(
        inbox.c.state == EventState.RECEIVED, inbox.c.next_at <= _now()
    )
    return connection.execute(query.limit(1)).first() is not None


def prune_events(connection: Connection, *, keep_s: float) -> int:
    """Forget events that were done with long ago; return how many."""
    return connection.execute(
        delete(inbox).where(
            inbox.c.state == EventState.DONE,
            inbox.c.handled_at < _now() - timedelta(seconds=keep_s),
        )
    ).rowcount


def _set(connection: Connection, identifiers: Collection[int], **values: Any) -> None:
    connection.execute(update(inbox).where(inbox.c.id.in_(identifiers)).values(values))


def _row(row: Row[Any]) -> InboxRow:
    names: Sequence[str] = tuple(InboxRow.model_fields)
    return InboxRow(**{name: getattr(row, name) for name in names})


def _status(row: Row[Any]) -> EventStatus:
    names = [name for name in EventStatus.model_fields if name != "id"]
    return EventStatus(id=row.public_id, **{name: getattr(row, name) for name in names})


def _now() -> datetime:
    return datetime.now(UTC)
