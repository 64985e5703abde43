"""Accounts as an analyst looks for them: searched, filtered, ranked for a campaign, in pages."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field
from sqlalchemy import Connection, Select, Table, func, literal, select, tuple_

from schemas.base import Frozen
from storage.database import in_parts
from storage.ranking import rank_accounts
from storage.standings import Standing, read_standings
from storage.tables import influencers
from storage.web_tables import standing_shares, standings

Order = Literal["name", "share", "certain", "uncertain", "affinity"]
Mark = tuple[str | float | int, int]
"""Where a page ended: the value sorted by, and an account's id (or an offset, for affinity)."""

COUNT_AT_MOST = 1000

LEAST = {
    "min_certainty": "certainty",
    "min_interactions": "interactions",
    "min_followers": "followers",
    "min_posts": "usable",
}
"""The column of which a field of a filter is the least value."""


class Filter(Frozen):
    """What accounts are looked for; ``weights`` rank them, by category, for a campaign."""

    text: str = Field("", max_length=60, description="part of a username")
    category: str = Field("", max_length=40, description="accounts that have this category")
    min_share: float = Field(0.0, ge=0, le=1, description="least share of that category")
    min_certainty: float = Field(0.0, ge=0, le=1, description="least certainty of the verdict")
    min_followers: int = Field(0, ge=0, description="least number of followers")
    min_interactions: float = Field(0.0, ge=0, description="least likes and comments a post")
    min_posts: int = Field(0, ge=0, le=2**31 - 1, description="least number of posts judged")
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
    found = _find_ids(wanted).limit(COUNT_AT_MOST + 1).subquery()
    return connection.scalar(select(func.count()).select_from(found)) or 0


def _sorted(
    connection: Connection, wanted: Filter, order: Order, after: Mark | None, limit: int
) -> tuple[list[tuple[int, float | None]], Mark | None]:
    """Choose columns to read such that one index has both the order and what is filtered by."""
    down = order in {"share", "certain"}
    if order == "share" and wanted.category:
        table, key = standing_shares, standing_shares.c.share
        identifier: Any = standing_shares.c.influencer_id
    elif order in {"certain", "uncertain"}:
        table = standing_shares if wanted.category else standings
        key, identifier = table.c.certainty, table.c.influencer_id
    else:
        table, key, identifier = influencers, influencers.c.username, influencers.c.id
        down = False
    query = select(identifier.label("id"), key.label("key"))
    if table is influencers:
        query = _by_name(connection, query, wanted)
    else:
        query = _narrow(query, wanted, table)
    if after is not None:
        here, place = tuple_(key, identifier), tuple_(*after)
        query = query.where(here < place if down else here > place)
    ordering = (key.desc(), identifier.desc()) if down else (key, identifier)
    rows = connection.execute(query.order_by(*ordering).limit(limit + 1)).all()
    following = (rows[limit - 1].key, rows[limit - 1].id) if len(rows) > limit else None
    return [(row.id, None) for row in rows[:limit]], following


def _by_name(connection: Connection, query: Select[Any], wanted: Filter) -> Select[Any]:
    """Find those few that a filter lets through, or else look at one name after another.

    Neither is fast for both: of a thousand names of which one fits, many are looked at in vain;
    millions that fit would all be sorted for a page.
    """
    table = _table_of(wanted)
    if table is influencers and not wanted.min_followers:
        return _narrow(query, wanted, influencers)
    few = list(connection.scalars(_find_ids(wanted).limit(COUNT_AT_MOST + 1)))
    if len(few) <= COUNT_AT_MOST:
        return query.where(influencers.c.id.in_(few))
    if wanted.text:
        query = query.where(_named(wanted.text))
    if table is influencers:
        return query.where(influencers.c.followers >= wanted.min_followers)
    fits = _narrow(select(literal(1)), wanted, table, named=False)
    return query.where(fits.where(table.c.influencer_id == influencers.c.id).exists())


def _ranked(
    connection: Connection, wanted: Filter, after: Mark | None, limit: int
) -> tuple[list[tuple[int, float | None]], Mark | None]:
    offset = after[1] if after else 0
    own = wanted.model_copy(update={"category": ""})
    rows = rank_accounts(
        connection,
        wanted.weights,
        lambda query: _narrow(query, own, standing_shares),
        first=offset,
        limit=limit + 1,
    )
    following: Mark | None = (0, offset + limit) if len(rows) > limit else None
    found: list[tuple[int, float | None]] = list(rows[:limit])
    return found, following


def _table_of(wanted: Filter) -> Table:
    """Return the table that has all columns that a filter asks for, but for names."""
    if wanted.category:
        return standing_shares
    asked = wanted.min_certainty or wanted.min_interactions or wanted.min_posts
    return standings if asked else influencers


def _find_ids(wanted: Filter) -> Select[Any]:
    """Select the ids of the accounts that are wanted, in whichever order finds many soon."""
    table = _table_of(wanted)
    identifier = influencers.c.id if table is influencers else table.c.influencer_id
    query = _narrow(select(identifier), wanted, table)
    if table is not standing_shares:
        return query
    # Chosen are those with the largest shares.
    return query.order_by(table.c.share.desc(), identifier.desc())


def _narrow(query: Select[Any], wanted: Filter, table: Table, *, named: bool = True) -> Select[Any]:
    """Let only what a filter wants through, by the columns of one table."""
    columns = table.c
    if wanted.category:
        enough = columns.share >= wanted.min_share
        query = query.where(
            columns.category == wanted.category, enough if wanted.min_share else columns.chosen
        )
    for field, name in LEAST.items():
        if least := getattr(wanted, field):
            query = query.where(columns[name] >= least)
    if wanted.text and named:
        if table is not influencers:
            query = query.join(influencers, influencers.c.id == columns.influencer_id)
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
