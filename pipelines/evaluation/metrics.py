"""Scores of predicted against true sets of categories, each with its interval."""

import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.base import Frozen

Interval = tuple[float, float]


class ClassScore(Frozen):
    """Precision, recall and F1 of one category; None where nothing was there to divide by.

    ``support`` is how many items truly have the category, ``predicted`` how many were given it.
    The intervals are Wilson's at 95 %.
    """

    category: str
    support: int
    predicted: int
    hits: int
    precision: float | None
    recall: float | None
    f1: float | None
    precision_interval: Interval
    recall_interval: Interval


class Average(Frozen):
    """Precision, recall and F1 over all categories; None where no category defines them."""

    precision: float | None
    recall: float | None
    f1: float | None


class Scores(Frozen):
    """How well sets of categories were predicted for ``items`` items.

    ``hamming`` is the share of wrong (item, category) pairs and ``hamming_of_nothing`` that of
    predicting no category at all, to be read beside it. ``micro`` counts pairs, ``macro`` averages
    over the categories where a figure is defined. ``coverage`` is the share of items with at least
    one predicted category. Intervals are 95 %: Wilson's for coverage, bootstrap over items else.
    """

    items: int
    classes: tuple[ClassScore, ...]
    micro: Average
    macro: Average
    macro_f1_interval: Interval | None
    hamming: float
    hamming_interval: Interval
    hamming_of_nothing: float
    coverage: float
    coverage_interval: Interval


def score_sets(
    predicted: Sequence[Collection[str]],
    true: Sequence[Collection[str]],
    classes: Sequence[str],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Scores:
    """Score predicted sets against true ones, item by item, on the named categories only.

    Hamming loss = (1/(p·j)) Σ |h(Xi) Δ Yi| over p items and j categories (thesis, chapter 5).

    Raises:
        ValueError: nothing to score, or the two sides differ in length.
    """
    if not predicted or not classes or len(predicted) != len(true):
        raise ValueError("Scores need at least one item and category, and as many truths as items.")
    guessed, truth = _indicate(predicted, classes), _indicate(true, classes)
    hits, wrong = guessed & truth, guessed ^ truth
    items, pairs = guessed.shape[0], guessed.size
    per_class = tuple(
        _score_class(name, int(h), int(g), int(t))
        for name, h, g, t in zip(
            classes, hits.sum(axis=0), guessed.sum(axis=0), truth.sum(axis=0), strict=True
        )
    )
    covered = int(guessed.any(axis=1).sum())
    hamming_interval, f1_interval = _bootstrap(hits, guessed, truth, resamples, seed)
    return Scores(
        items=items,
        classes=per_class,
        micro=_average_pairs(int(hits.sum()), int(guessed.sum()), int(truth.sum())),
        macro=Average(
            precision=_mean([score.precision for score in per_class]),
            recall=_mean([score.recall for score in per_class]),
            f1=_mean([score.f1 for score in per_class]),
        ),
        macro_f1_interval=f1_interval,
        hamming=float(wrong.sum() / pairs),
        hamming_interval=hamming_interval,
        hamming_of_nothing=float(truth.sum() / pairs),
        coverage=covered / items,
        coverage_interval=wilson_interval(covered, items),
    )


def wilson_interval(hits: int, total: int, z: float = 1.959963984540054) -> Interval:
    """Return the score interval of a rate, 95 % by default; of nothing at all it is 0 to 1.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference"; unlike
    the normal approximation it stays within 0 and 1 and is honest for few observations.
    """
    if total == 0:
        return 0.0, 1.0
    rate, spread = hits / total, z * z / total
    middle = rate + spread / 2
    reach = z * math.sqrt((rate * (1 - rate) + spread / 4) / total)
    # Rounding must not push a bound past the rate itself.
    low, high = (middle - reach) / (1 + spread), (middle + reach) / (1 + spread)
    return max(0.0, min(low, rate)), min(1.0, max(high, rate))


def _indicate(sets: Sequence[Collection[str]], classes: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([[name in each for name in classes] for each in sets], np.bool_)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _score_class(category: str, hits: int, predicted: int, support: int) -> ClassScore:
    return ClassScore(
        category=category,
        support=support,
        predicted=predicted,
        hits=hits,
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, support),
        f1=_ratio(2 * hits, predicted + support),
        precision_interval=wilson_interval(hits, predicted),
        recall_interval=wilson_interval(hits, support),
    )


def _average_pairs(hits: int, predicted: int, support: int) -> Average:
    return Average(
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, support),
        f1=_ratio(2 * hits, predicted + support),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def _bootstrap(
    hits: NDArray[np.bool_],
    guessed: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    resamples: int,
    seed: int,
) -> tuple[Interval, Interval | None]:
    """Return percentile intervals of Hamming loss and of macro-F1 over resampled items."""
    items, classes = hits.shape
    rng = np.random.default_rng(seed)
    times = rng.multinomial(items, np.full(items, 1 / items), size=resamples)
    hit, given, real = (times @ table.astype(np.int64) for table in (hits, guessed, truth))
    hamming = (given + real - 2 * hit).sum(axis=1) / (items * classes)
    defined = (given + real) > 0
    f1 = np.where(defined, 2 * hit / np.maximum(given + real, 1), 0.0)
    some = defined.any(axis=1)
    macro = f1[some].sum(axis=1) / defined[some].sum(axis=1)
    return _middle(hamming), _middle(macro) if len(macro) else None


def _middle(values: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
