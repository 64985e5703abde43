"""How certain a share of posts is: five posts and five hundred are not the same evidence."""

from schemas.base import Frozen

PRIOR = (0.5, 0.5)
"""Jeffreys' prior: the least informative one for a rate."""


class ShareEstimate(Frozen):
    """The true share behind the posts seen: its mean, 95 % of its mass, and whether it suffices.

    ``certainty`` is the probability that the true share reaches the threshold asked for.
    """

    mean: float
    low: float
    high: float
    certainty: float


def estimate_share(
    posts: int, usable: int, threshold: float, prior: tuple[float, float] = PRIOR
) -> ShareEstimate:
    """Estimate a share from ``posts`` of ``usable`` that have a category.

    The number of posts is binomial and the share has a beta prior, so it is beta afterwards
    (Gelman et al., "Bayesian Data Analysis", section 2.4); posts yet to come are beta-binomial.

    Raises:
        ValueError: more posts than usable ones.
    """
    from scipy.special import betaincinv

    certainty = reach(posts, usable, threshold, prior)
    hits, misses = prior[0] + posts, prior[1] + usable - posts
    return ShareEstimate(
        mean=hits / (hits + misses),
        low=float(betaincinv(hits, misses, 0.025)),
        high=float(betaincinv(hits, misses, 0.975)),
        certainty=certainty,
    )


def reach(posts: int, usable: int, threshold: float, prior: tuple[float, float] = PRIOR) -> float:
    """Return the probability that the true share behind ``posts`` of ``usable`` is a threshold's.

    As ``estimate_share`` does, without what only a page shows: an interval takes much longer.

    Raises:
        ValueError: more posts than usable ones.
    """
    from scipy.special import betainc

    if not 0 <= posts <= usable:
        raise ValueError(f"{posts} of {usable} posts is no share.")
    return float(1 - betainc(prior[0] + posts, prior[1] + usable - posts, threshold))
