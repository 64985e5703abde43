"""What runs over the same accounts share: an account concluded for one is concluded for all."""

from collections.abc import Collection
from datetime import UTC, datetime

from sqlalchemy import Connection, func, insert, literal, select, update

from schemas.runs import MemberState, Run, RunKind, RunState
from storage.bulk import among
from storage.database import in_parts
from storage.runs import list_runs, read_run
from storage.tables import influencers, run_members, verdicts


def runs_alike(connection: Connection, run: Run, *, lock: bool = False) -> list[Run]:
    """Return the other runs that go on and judge by the same bundle the same choice of posts.

    With ``lock`` none of them is ended or cancelled until the transaction ends.
    """
    going = list_runs(connection, state=RunState.RUNNING, kind=RunKind.CLASSIFY)
    alike = [
        other
        for other in going
        if other.id != run.id and other.bundle_id == run.bundle_id and other.scope == run.scope
    ]
    if not lock:
        return alike
    held = [read_run(connection, key, lock=True) for key in sorted(one.id for one in alike)]
    return [one for one in held if one.state is RunState.RUNNING]


def members_elsewhere(
    connection: Connection, run: Run, influencer_ids: Collection[int], others: Collection[int]
) -> set[int]:
    """Return those of a run's accounts that another run has on its way: their verdict is shared.

    Only at the first attempt: one that was waited for in vain is sent by the run itself.
    """
    if not others:
        return set()
    other = run_members.alias()
    found: set[int] = set()
    for part in in_parts(influencer_ids):
        query = (
            select(run_members.c.influencer_id)
            .join(other, other.c.influencer_id == run_members.c.influencer_id)
            .where(
                run_members.c.run_id == run.id,
                among(connection, run_members.c.influencer_id, part),
                run_members.c.attempts == 1,
                other.c.run_id.in_(others),
                other.c.state == MemberState.IN_FLIGHT,
            )
        )
        found.update(connection.scalars(query))
    return found


def unfinished_members(
    connection: Connection, run_ids: Collection[int], influencer_ids: Collection[int]
) -> dict[int, dict[int, MemberState]]:
    """Return which of some accounts still wait in which of some runs, and how."""
    found: dict[int, dict[int, MemberState]] = {}
    for part in in_parts(influencer_ids):
        query = select(
            run_members.c.run_id, run_members.c.influencer_id, run_members.c.state
        ).where(
            run_members.c.run_id.in_(run_ids),
            among(connection, run_members.c.influencer_id, part),
            run_members.c.state.in_((MemberState.PENDING, MemberState.IN_FLIGHT)),
        )
        for row in connection.execute(query):
            found.setdefault(row.run_id, {})[row.influencer_id] = MemberState(row.state)
    return found


def adopt_verdicts(connection: Connection, run: Run, others: Collection[int]) -> int:
    """Take over what other runs have concluded of a run's accounts since their posts changed.

    Returns how many members have their verdict by that.
    """
    if not others:
        return 0
    fresh = (
        verdicts.c.run_id.in_(others),
        verdicts.c.bundle_id == run.bundle_id,
        verdicts.c.posts_at == influencers.c.updated_at,
        run_members.c.run_id == run.id,
        run_members.c.state == MemberState.PENDING,
    )
    newest = (
        select(verdicts.c.influencer_id, func.max(verdicts.c.run_id).label("run_id"))
        .join(influencers, influencers.c.id == verdicts.c.influencer_id)
        .join(run_members, run_members.c.influencer_id == verdicts.c.influencer_id)
        .where(*fresh)
        .group_by(verdicts.c.influencer_id)
        .subquery()
    )
    same = (verdicts.c.influencer_id == newest.c.influencer_id) & (
        verdicts.c.run_id == newest.c.run_id
    )
    columns = ["influencer_id", "bundle_id", "run_id", "verdicts", "concluded_at", "posts_at"]
    chosen = select(
        verdicts.c.influencer_id,
        verdicts.c.bundle_id,
        literal(run.id),
        verdicts.c.verdicts,
        verdicts.c.concluded_at,
        verdicts.c.posts_at,
    ).join(newest, same)
    connection.execute(insert(verdicts).from_select(columns, chosen))
    taken = select(verdicts.c.influencer_id).where(verdicts.c.run_id == run.id)
    return connection.execute(
        update(run_members)
        .where(run_members.c.run_id == run.id, run_members.c.influencer_id.in_(taken))
        .values(state=MemberState.DONE, touched_at=datetime.now(UTC))
    ).rowcount
