"""Who stands where now: the verdict in force of each account, in columns that pages sort by."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Delete, Select, bindparam, delete, exists, func, select, update

from schemas.base import Frozen
from schemas.verdicts import Verdict
from storage.bulk import among, among_bound, bind_keys
from storage.database import in_parts, insert_or_update
from storage.tables import influencers, posts, verdicts
from storage.web_tables import standing_shares, standings

PRIMARY = "nn"
"""The method whose verdict counts where a bundle has several."""

BACKLOG_PART = 200


class Standing(Frozen):
    """Where an account stands; ``certainty`` is that of its least sure decision."""

    influencer_id: int
    bundle_id: str
    run_id: int
    certainty: float
    disputed: int
    usable: int
    unknown: int
    lacking: int
    enough: bool
    interactions: float | None
    concluded_at: datetime


def main_verdict(found: Sequence[Verdict]) -> Verdict | None:
    """Return the verdict that counts among those of a bundle's methods."""
    return next((one for one in found if one.method == PRIMARY), found[0] if found else None)


def main_document(stored: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the verdict that counts among those of a bundle's methods, as it was stored."""
    first = stored[0] if stored else None
    return next((one for one in stored if one["method"] == PRIMARY), first)


def save_standings(
    connection: Connection,
    *,
    bundle_id: str,
    run_id: int,
    concluded: Mapping[int, Sequence[Verdict]],
    now: datetime,
) -> None:
    """Keep what verdicts say in sortable form, unless a later run has spoken already."""
    ids = _not_outrun(connection, run_id, concluded)
    dialect = connection.dialect.name
    given = {"keys": bind_keys(connection, ids)}
    followers = dict(connection.execute(_following(dialect), given).all())
    means = connection.execute(_interacting(dialect), given)
    interactions = {key: float(mean) for key, mean in means}
    rows: list[dict[str, Any]] = []
    shares: list[dict[str, Any]] = []
    for influencer_id in ids:
        verdict = main_verdict(concluded[influencer_id])
        if verdict is None:
            continue
        copied = {
            "influencer_id": influencer_id,
            "certainty": verdict.certainty,
            "interactions": interactions.get(influencer_id),
            "followers": followers.get(influencer_id),
            "usable": verdict.usable,
        }
        rows.append(
            copied
            | verdict.model_dump(include={"unknown", "lacking", "enough"})
            | {
                "several": sum(share.posts for share in verdict.shares) > verdict.usable,
                "bundle_id": bundle_id,
                "run_id": run_id,
                "disputed": count_disputed(concluded[influencer_id]),
                "concluded_at": now,
            }
        )
        wanted = {"category", "posts", "share", "low", "high", "threshold", "chosen"}
        # Most of thirteen categories are empty: their absence says as much.
        shares += [
            copied | share.model_dump(include=wanted) for share in verdict.shares if share.posts
        ]
    changed = [column.name for column in standings.c if column.name != "influencer_id"]
    insert_or_update(connection, standings, rows, key=["influencer_id"], update=changed)
    connection.execute(_forgetting_shares(dialect), given)
    insert_or_update(connection, standing_shares, shares, key=["influencer_id", "category"])


def count_disputed(found: Sequence[Verdict]) -> int:
    """Return on how many categories the methods of a bundle do not agree."""
    named: list[set[str]] = [set(verdict.categories) for verdict in found]
    if not named:
        return 0
    return len(named[0].union(*named[1:]) - named[0].intersection(*named[1:]))


def note_followers(connection: Connection, influencer_id: int, followers: int) -> None:
    """Carry an account's new number of followers into what lists and rankings read."""
    for table in (standings, standing_shares):
        connection.execute(
            update(table).where(table.c.influencer_id == influencer_id).values(followers=followers)
        )


def read_standings(connection: Connection, influencer_ids: Collection[int]) -> dict[int, Standing]:
    """Return where accounts stand, by their ids."""
    found: dict[int, Standing] = {}
    for part in in_parts(influencer_ids):
        query = select(*(standings.c[name] for name in Standing.model_fields))
        query = query.where(among(connection, standings.c.influencer_id, part))
        for row in connection.execute(query).mappings():
            found[row["influencer_id"]] = Standing.model_validate(dict(row))
    return found


def catch_up(connection: Connection) -> int:
    """Give a standing to accounts judged before standings were kept; return how many are left.

    Works on a part at a time, so that the write lock is never held for long.
    """
    without = ~exists().where(standings.c.influencer_id == verdicts.c.influencer_id)
    newest = (
        select(verdicts.c.influencer_id, func.max(verdicts.c.run_id).label("run_id"))
        .where(without)
        .group_by(verdicts.c.influencer_id)
    )
    left = connection.scalar(select(func.count()).select_from(newest.subquery())) or 0
    last = newest.limit(BACKLOG_PART).subquery()
    query = select(verdicts).join(
        last,
        (last.c.influencer_id == verdicts.c.influencer_id) & (last.c.run_id == verdicts.c.run_id),
    )
    for row in connection.execute(query).all():
        found = [Verdict.model_validate(one) for one in row.verdicts]
        save_standings(
            connection,
            bundle_id=row.bundle_id,
            run_id=row.run_id,
            concluded={row.influencer_id: found},
            now=row.concluded_at,
        )
    return max(0, left - BACKLOG_PART)


def _not_outrun(connection: Connection, run_id: int, concluded: Collection[int]) -> list[int]:
    given = {"keys": bind_keys(connection, concluded), "run": run_id}
    outrun = connection.scalars(_outrunning(connection.dialect.name), given)
    return sorted(set(concluded).difference(outrun))


# Made once: making a statement takes longer than running it.
@cache
def _outrunning(dialect: str) -> Select[int]:
    return (
        select(standings.c.influencer_id)
        .where(
            among_bound(dialect, standings.c.influencer_id, "keys"),
            standings.c.run_id > bindparam("run"),
        )
        .with_for_update()
    )


@cache
def _forgetting_shares(dialect: str) -> Delete:
    return delete(standing_shares).where(
        among_bound(dialect, standing_shares.c.influencer_id, "keys")
    )


@cache
def _following(dialect: str) -> Select[int, int | None]:
    return select(influencers.c.id, influencers.c.followers).where(
        among_bound(dialect, influencers.c.id, "keys")
    )


@cache
def _interacting(dialect: str) -> Select[int, Any]:
    """Likes and comments a post, over the posts that tell at least one of the two."""
    total = func.coalesce(posts.c.likes, 0) + func.coalesce(posts.c.comments, 0)
    return (
        select(posts.c.influencer_id, func.avg(total))
        .where(
            among_bound(dialect, posts.c.influencer_id, "keys"),
            posts.c.likes.is_not(None) | posts.c.comments.is_not(None),
        )
        .group_by(posts.c.influencer_id)
    )
