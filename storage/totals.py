"""How many things of runs stand where; of runs that have ended the total is kept."""

from collections import Counter
from collections.abc import Collection

from sqlalchemy import Connection, ScalarSelect, Table, func, select

from schemas.runs import MemberState
from storage.bulk import among
from storage.crawl_tables import crawl_urls
from storage.tables import run_members, runs

COUNTED = (run_members, crawl_urls)
"""What runs consist of: accounts, or addresses of a crawl."""


def count_states_of(
    connection: Connection, table: Table, run_ids: Collection[int]
) -> dict[int, dict[MemberState, int]]:
    """Return by run how many rows of one of ``COUNTED`` stand where.

    Those that are done are most: of a run that has ended, whose total is kept, they are what is
    left of it.
    """
    totals: dict[int, int | None] = dict(
        connection.execute(
            select(runs.c.id, runs.c.members).where(among(connection, runs.c.id, run_ids))
        ).all()
    )
    columns = table.c
    counted = select(columns.run_id, columns.state, func.count()).group_by(
        columns.run_id, columns.state
    )
    ended = [key for key in run_ids if totals.get(key) is not None]
    going = [key for key in run_ids if totals.get(key) is None]
    queries = [counted.where(among(connection, columns.run_id, going))] if going else []
    if ended:
        # One state a query: asked for several, PostgreSQL may read every row and look at its state.
        of_ended = counted.where(among(connection, columns.run_id, ended))
        queries += [
            of_ended.where(columns.state == state)
            for state in MemberState
            if state is not MemberState.DONE
        ]
    found: dict[int, Counter[MemberState]] = {key: Counter() for key in run_ids}
    for query in queries:
        for run_id, state, number in connection.execute(query):
            found[run_id][MemberState(state)] = number
    for key in ended:
        found[key][MemberState.DONE] = (totals[key] or 0) - found[key].total()
    return {key: {state: counts[state] for state in MemberState} for key, counts in found.items()}


def select_totals(run_id: int) -> tuple[ScalarSelect[int], ...]:
    """Select how many rows of each of ``COUNTED`` a run has; it has rows of one only."""
    return tuple(
        select(func.count()).where(table.c.run_id == run_id).scalar_subquery() for table in COUNTED
    )
