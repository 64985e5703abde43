"""Runs of a drawn store: many of single accounts, some of all, the last of which goes on."""

from typing import Any

from sqlalchemy import Connection, case, cast, insert, literal, select

from benchmarks.bulk import insert_rows
from benchmarks.drawn import NOW
from schemas.runs import MemberState, RunKind, RunState
from storage.tables import run_members, runs

BULK_RUNS = 10
EVENT_RUNS = 50_000


def insert_runs(connection: Connection, accounts: int, bundle_id: str, event_runs: int) -> int:
    """Write runs of events, bulk runs that ended, and one that goes on; return the last."""
    last = event_runs + BULK_RUNS
    keys = range(1, accounts + 1)
    insert_rows(
        connection,
        runs,
        (
            {"id": key, "kind": RunKind.CLASSIFY, "generation": 0, "bundle_id": bundle_id}
            | {"state": RunState.RUNNING if key == last else RunState.DONE, "params": {}}
            | {"created_at": NOW, "finished_at": None if key == last else NOW}
            | {"members": None if key == last else 1 if key <= event_runs else accounts}
            for key in range(1, last + 1)
        ),
    )
    shared = {"attempts": 1, "touched_at": NOW, "problem": None}
    insert_rows(
        connection,
        run_members,
        (
            shared
            | {"run_id": one, "influencer_id": 1 + one % accounts}
            | {"state": MemberState.DONE}
            for one in range(1, event_runs + 1)
        ),
    )
    insert_rows(
        connection,
        run_members,
        (shared | {"run_id": last, "influencer_id": key} | _fate(key) for key in keys),
    )
    # The earlier ones ended the same way, but for those that still wait in the last.
    columns = run_members.c
    ended = case((columns.state == MemberState.PENDING, MemberState.DONE), else_=columns.state)
    for one in range(event_runs + 1, last):
        chosen = select(
            literal(one),
            columns.influencer_id,
            cast(ended, columns.state.type),
            columns.attempts,
            columns.touched_at,
            columns.problem,
        ).where(columns.run_id == last)
        names = ["run_id", "influencer_id", "state", "attempts", "touched_at", "problem"]
        connection.execute(insert(run_members).from_select(names, chosen))
    return last


def _fate(key: int) -> dict[str, Any]:
    if key % 50 == 0:
        return {"state": MemberState.DEAD, "problem": f"Photo host {key % 7} did not answer."}
    return {"state": MemberState.DONE if key % 3 else MemberState.PENDING}
