"""Accounts by their affinity to weighted categories, without adding up every account."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    case,
    func,
    select,
    text,
    union,
)

from storage.database import ROWS_PER_STATEMENT
from storage.web_tables import standing_shares, standings

EPSILON = 1e-6
"""Far above what adding shares may round off, far below what a post makes."""

STEPS = 40
LOOKED_AT = 4
LEVELS = (1.0, 0.85, 0.7, 0.55, 0.4)

Narrow = Any
"""A function that lets only those rows of ``standing_shares`` through that a filter wants."""


def rank_accounts(
    connection: Connection, weights: Mapping[str, float], narrow: Narrow, *, first: int, limit: int
) -> list[tuple[int, float]]:
    """Return ids and scores of a part of a ranking: the sum of weight x share, greatest first.

    Equal scores go by id. ``narrow`` adds a filter's conditions to a query on ``standing_shares``.
    """
    among = _candidates(connection, weights, narrow, first + limit)
    columns = standing_shares.c
    if among is None:
        score = _score(weights).label("score")
        every = select(columns.influencer_id, score).where(columns.category.in_(list(weights)))
        query = narrow(every).group_by(columns.influencer_id)
        query = query.order_by(score.desc(), columns.influencer_id)
    else:
        query = _scores_of(weights, among)
    rows = connection.execute(query.offset(first).limit(limit))
    return [(row.influencer_id, float(row.score)) for row in rows]


def _candidates(
    connection: Connection, weights: Mapping[str, float], narrow: Narrow, wanted: int
) -> CompoundSelect[Any] | None:
    """Select the only accounts that can be among the ``wanted`` best; None: all of them can.

    Of some accounts, the ``wanted``-th best score must be reached; whoever has less than some share
    of every category cannot. The higher that score, the fewer are left: besides the first of each
    category some from further down are looked at, which often have a second category.
    """
    columns = standing_shares.c
    # Shares of posts with several categories may sum to more than 1: then no bound holds.
    several = select(standings.c.influencer_id).where(text("standings.several"))
    if wanted > ROWS_PER_STATEMENT or connection.scalar(several.limit(1)) is not None:
        return None
    some = [
        narrow(
            select(columns.influencer_id).where(
                columns.category == category, columns.share <= level
            )
        )
        .order_by(columns.share.desc(), columns.influencer_id.desc())
        .limit(LOOKED_AT * wanted)
        .subquery()
        for category in weights
        for level in LEVELS
    ]
    looked_at = union(*(select(one.c.influencer_id) for one in some))
    last = connection.execute(_scores_of(weights, looked_at).offset(wanted - 1).limit(1)).first()
    if last is None:
        return None
    reached = last.score - EPSILON
    least = find_share(list(weights.values()), reached)
    greatest = max(weights.values())
    parts = [
        narrow(
            select(columns.influencer_id).where(
                columns.category == category, columns.share >= least
            )
        )
        for category, weight in weights.items()
        if weight * least + greatest * (1 - least) >= reached
    ]
    return union(*parts) if least > 0 and parts else None


def _score(weights: Mapping[str, float]) -> ColumnElement[float]:
    columns = standing_shares.c
    worth = case(dict(weights), value=columns.category, else_=0.0)
    return func.sum(worth * columns.share)


def _scores_of(weights: Mapping[str, float], among: CompoundSelect[Any]) -> Select[Any]:
    """Select the scores of some accounts, best first.

    Each by its own shares: of a join either database may read whole categories.
    """
    chosen = among.subquery("among")
    own = select(_score(weights)).where(standing_shares.c.influencer_id == chosen.c.influencer_id)
    score = own.scalar_subquery().label("score")
    return select(chosen.c.influencer_id, score).order_by(
        text("score DESC"), chosen.c.influencer_id
    )


def find_share(weights: Sequence[float], reached: float) -> float:
    """Return the greatest share such that who has less of every category stays below a score."""
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if greatest_score(weights, middle) < reached else (low, middle)
    return low


def greatest_score(weights: Sequence[float], cap: float) -> float:
    """Return the greatest score of shares that sum to at most 1, none of them above ``cap``."""
    left, score = 1.0, 0.0
    for weight in sorted(weights, reverse=True):
        part = min(cap, left)
        score += weight * part
        left -= part
    return score
