"""Accounts as an analyst looks for them: searched, filtered, ranked for a campaign, in pages."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field
from sqlalchemy import Connection, Select, and_, case, func, select, tuple_

from schemas.base import Frozen
from storage.database import in_parts
from storage.standings import Standing, read_standings
from storage.tables import influencers
from storage.web_tables import standing_shares, standings

Order = Literal["name", "share", "certain", "uncertain", "affinity"]
Mark = tuple[str | float | int, int]
"""Where a page ended: the value sorted by, and an account's id (or an offset, for affinity)."""

COUNT_AT_MOST = 1000


class Filter(Frozen):
    """What accounts are looked for; ``weights`` rank them, by category, for a campaign."""

    text: str = Field("", max_length=60, description="part of a username")
    category: str = Field("", max_length=40, description="accounts that have this category")
    min_share: float = Field(0.0, ge=0, le=1, description="least share of that category")
    min_certainty: float = Field(0.0, ge=0, le=1, description="least certainty of the verdict")
    min_followers: int = Field(0, ge=0, description="least number of followers")
    min_interactions: float = Field(0.0, ge=0, description="least likes and comments a post")
    weights: dict[str, float] = Field(
        default_factory=dict, description="weight of each category in a ranking"
    )


class Share(Frozen):
    """One category's part of an account, as listed."""

    category: str
    posts: int
    share: float
    low: float
    high: float
    threshold: float
    chosen: bool


class Listed(Frozen):
    """An account as listed; ``score`` is its affinity where it was ranked."""

    id: int
    username: str
    followers: int | None
    standing: Standing | None
    shares: tuple[Share, ...]
    score: float | None = None

    @property
    def categories(self) -> tuple[str, ...]:
        """What it is about, largest share first."""
        return tuple(share.category for share in self.shares if share.chosen)


class Page(Frozen):
    """Some accounts, and where the next ones begin."""

    accounts: tuple[Listed, ...]
    next: Mark | None


def list_page(
    connection: Connection, wanted: Filter, order: Order, *, after: Mark | None, limit: int
) -> Page:
    """Return one page of the accounts that are wanted.

    Names go up, shares and certainties down (``uncertain`` up); ranked by affinity, the sum of
    weight x share over the weighted categories.
    """
    if order == "affinity" and wanted.weights:
        rows, following = _ranked(connection, wanted, after, limit)
    else:
        rows, following = _sorted(connection, wanted, order, after, limit)
    ids = [identifier for identifier, _score in rows]
    scores = dict(rows)
    return Page(accounts=tuple(describe_accounts(connection, ids, scores)), next=following)


def count_wanted(connection: Connection, wanted: Filter) -> int:
    """Return how many accounts are wanted, counting to ``COUNT_AT_MOST`` + 1 only."""
    query = _filtered(select(influencers.c.id), wanted).limit(COUNT_AT_MOST + 1)
    return connection.scalar(select(func.count()).select_from(query.subquery())) or 0


def _sorted(
    connection: Connection, wanted: Filter, order: Order, after: Mark | None, limit: int
) -> tuple[list[tuple[int, float | None]], Mark | None]:
    key: Any = influencers.c.username
    identifier: Any = influencers.c.id
    down = False
    if order == "share" and wanted.category:
        key, identifier, down = standing_shares.c.share, standing_shares.c.influencer_id, True
    elif order in {"certain", "uncertain"}:
        key, identifier, down = standings.c.certainty, standings.c.influencer_id, order == "certain"
    joined = key.table is standings
    query = _filtered(select(influencers.c.id, key.label("key")), wanted, with_standing=joined)
    if after is not None:
        here, place = tuple_(key, identifier), tuple_(*after)
        query = query.where(here < place if down else here > place)
    ordering = (key.desc(), identifier.desc()) if down else (key, identifier)
    rows = connection.execute(query.order_by(*ordering).limit(limit + 1)).all()
    following = (rows[limit - 1].key, rows[limit - 1].id) if len(rows) > limit else None
    return [(row.id, None) for row in rows[:limit]], following


def _ranked(
    connection: Connection, wanted: Filter, after: Mark | None, limit: int
) -> tuple[list[tuple[int, float | None]], Mark | None]:
    offset = after[1] if after else 0
    columns = standing_shares.c
    weights = case(wanted.weights, value=columns.category, else_=0.0)
    score = func.sum(weights * columns.share).label("score")
    query = select(columns.influencer_id, score).where(columns.category.in_(wanted.weights))
    if wanted.min_followers:
        query = query.where(columns.followers >= wanted.min_followers)
    if wanted.min_interactions:
        query = query.where(columns.interactions >= wanted.min_interactions)
    if wanted.min_certainty:
        query = query.where(columns.certainty >= wanted.min_certainty)
    if wanted.text:
        query = query.join(influencers, influencers.c.id == columns.influencer_id)
        query = query.where(_named(wanted.text))
    query = query.group_by(columns.influencer_id)
    query = query.order_by(score.desc(), columns.influencer_id).offset(offset).limit(limit + 1)
    rows = [(row.influencer_id, float(row.score)) for row in connection.execute(query)]
    following: Mark | None = (0, offset + limit) if len(rows) > limit else None
    found: list[tuple[int, float | None]] = list(rows[:limit])
    return found, following


def _filtered(query: Select[Any], wanted: Filter, *, with_standing: bool = False) -> Select[Any]:
    query = query.select_from(influencers)
    if wanted.category:
        columns = standing_shares.c
        query = query.join(
            standing_shares,
            and_(columns.influencer_id == influencers.c.id, columns.category == wanted.category),
        )
        enough = columns.share >= wanted.min_share
        query = query.where(enough if wanted.min_share else columns.chosen)
    if with_standing or wanted.min_certainty or wanted.min_interactions:
        query = query.join(standings, standings.c.influencer_id == influencers.c.id)
    if wanted.min_certainty:
        query = query.where(standings.c.certainty >= wanted.min_certainty)
    if wanted.min_interactions:
        query = query.where(standings.c.interactions >= wanted.min_interactions)
    if wanted.min_followers:
        query = query.where(influencers.c.followers >= wanted.min_followers)
    if wanted.text:
        query = query.where(_named(wanted.text))
    return query


def _named(text: str) -> Any:
    return influencers.c.username.contains(text.strip().lstrip("@").lower(), autoescape=True)


def describe_accounts(
    connection: Connection,
    ids: Sequence[int],
    scores: Mapping[int, float | None] | None = None,
) -> list[Listed]:
    """Return accounts as listed, in the order of ``ids``; erased ones are left out."""
    shares = read_shares(connection, ids)
    standing = read_standings(connection, ids)
    rows = {}
    for part in in_parts(ids):
        query = select(influencers.c.id, influencers.c.username, influencers.c.followers)
        rows.update(
            {row.id: row for row in connection.execute(query.where(influencers.c.id.in_(part)))}
        )
    return [
        Listed(
            id=identifier,
            username=rows[identifier].username,
            followers=rows[identifier].followers,
            standing=standing.get(identifier),
            shares=tuple(shares.get(identifier, ())),
            score=(scores or {}).get(identifier),
        )
        for identifier in ids
        if identifier in rows
    ]


def read_shares(connection: Connection, ids: Sequence[int]) -> dict[int, list[Share]]:
    """Return the shares in force of accounts, by their ids, largest first."""
    columns = standing_shares.c
    names = Share.model_fields
    found: dict[int, list[Share]] = {}
    for part in in_parts(ids):
        query = (
            select(columns.influencer_id, *(columns[name] for name in names))
            .where(columns.influencer_id.in_(part))
            .order_by(columns.share.desc(), columns.category)
        )
        for row in connection.execute(query):
            share = Share.model_validate({name: getattr(row, name) for name in names})
            found.setdefault(row.influencer_id, []).append(share)
    return found


def count_judged(connection: Connection) -> dict[str, int]:
    """Return how many accounts have each category now."""
    columns = standing_shares.c
    query = select(columns.category, func.count()).where(columns.chosen).group_by(columns.category)
    return dict(connection.execute(query).all())
