"""Where to draw the line: sweeps of one threshold for all, and one per category by precision."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.base import Frozen

Scores = NDArray[np.floating]
Truth = NDArray[np.bool_]

STEPS = 100
MIN_POSITIVES = 5
"""A category with fewer true items gives no threshold of its own: it would be luck."""


class SweepPoint(Frozen):
    """What one threshold for all categories gives; precision is None where nothing is chosen."""

    threshold: float
    precision: float | None
    recall: float | None
    f1: float | None
    hamming: float


class CategoryThreshold(Frozen):
    """A category's own threshold, with what it gave where it was fitted.

    ``threshold`` is None where the category has to abstain: ``reason`` says why.
    """

    category: str
    threshold: float | None
    precision: float | None
    recall: float | None
    positives: int
    reason: str | None


def sweep_thresholds(scores: Scores, truth: Truth) -> list[SweepPoint]:
    """Try the thresholds 0.01 … 1 on ``(n, k)`` scores; an item has what reaches the threshold.

    Precision and recall count pairs of item and category, and Hamming loss is the share of wrong
    pairs (thesis, section 5.2).
    """
    points = []
    for step in range(1, STEPS + 1):
        threshold = step / STEPS
        chosen = scores >= threshold
        hits, given, real = (
            int((chosen & truth).sum()),
            int(chosen.sum()),
            int(truth.sum()),
        )
        points.append(
            SweepPoint(
                threshold=threshold,
                precision=hits / given if given else None,
                recall=hits / real if real else None,
                f1=2 * hits / (given + real) if given + real else None,
                hamming=float((chosen ^ truth).mean()),
            )
        )
    return points


def find_balance(points: Sequence[SweepPoint]) -> SweepPoint | None:
    """Return where precision and recall are nearest (28 % in the thesis), the higher if tied."""
    known = [p for p in points if p.precision is not None and p.recall is not None]
    return min(
        known,
        key=lambda p: (round(abs((p.precision or 0) - (p.recall or 0)), 9), -p.threshold),
        default=None,
    )


def find_least_hamming(points: Sequence[SweepPoint]) -> SweepPoint:
    """Return where Hamming loss is least (39 % in the thesis); of equals the highest threshold.

    A false positive is worse than a false negative, hence the highest.
    """
    return min(points, key=lambda p: (round(p.hamming, 12), -p.threshold))


def fit_thresholds(
    scores: Scores,
    truth: Truth,
    categories: Sequence[str],
    *,
    target_precision: float = 0.9,
    least: float = 0.0,
) -> list[CategoryThreshold]:
    """Return for each category the lowest threshold that reaches a precision, so most recall.

    ``scores`` and ``truth`` are ``(n, k)``. A threshold lies midway between the last score taken
    and the first one left out, and never below ``least``. A category with fewer than five true
    items, or one whose precision never reaches the target, abstains.
    """
    return [
        _fit_one(
            name, scores[:, place].astype(np.float64), truth[:, place], target_precision, least
        )
        for place, name in enumerate(categories)
    ]


def _fit_one(
    category: str, scores: NDArray[np.float64], truth: Truth, target: float, least: float
) -> CategoryThreshold:
    positives = int(truth.sum())
    if positives < MIN_POSITIVES:
        reason = f"only {positives} labelled items have it, and {MIN_POSITIVES} are needed"
        return _abstain(category, positives, reason)
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(truth[order])
    taken = np.arange(1, len(ranked) + 1)
    # A cut may only fall between different scores, and above nothing at all.
    ends = np.append(ranked[1:] < ranked[:-1], True) & (ranked > 0) & (ranked >= least)
    good = np.flatnonzero(ends & (hits / taken >= target))
    if not len(good):
        return _abstain(category, positives, f"no threshold reaches a precision of {target:.0%}")
    last = int(good[-1])
    below = ranked[last + 1] if last + 1 < len(ranked) else 0.0
    # Scores are compared as float32, in which nothing may lie between two neighbours.
    middle = float(np.float32((ranked[last] + below) / 2))
    threshold = max(middle if below < middle <= ranked[last] else float(ranked[last]), least)
    return CategoryThreshold(
        category=category,
        threshold=threshold,
        precision=float(hits[last] / taken[last]),
        recall=float(hits[last] / positives),
        positives=positives,
        reason=None,
    )


def _abstain(category: str, positives: int, reason: str) -> CategoryThreshold:
    return CategoryThreshold(
        category=category,
        threshold=None,
        precision=None,
        recall=None,
        positives=positives,
        reason=reason,
    )
