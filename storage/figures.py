"""What monitoring asks of whole tables: counted now and then by one process, read by all."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, case, func, select

from schemas.base import Frozen
from schemas.events import DeliveryState, EventState
from schemas.runs import RunKind, RunState
from storage.crawl_tables import crawl_urls
from storage.database import insert_or_update
from storage.event_tables import inbox, outbox
from storage.members import count_members_of
from storage.tables import runs
from storage.web_tables import figures, standing_shares, standings

RATE_MINUTES = 5
OPEN = (RunState.RUNNING, RunState.PAUSED)
ENDED = tuple(state for state in RunState if state not in OPEN)


class BundleFigures(Frozen):
    """The accounts whose verdict in force is a bundle's, and their posts."""

    bundle: str
    accounts: int
    usable: int
    unknown: int


class Figures(Frozen):
    """Counts over whole tables as they were at one moment; each ends in its number."""

    bundles: tuple[BundleFigures, ...]
    categories: tuple[tuple[str, str, int], ...]
    """Bundle, category, accounts that have it."""
    verdicts_per_minute: float
    members: tuple[tuple[int, str, int], ...]
    """Unfinished run, state, accounts."""
    addresses: tuple[tuple[int, str, int], ...]
    """Unfinished crawl, outcome, addresses."""
    ended_runs: tuple[tuple[str, str, int], ...]
    """Kind, state, runs."""
    handled_events: int
    delivered_answers: int


class CountedFigures(Frozen):
    """Figures with when they were counted, and how long that took."""

    figures: Figures
    counted_at: datetime
    seconds: float


def count_figures(connection: Connection) -> Figures:
    """Count everything; takes the longer the more there is."""
    columns, shares = standings.c, standing_shares.c
    since = datetime.now(UTC) - timedelta(minutes=RATE_MINUTES)
    by_bundle = select(
        columns.bundle_id,
        func.count().label("accounts"),
        func.sum(columns.usable).label("usable"),
        func.sum(columns.unknown).label("unknown"),
        func.sum(case((columns.concluded_at >= since, 1), else_=0)).label("fresh"),
    ).group_by(columns.bundle_id)
    by_category = (
        select(columns.bundle_id, shares.category, func.count())
        .join(standings, columns.influencer_id == shares.influencer_id)
        .where(shares.chosen)
        .group_by(columns.bundle_id, shares.category)
    )
    found = connection.execute(by_bundle).all()
    return Figures(
        bundles=tuple(
            BundleFigures(
                bundle=row.bundle_id,
                accounts=row.accounts,
                usable=int(row.usable),
                unknown=int(row.unknown),
            )
            for row in found
        ),
        categories=_rows(connection, by_category),
        verdicts_per_minute=sum(int(row.fresh) for row in found) / RATE_MINUTES,
        members=_count_members(connection),
        addresses=_rows(connection, _addresses()),
        ended_runs=_rows(connection, count_runs(ENDED)),
        handled_events=connection.scalars(
            select(func.count()).where(inbox.c.state == EventState.DONE)
        ).one(),
        delivered_answers=connection.scalars(
            select(func.count()).where(outbox.c.state == DeliveryState.DELIVERED)
        ).one(),
    )


def count_runs(states: tuple[RunState, ...]) -> Select[Any]:
    """Select kind, state and number of runs that stand so."""
    return (
        select(runs.c.kind, runs.c.state, func.count())
        .where(runs.c.state.in_(states))
        .group_by(runs.c.kind, runs.c.state)
    )


def keep_figures(connection: Connection, found: Figures, *, seconds: float) -> None:
    """Keep what was counted in ``seconds``, in place of what was before."""
    row = {
        "id": 1,
        "document": found.model_dump(mode="json"),
        "counted_at": datetime.now(UTC),
        "seconds": seconds,
    }
    insert_or_update(
        connection, figures, [row], key=["id"], update=["document", "counted_at", "seconds"]
    )


def read_figures(connection: Connection) -> CountedFigures | None:
    """Return what was counted last; None if nobody has counted yet."""
    row = connection.execute(select(figures).where(figures.c.id == 1)).one_or_none()
    if row is None:
        return None
    return CountedFigures(
        figures=Figures.model_validate(row.document),
        counted_at=row.counted_at,
        seconds=row.seconds,
    )


def _count_members(connection: Connection) -> tuple[tuple[int, str, int], ...]:
    going = select(runs.c.id).where(runs.c.state.in_(OPEN), runs.c.kind != RunKind.CRAWL)
    found = count_members_of(connection, list(connection.scalars(going)))
    return tuple(
        (run_id, state.value, count)
        for run_id, counts in found.items()
        for state, count in counts.items()
        if count
    )


def _addresses() -> Select[Any]:
    outcome = func.coalesce(crawl_urls.c.outcome, "waiting")
    return (
        select(crawl_urls.c.run_id, outcome, func.count())
        .join(runs, runs.c.id == crawl_urls.c.run_id)
        .where(runs.c.state.in_(OPEN))
        .group_by(crawl_urls.c.run_id, outcome)
    )


def _rows(connection: Connection, query: Select[Any]) -> tuple[Any, ...]:
    return tuple(tuple(row) for row in connection.execute(query))
