"""How many addresses of a crawl stand where."""

from sqlalchemy import ColumnElement, Connection, func, select

from schemas.runs import MemberState
from storage.crawl_tables import crawl_urls
from storage.crawl_urls import KNOWN, STORED
from storage.totals import count_states_of


def count_urls(connection: Connection, run_id: int) -> dict[MemberState, int]:
    """Return how many addresses of a crawl stand where."""
    return count_states_of(connection, crawl_urls, [run_id])[run_id]


def count_waiting(connection: Connection, run_id: int, *, most: int) -> int:
    """Return how many addresses wait for their turn, counting no further than ``most``."""
    waiting = (
        select(crawl_urls.c.id)
        .where(crawl_urls.c.run_id == run_id, crawl_urls.c.state == MemberState.PENDING)
        .limit(most)
        .subquery()
    )
    return connection.scalars(select(func.count()).select_from(waiting)).one()


def count_in_flight(connection: Connection, run_id: int) -> dict[str, int]:
    """Return how many addresses of each category are in flight."""
    return _by_category(connection, run_id, crawl_urls.c.state == MemberState.IN_FLIGHT)


def count_handed_out(connection: Connection, run_id: int) -> int:
    """Return how many addresses in flight are some worker's, and do not rest."""
    columns = crawl_urls.c
    query = select(func.count()).where(
        columns.run_id == run_id,
        columns.state == MemberState.IN_FLIGHT,
        columns.shard.is_not(None),
    )
    return connection.scalars(query).one()


def count_photos(connection: Connection, run_id: int) -> dict[str, int]:
    """Return how many photos a crawl has for each category."""
    return _by_category(connection, run_id, crawl_urls.c.outcome.in_((STORED, KNOWN)))


def _by_category(
    connection: Connection, run_id: int, chosen: ColumnElement[bool]
) -> dict[str, int]:
    query = (
        select(crawl_urls.c.category, func.count())
        .where(crawl_urls.c.run_id == run_id, chosen)
        .group_by(crawl_urls.c.category)
    )
    return dict(connection.execute(query).all())
