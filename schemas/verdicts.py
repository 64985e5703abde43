"""What afin concludes: outcomes per post, verdicts per account."""

import math
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

    def sureness(self, usable: int) -> float:
        """Return how probable it is that more posts like the ``usable`` ones change nothing here.

        That of the verdict, if it says; else the share's distance to its threshold in standard
        errors, as a normal probability: 0.5 is a coin's toss, 1 is sure. Four imaginary posts are
        added as Agresti and Coull do (American Statistician 52, 1998), but on the threshold itself,
        so that few posts lean to no side.
        """
        if self.certainty is not None:
            return self.certainty if self.chosen else 1 - self.certainty
        trials = usable + 4
        mean = (self.posts + 4 * self.threshold) / trials
        error = math.sqrt(mean * (1 - mean) / trials)
        above = 0.5 * (1 + math.erf((mean - self.threshold) / error / math.sqrt(2)))
        return above if self.chosen else 1 - above

    def posts_to_turn(self, usable: int) -> int | None:
        """Return how many more posts would turn the decision; None where no number can.

        For a chosen category posts of anything else, otherwise posts of this category.
        """
        if not 0 < self.threshold < 1:
            return None
        if self.chosen:
            # The least m with posts / (usable + m) < threshold.
            return max(1, math.floor(self.posts / self.threshold + 1e-9) - usable + 1)
        needed = (self.threshold * usable - self.posts) / (1 - self.threshold)
        return max(1, math.ceil(needed - 1e-9))


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

    @property
    def certainty(self) -> float:
        """How probable it is that its least sure decision would stand; 0 without posts."""
        if not self.usable or not self.shares:
            return 0.0
        return min(share.sureness(self.usable) for share in self.shares)


class StoredVerdict(Frozen):
    """A verdict with whose it is and where it came from."""

    username: str
    influencer_id: int
    bundle_id: str
    run_id: int
    concluded_at: datetime
    verdicts: tuple[Verdict, ...]
