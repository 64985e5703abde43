"""Campaigns: saved rankings of accounts by weighted categories."""

from datetime import UTC, datetime

from pydantic import Field, field_validator
from sqlalchemy import Connection, delete, func, insert, select

from schemas.base import Frozen
from schemas.categories import known_categories
from schemas.errors import NotFoundError, UsageError
from storage.listing import Filter
from storage.web_tables import campaigns

MIN_FOLLOWERS = 3000
"""From where on an agency calls somebody an influencer, unless a campaign says otherwise."""


MIN_POSTS = 5
"""With fewer posts judged a share says little: that of a single one is all or nothing."""


class NewCampaign(Frozen):
    """What a campaign looks for; weights are relative and only those above 0 count."""

    name: str = Field(min_length=1, max_length=100)
    weights: dict[str, float] = Field(description="weight of each category, above 0, at most 100")
    min_followers: int = Field(MIN_FOLLOWERS, ge=0)
    min_interactions: float = Field(0.0, ge=0, description="least likes and comments a post")
    min_posts: int = Field(
        MIN_POSTS, ge=0, le=2**31 - 1, description="least number of posts judged"
    )

    @field_validator("weights")
    @classmethod
    def _check(cls, weights: dict[str, float]) -> dict[str, float]:
        kept = {name: weight for name, weight in weights.items() if weight}
        unknown = sorted(set(kept) - set(known_categories()))
        if unknown or not kept or not all(0 < weight <= 100 for weight in kept.values()):  # noqa: PLR2004
            raise ValueError("give at least one known category a weight above 0 and at most 100")
        return kept

    @property
    def wanted(self) -> Filter:
        """The filter that ranks accounts for it; weights are brought to a sum of 1."""
        total = sum(self.weights.values())
        return Filter(
            weights={name: weight / total for name, weight in self.weights.items()},
            min_followers=self.min_followers,
            min_interactions=self.min_interactions,
            min_posts=self.min_posts,
        )


class Campaign(NewCampaign):
    """A campaign as saved."""

    id: int
    author: str
    created_at: datetime


def save_campaign(connection: Connection, campaign: NewCampaign, author: str) -> Campaign:
    """Keep a campaign.

    Raises:
        UsageError: another one has that name (upper and lower case are the same).
    """
    same = func.lower(campaigns.c.name) == campaign.name.lower()
    if connection.scalar(select(campaigns.c.id).where(same)) is not None:
        raise UsageError(f"There is a campaign {campaign.name!r} already: use another name.")
    row = {**campaign.model_dump(), "author": author, "created_at": datetime.now(UTC)}
    statement = insert(campaigns).values(row).returning(campaigns.c.id)
    return find_campaign(connection, connection.execute(statement).scalar_one())


def list_campaigns(connection: Connection) -> list[Campaign]:
    """Return all campaigns by name."""
    rows = connection.execute(select(campaigns).order_by(campaigns.c.name)).mappings()
    return [Campaign.model_validate(dict(row)) for row in rows]


def find_campaign(connection: Connection, campaign_id: int) -> Campaign:
    """Return one campaign.

    Raises:
        NotFoundError: there is no such campaign.
    """
    query = select(campaigns).where(campaigns.c.id == campaign_id)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"There is no campaign {campaign_id}: look at the list of campaigns.")
    return Campaign.model_validate(dict(row))


def delete_campaign(connection: Connection, campaign_id: int) -> None:
    """Forget a campaign.

    Raises:
        NotFoundError: there is no such campaign.
    """
    find_campaign(connection, campaign_id)
    connection.execute(delete(campaigns).where(campaigns.c.id == campaign_id))
