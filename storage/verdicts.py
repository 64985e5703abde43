"""Outcomes of posts and verdicts of accounts."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, and_, func, select

from schemas.verdicts import PostOutcome, StoredVerdict, Verdict
from storage.database import in_parts, insert_or_update
from storage.standings import main_document, save_standings
from storage.tables import influencers, outcomes, verdicts


def save_outcomes(
    connection: Connection, bundle_id: str, method: str, results: Sequence[PostOutcome]
) -> None:
    """Keep what one method of a bundle says of posts; said again, the newest counts."""
    insert_or_update(
        connection,
        outcomes,
        [
            {
                "post_id": result.post_id,
                "bundle_id": bundle_id,
                "method": method,
                "halves": result.halves,
                "category": result.category,
                "probabilities": np.asarray(result.probabilities, "<f4").tobytes(),
            }
            for result in results
        ],
        key=["post_id", "bundle_id", "method"],
        update=["halves", "category", "probabilities"],
    )


def read_outcomes(
    connection: Connection, bundle_id: str, post_ids: Collection[int]
) -> dict[tuple[int, str], PostOutcome]:
    """Return what a bundle says of posts, by post and method."""
    found: dict[tuple[int, str], PostOutcome] = {}
    for part in in_parts(post_ids):
        query = select(outcomes).where(
            outcomes.c.bundle_id == bundle_id, outcomes.c.post_id.in_(part)
        )
        for row in connection.execute(query):
            found[row.post_id, row.method] = PostOutcome(
                post_id=row.post_id,
                halves=row.halves,
                category=row.category,
                probabilities=tuple(np.frombuffer(row.probabilities, "<f4").tolist()),
            )
    return found


def save_verdicts(
    connection: Connection,
    *,
    bundle_id: str,
    run_id: int,
    concluded: Mapping[int, Sequence[Verdict]],
    posts_at: Mapping[int, datetime] | None = None,
) -> None:
    """Keep the verdicts of accounts by their id; concluded again, the newest counts.

    ``posts_at`` says of when the posts are that each account was judged by.
    """
    now = datetime.now(UTC)
    insert_or_update(
        connection,
        verdicts,
        [
            {
                "influencer_id": influencer_id,
                "bundle_id": bundle_id,
                "run_id": run_id,
                "verdicts": [verdict.model_dump(mode="json") for verdict in found],
                "concluded_at": now,
                "posts_at": (posts_at or {}).get(influencer_id),
            }
            for influencer_id, found in concluded.items()
        ],
        key=["influencer_id", "bundle_id", "run_id"],
        update=["verdicts", "concluded_at", "posts_at"],
    )
    save_standings(connection, bundle_id=bundle_id, run_id=run_id, concluded=concluded, now=now)


def newest_verdicts(
    connection: Connection,
    influencer_ids: Collection[int] | None = None,
    *,
    bundle_id: str | None = None,
) -> list[StoredVerdict]:
    """Return the newest verdict of each account that has one (of one bundle), by username."""
    newest = select(verdicts.c.influencer_id, func.max(verdicts.c.run_id).label("run_id")).group_by(
        verdicts.c.influencer_id
    )
    if influencer_ids is not None:
        newest = newest.where(verdicts.c.influencer_id.in_(influencer_ids))
    if bundle_id is not None:
        newest = newest.where(verdicts.c.bundle_id == bundle_id)
    last = newest.subquery()
    query = (
        select(verdicts, influencers.c.username)
        .join(
            last,
            and_(
                last.c.influencer_id == verdicts.c.influencer_id,
                last.c.run_id == verdicts.c.run_id,
            ),
        )
        .join(influencers, influencers.c.id == verdicts.c.influencer_id)
        .order_by(influencers.c.username)
    )
    return [_verdict(row) for row in connection.execute(query)]


def run_verdicts(connection: Connection, run_id: int) -> list[StoredVerdict]:
    """Return the verdicts of one run, by username."""
    query = (
        select(verdicts, influencers.c.username)
        .join(influencers, influencers.c.id == verdicts.c.influencer_id)
        .where(verdicts.c.run_id == run_id)
        .order_by(influencers.c.username)
    )
    return [_verdict(row) for row in connection.execute(query)]


def _verdict(row: Row[Any]) -> StoredVerdict:
    return StoredVerdict(
        username=row.username,
        influencer_id=row.influencer_id,
        bundle_id=row.bundle_id,
        run_id=row.run_id,
        concluded_at=row.concluded_at,
        verdicts=tuple(Verdict.model_validate(found) for found in row.verdicts),
    )


def newest_of_both(
    connection: Connection, first: str, second: str, *, limit: int
) -> list[tuple[set[str], set[str]]]:
    """Return the categories that two bundles' newest verdicts name, for accounts judged by both."""
    judged = (
        select(verdicts.c.influencer_id)
        .where(verdicts.c.bundle_id.in_((first, second)))
        .group_by(verdicts.c.influencer_id)
        .having(func.count(func.distinct(verdicts.c.bundle_id)) == len({first, second}))
        .limit(limit)
    )
    ids = list(connection.scalars(judged))
    named: dict[str, dict[int, set[str]]] = {first: {}, second: {}}
    for part in in_parts(ids):
        query = (
            select(verdicts.c.influencer_id, verdicts.c.bundle_id, verdicts.c.verdicts)
            .where(verdicts.c.influencer_id.in_(part), verdicts.c.bundle_id.in_((first, second)))
            .order_by(verdicts.c.run_id)
        )
        for row in connection.execute(query):
            # As stored: checking every field of so many verdicts would take most of the time.
            main = main_document(row.verdicts)
            named[row.bundle_id][row.influencer_id] = set(main["categories"] if main else ())
    return [(named[first][key], named[second][key]) for key in ids]
