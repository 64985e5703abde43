"""Campaigns, as the client asks for them."""

from collections.abc import Iterator, Mapping

from schemas.answers import ListedAccount, SavedCampaign
from web.client_base import Asking


class Campaigns(Asking):
    """Saved rankings of accounts by weighted categories."""

    def campaigns(self) -> list[SavedCampaign]:
        """Return all campaigns by name."""
        return self._get(list[SavedCampaign], "/campaigns")

    def save_campaign(
        self,
        name: str,
        weights: Mapping[str, float],
        *,
        min_followers: int | None = None,
        min_interactions: float | None = None,
        min_posts: int | None = None,
    ) -> SavedCampaign:
        """Save a campaign; what is not said is as the server has it for new ones.

        Raises:
            ConflictError, WrongRequestError: the name is taken, or the weights weigh nothing.
        """
        limits = {
            "min_followers": min_followers,
            "min_interactions": min_interactions,
            "min_posts": min_posts,
        }
        given = {field: value for field, value in limits.items() if value is not None}
        document = {"name": name, "weights": dict(weights), **given}
        return self._send(SavedCampaign, "POST", "/campaigns", document)

    def forget_campaign(self, campaign: int) -> SavedCampaign:
        """Forget a campaign and return what it was."""
        return self._send(SavedCampaign, "DELETE", f"/campaigns/{campaign}")

    def ranking(self, campaign: int) -> Iterator[ListedAccount]:
        """Go through accounts by their affinity to a saved campaign, best first."""
        return self._accounts(f"/campaigns/{campaign}/accounts", {})
