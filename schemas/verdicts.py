"""What afin concludes: outcomes per post, verdicts per account."""

from datetime import datetime
from typing import Literal

from schemas.base import Frozen

Halves = Literal["both", "image", "text", "none"]


class PostOutcome(Frozen):
    """What one method says of one post.

    ``probabilities`` follow the bundle's category order (plus the reject class last, where it has
    one) and are empty when ``halves`` is ``none``; ``category`` is None when the post is unknown.
    ``also`` names further categories, from methods that may give several; it is not kept, as
    probabilities and thresholds give it again.
    """

    post_id: int
    halves: Halves
    probabilities: tuple[float, ...]
    category: str | None
    also: tuple[str, ...] = ()

    @property
    def categories(self) -> tuple[str, ...]:
        """Every category the post has, the likeliest first."""
        return () if self.category is None else (self.category, *self.also)


class CategoryShare(Frozen):
    """How much of an account speaks for one category.

    ``share`` = ``posts`` / usable posts (unknown ones included); ``low`` and ``high`` bound it by
    Wilson's 95 % interval. ``certainty`` is the probability that the share of all posts, those
    never seen included, reaches the threshold.
    """

    category: str
    posts: int
    share: float
    low: float
    high: float
    threshold: float
    chosen: bool
    evidence: tuple[int, ...]
    certainty: float | None = None


class Verdict(Frozen):
    """What an account is about according to one method of one bundle.

    ``usable`` counts the posts that could be judged, ``lacking`` those with neither a usable photo
    nor a caption; ``enough`` is False when too few posts were usable, and the categories are then
    provisional. ``abstained`` names categories of which the method says nothing, for lack of data.
    """

    method: str
    categories: tuple[str, ...]
    shares: tuple[CategoryShare, ...]
    usable: int
    unknown: int
    lacking: int
    enough: bool
    abstained: tuple[str, ...] = ()


class StoredVerdict(Frozen):
    """A verdict with whose it is and where it came from."""

    username: str
    influencer_id: int
    bundle_id: str
    run_id: int
    concluded_at: datetime
    verdicts: tuple[Verdict, ...]
