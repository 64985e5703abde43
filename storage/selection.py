"""Which accounts a bulk run is about, and how much work they are."""

from collections.abc import Collection
from datetime import UTC, datetime

from sqlalchemy import Connection, and_, func, select

from schemas.base import Frozen
from schemas.runs import EVERY_POST, PostScope, RunKind, RunState
from storage.accounts import account_posts
from storage.database import in_parts
from storage.runs import list_runs
from storage.tables import influencers, run_members, verdicts
from storage.vectors import known_image_vectors

LOOKED_AT = 5
"""Earlier runs that an estimate rests on."""


class Work(Frozen):
    """What a run would have to do; ``seconds`` is None where no earlier run can tell."""

    accounts: int
    posts: int
    photos: int
    cached: int
    to_fetch: int
    seconds: float | None


def every_account(connection: Connection) -> list[int]:
    """Return all accounts."""
    return list(connection.scalars(select(influencers.c.id).order_by(influencers.c.id)))


def named_accounts(
    connection: Connection, usernames: Collection[str]
) -> tuple[list[int], list[str]]:
    """Return the accounts of some names, and the names that nobody has."""
    found: dict[str, int] = {}
    for part in in_parts(usernames):
        query = select(influencers.c.username, influencers.c.id).where(
            influencers.c.username.in_(part)
        )
        found.update(dict(connection.execute(query).all()))
    return sorted(found.values()), sorted(set(usernames) - set(found))


def stale_accounts(connection: Connection, bundle_id: str) -> list[int]:
    """Return accounts that the bundle has not judged since their posts last changed."""
    fresh = and_(
        verdicts.c.influencer_id == influencers.c.id,
        verdicts.c.bundle_id == bundle_id,
        verdicts.c.posts_at == influencers.c.updated_at,
    )
    query = select(influencers.c.id).where(~select(verdicts.c.run_id).where(fresh).exists())
    return list(connection.scalars(query.order_by(influencers.c.id)))


def accounts_in_category(connection: Connection, category: str) -> list[int]:
    """Return accounts whose newest verdict, by whichever method, has a category."""
    last = (
        select(verdicts.c.influencer_id, func.max(verdicts.c.run_id).label("run_id"))
        .group_by(verdicts.c.influencer_id)
        .subquery()
    )
    query = (
        select(verdicts.c.influencer_id, verdicts.c.verdicts)
        .join(
            last,
            and_(
                last.c.influencer_id == verdicts.c.influencer_id,
                last.c.run_id == verdicts.c.run_id,
            ),
        )
        .order_by(verdicts.c.influencer_id)
    )
    return [
        row.influencer_id
        for row in connection.execute(query)
        if any(category in verdict["categories"] for verdict in row.verdicts)
    ]


def measure_work(
    connection: Connection,
    influencer_ids: Collection[int],
    backbone: str,
    scope: PostScope = EVERY_POST,
) -> Work:
    """Count what a run over some accounts would meet, part by part so that memory stays small."""
    posts = photos = cached = to_fetch = 0
    for part in in_parts(influencer_ids):
        listed = [post for rows in account_posts(connection, part, scope).values() for post in rows]
        places = [place for post in listed for place in post.photos]
        shown = {place.sha256 for place in places if place.sha256}
        posts += len(listed)
        photos += len(shown)
        cached += len(known_image_vectors(connection, backbone, shown))
        to_fetch += sum(1 for one in places if one.url and not one.sha256 and not one.problem)
    rate = seconds_per_account(connection)
    return Work(
        accounts=len(influencer_ids),
        posts=posts,
        photos=photos,
        cached=cached,
        to_fetch=to_fetch,
        seconds=None if rate is None else rate * len(influencer_ids),
    )


def seconds_per_account(connection: Connection) -> float | None:
    """Return how long an account took in the newest bulk runs, all together."""
    done = list_runs(connection, state=RunState.DONE, kind=RunKind.CLASSIFY)
    bulk = [run for run in done if not run.urgent and run.finished_at is not None][:LOOKED_AT]
    query = select(func.count()).where(run_members.c.run_id.in_([run.id for run in bulk]))
    accounts = connection.scalars(query).one()
    spent_s = sum(
        ((run.finished_at or datetime.now(UTC)) - run.created_at).total_seconds() for run in bulk
    )
    return spent_s / accounts if accounts else None
