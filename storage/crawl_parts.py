"""Parts of a crawl: synsets, searches, tags and accounts, each listed page by page."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, func, or_, select, update

from schemas.base import Frozen
from schemas.crawls import PartKind
from schemas.runs import MemberState
from storage.crawl_tables import crawl_parts
from storage.database import insert_or_update

OPEN = (MemberState.PENDING, MemberState.IN_FLIGHT)


class NewPart(Frozen):
    """Something to list, and the category that its photos stand for."""

    kind: PartKind
    name: str
    category: str = ""


class Part(Frozen):
    """A part as stored; ``cursor`` is where its next page begins, None before the first one."""

    id: int
    run_id: int
    kind: PartKind
    name: str
    category: str
    state: MemberState
    attempts: int
    cursor: str | None
    pages: int
    found: int
    idle_pages: int
    problem: str | None


def add_parts(connection: Connection, run_id: int, parts: Sequence[NewPart]) -> None:
    """Give a crawl more to list; what it lists already stays as it is."""
    rows = [
        {
            "run_id": run_id,
            **part.model_dump(),
            "state": MemberState.PENDING,
            "attempts": 0,
            "touched_at": _now(),
            "pages": 0,
            "found": 0,
            "idle_pages": 0,
        }
        for part in dict.fromkeys(parts)
    ]
    key = ["run_id", "kind", "name", "category"]
    insert_or_update(connection, crawl_parts, rows, key=key)


def claim_parts(connection: Connection, run_id: int, *, window: int) -> list[int]:
    """Put as many parts in flight as the window has room for, and return their ids."""
    columns = crawl_parts.c
    in_flight = count_parts(connection, run_id)[MemberState.IN_FLIGHT]
    if in_flight >= window:
        return []
    query = (
        select(columns.id)
        .where(
            columns.run_id == run_id,
            columns.state == MemberState.PENDING,
            or_(columns.not_before.is_(None), columns.not_before <= _now()),
        )
        # Those with fewer pages first: every part gets its turn.
        .order_by(columns.pages, columns.id)
        .limit(window - in_flight)
        .with_for_update(skip_locked=True)
    )
    claimed = list(connection.scalars(query))
    connection.execute(
        update(crawl_parts)
        .where(columns.id.in_(claimed))
        .values(
            state=MemberState.IN_FLIGHT,
            touched_at=_now(),
            not_before=None,
        )
    )
    return claimed


def begin_part(connection: Connection, part_id: int) -> Part | None:
    """Return a part in flight, because somebody lists its next page now; else None.

    Only this counts as a try: a message that waits for a worker has done its part no harm.
    """
    began = connection.execute(
        update(crawl_parts)
        .where(crawl_parts.c.id == part_id, crawl_parts.c.state == MemberState.IN_FLIGHT)
        .values(attempts=crawl_parts.c.attempts + 1, touched_at=_now())
    )
    return read_part(connection, part_id) if began.rowcount else None


def read_part(connection: Connection, part_id: int) -> Part | None:
    """Return one part, or None where its crawl was deleted."""
    row = connection.execute(select(crawl_parts).where(crawl_parts.c.id == part_id)).one_or_none()
    if row is None:
        return None
    return Part.model_validate({name: getattr(row, name) for name in Part.model_fields})


def keep_page(
    connection: Connection,
    part: Part,
    *,
    cursor: str | None,
    found: int,
    idle: bool,
    problem: str | None,
) -> bool:
    """Note that a page was listed; without a cursor it was the last, ``idle`` one brought nothing.

    Only who still holds the part at this page may do so: return whether this call did.
    """
    columns = crawl_parts.c
    result = connection.execute(
        update(crawl_parts)
        .where(
            columns.id == part.id,
            columns.state == MemberState.IN_FLIGHT,
            columns.pages == part.pages,
        )
        .values(
            state=MemberState.DONE if cursor is None else MemberState.PENDING,
            cursor=cursor,
            pages=columns.pages + 1,
            found=columns.found + found,
            idle_pages=columns.idle_pages + 1 if idle else 0,
            attempts=0,
            problem=problem[:1000] if problem else columns.problem,
            touched_at=_now(),
        )
    )
    return result.rowcount == 1


def postpone_part(
    connection: Connection, part_id: int, *, until: datetime, problem: str, attempt: bool
) -> None:
    """Put a part back until later; ``attempt`` tells whether that was a try that failed."""
    columns = crawl_parts.c
    connection.execute(
        update(crawl_parts)
        .where(columns.id == part_id, columns.state == MemberState.IN_FLIGHT)
        .values(
            state=MemberState.PENDING,
            not_before=until,
            problem=problem[:1000],
            attempts=columns.attempts if attempt else columns.attempts - 1,
            touched_at=_now(),
        )
    )


def give_up_parts(connection: Connection, part_ids: Collection[int], *, problem: str) -> None:
    """Stop listing some parts, for the reason told; what they found already stays."""
    connection.execute(
        update(crawl_parts)
        .where(crawl_parts.c.id.in_(part_ids), crawl_parts.c.state.in_(OPEN))
        .values(state=MemberState.DEAD, problem=problem[:1000], touched_at=_now())
    )


def open_parts(connection: Connection, run_id: int, *, category: str | None = None) -> list[int]:
    """Return the parts of a crawl that are not listed to their end, perhaps of one category."""
    query = select(crawl_parts.c.id).where(
        crawl_parts.c.run_id == run_id, crawl_parts.c.state.in_(OPEN)
    )
    if category is not None:
        query = query.where(crawl_parts.c.category == category)
    return list(connection.scalars(query))


def finish_parts(connection: Connection, part_ids: Collection[int]) -> None:
    """Note that no more of some parts is wanted."""
    connection.execute(
        update(crawl_parts)
        .where(crawl_parts.c.id.in_(part_ids), crawl_parts.c.state.in_(OPEN))
        .values(state=MemberState.DONE, touched_at=_now())
    )


def recall_parts(
    connection: Connection, run_id: int, *, timeout_s: float, max_attempts: int
) -> None:
    """Put parts back in line that nothing was heard of, and give up those tried too often."""
    columns = crawl_parts.c
    overdue = (
        columns.run_id == run_id,
        columns.state == MemberState.IN_FLIGHT,
        columns.touched_at < _now() - timedelta(seconds=timeout_s),
    )
    lost = "No worker listed it in time; see the scrape workers' logs."
    connection.execute(
        update(crawl_parts)
        .where(*overdue, columns.attempts >= max_attempts)
        .values(state=MemberState.DEAD, problem=func.coalesce(columns.problem, lost))
    )
    connection.execute(
        update(crawl_parts).where(*overdue).values(state=MemberState.PENDING, touched_at=_now())
    )


def retry_parts(connection: Connection, run_id: int) -> int:
    """Let every part that was given up begin again where it stopped; return how many."""
    result = connection.execute(
        update(crawl_parts)
        .where(crawl_parts.c.run_id == run_id, crawl_parts.c.state == MemberState.DEAD)
        .values(state=MemberState.PENDING, attempts=0, problem=None, not_before=None)
    )
    return result.rowcount


def count_parts(connection: Connection, run_id: int) -> dict[MemberState, int]:
    """Return how many parts of a crawl stand where."""
    return count_parts_of(connection, [run_id])[run_id]


def count_parts_of(
    connection: Connection, run_ids: Collection[int]
) -> dict[int, dict[MemberState, int]]:
    """Return by crawl how many of its parts stand where."""
    query = (
        select(crawl_parts.c.run_id, crawl_parts.c.state, func.count())
        .where(crawl_parts.c.run_id.in_(run_ids))
        .group_by(crawl_parts.c.run_id, crawl_parts.c.state)
    )
    found = {run_id: dict.fromkeys(MemberState, 0) for run_id in run_ids}
    for run_id, state, number in connection.execute(query):
        found[run_id][MemberState(state)] = number
    return found


def next_start(connection: Connection, run_id: int) -> tuple[datetime, str] | None:
    """Return when the first waiting part may go on and why it waits; None where one may now."""
    query = select(crawl_parts.c.not_before, crawl_parts.c.problem).where(
        crawl_parts.c.run_id == run_id, crawl_parts.c.state.in_(OPEN)
    )
    rows = connection.execute(query.order_by(crawl_parts.c.not_before)).all()
    waiting = [(row.not_before, row.problem or "") for row in rows if row.not_before]
    if not waiting or len(waiting) < len(rows):
        return None
    return waiting[0]


def list_parts(connection: Connection, run_id: int) -> list[Part]:
    """Return the parts of a crawl in the order they were named."""
    query = select(crawl_parts).where(crawl_parts.c.run_id == run_id).order_by(crawl_parts.c.id)
    return [
        Part.model_validate({name: getattr(row, name) for name in Part.model_fields})
        for row in connection.execute(query)
    ]


def forget_parts(connection: Connection, run_id: int) -> None:
    """Delete what a crawl was to list, with every address it found."""
    connection.execute(delete(crawl_parts).where(crawl_parts.c.run_id == run_id))


def _now() -> datetime:
    return datetime.now(UTC)
