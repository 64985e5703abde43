"""Scores of predicted against true sets of categories, each with its interval."""

import math
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.base import Frozen

Interval = tuple[float, float]

_RESAMPLES_AT_ONCE = 250
"""Bootstrap resamples drawn together: bounds memory where there are many thousand groups."""


class ClassScore(Frozen):
    """Precision, recall and F1 of one category; None where nothing was there to divide by.

    ``support`` is how many items truly have the category, ``predicted`` how many were given it.
    The intervals of precision and recall are Wilson's at 95 %, that of F1 is a bootstrap's.
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
    f1_interval: Interval | None = None


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
    one predicted category. Intervals are 95 %: Wilson's for coverage, bootstrap over ``groups``
    (authors, or the items themselves) else.
    """

    items: int
    groups: int = 0
    classes: tuple[ClassScore, ...]
    micro: Average
    macro: Average
    macro_precision_interval: Interval | None = None
    macro_recall_interval: Interval | None = None
    macro_f1_interval: Interval | None
    hamming: float
    hamming_interval: Interval
    hamming_of_nothing: float
    coverage: float
    coverage_interval: Interval


@dataclass(frozen=True)
class _Intervals:
    """What one bootstrap gives: intervals of every figure that Wilson's formula does not cover."""

    hamming: Interval
    f1: tuple[Interval | None, ...]
    macro: tuple[Interval | None, Interval | None, Interval | None]


def score_sets(
    predicted: Sequence[Collection[str]],
    true: Sequence[Collection[str]],
    classes: Sequence[str],
    *,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Scores:
    """Score predicted sets against true ones, item by item, on the named categories only.

    Hamming loss = (1/(p·j)) Σ |h(Xi) Δ Yi| over p items and j categories (thesis, chapter 5).
    ``groups`` says whose each item is: an author's posts are drawn together by the bootstrap, for
    they resemble each other; without it every item is its own group.

    Raises:
        ValueError: nothing to score, or the sides differ in length.
    """
    if not predicted or not classes or len(predicted) != len(true):
        raise ValueError("Scores need at least one item and category, and as many truths as items.")
    if groups is not None and len(groups) != len(true):
        raise ValueError("Scores need a group for each item, or none at all.")
    guessed, truth = indicate(predicted, classes), indicate(true, classes)
    hits, wrong = guessed & truth, guessed ^ truth
    items, pairs = guessed.shape[0], guessed.size
    owners = np.arange(items) if groups is None else _number(groups)
    intervals = _bootstrap(hits, guessed, truth, owners, resamples, seed)
    per_class = tuple(
        _score_class(name, int(h), int(g), int(t), interval)
        for name, h, g, t, interval in zip(
            classes,
            hits.sum(axis=0),
            guessed.sum(axis=0),
            truth.sum(axis=0),
            intervals.f1,
            strict=True,
        )
    )
    covered = int(guessed.any(axis=1).sum())
    return Scores(
        items=items,
        groups=int(owners.max()) + 1,
        classes=per_class,
        micro=_average_pairs(int(hits.sum()), int(guessed.sum()), int(truth.sum())),
        macro=Average(
            precision=_mean([score.precision for score in per_class]),
            recall=_mean([score.recall for score in per_class]),
            f1=_mean([score.f1 for score in per_class]),
        ),
        macro_precision_interval=intervals.macro[0],
        macro_recall_interval=intervals.macro[1],
        macro_f1_interval=intervals.macro[2],
        hamming=float(wrong.sum() / pairs),
        hamming_interval=intervals.hamming,
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


def indicate(sets: Sequence[Collection[str]], classes: Sequence[str]) -> NDArray[np.bool_]:
    """Return which categories each set holds, ``(n, k)``."""
    return np.array([[name in each for name in classes] for each in sets], np.bool_)


def _number(groups: Sequence[Hashable]) -> NDArray[np.int64]:
    places: dict[Hashable, int] = {}
    return np.array([places.setdefault(group, len(places)) for group in groups], np.int64)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _score_class(
    category: str, hits: int, predicted: int, support: int, f1_interval: Interval | None
) -> ClassScore:
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
        f1_interval=f1_interval,
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
    owners: NDArray[np.int64],
    resamples: int,
    seed: int,
) -> _Intervals:
    """Return percentile intervals over resampled groups of items."""
    groups, classes = int(owners.max()) + 1, hits.shape[1]
    tables = [_sum_by(owners, groups, table) for table in (hits, guessed, truth)]
    sizes = np.bincount(owners, minlength=groups).astype(np.float64)
    rng = np.random.default_rng(seed)
    drawn = []
    for start in range(0, resamples, _RESAMPLES_AT_ONCE):
        count = min(_RESAMPLES_AT_ONCE, resamples - start)
        times = rng.multinomial(groups, np.full(groups, 1 / groups), size=count).astype(np.float64)
        drawn.append([times @ table for table in tables] + [(times @ sizes)[:, None]])
    hit, given, real, items = (np.concatenate(part) for part in zip(*drawn, strict=True))
    hamming = (given + real - 2 * hit).sum(axis=1) / (items[:, 0] * classes)
    f1 = _divide(2 * hit, given + real)
    ratios = (_divide(hit, given), _divide(hit, real), f1)
    precision, recall, macro = (_middle(_mean_of_rows(ratio)) for ratio in ratios)
    return _Intervals(
        hamming=_middle(hamming) or (0.0, 1.0),
        f1=tuple(_middle(column) for column in f1.T),
        macro=(precision, recall, macro),
    )


def _sum_by(
    owners: NDArray[np.int64], groups: int, table: NDArray[np.bool_]
) -> NDArray[np.float64]:
    sums = np.zeros((groups, table.shape[1]))
    np.add.at(sums, owners, table)
    return sums


def _divide(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide, with NaN where there is nothing to divide by."""
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def _mean_of_rows(values: NDArray[np.float64]) -> NDArray[np.float64]:
    defined = ~np.isnan(values)
    some = defined.any(axis=1)
    sums = np.where(defined, values, 0.0)[some].sum(axis=1)
    means: NDArray[np.float64] = sums / defined[some].sum(axis=1)
    return means


def _middle(values: NDArray[np.float64]) -> Interval | None:
    """Return the middle 95 % of what is defined; None where nothing is."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)
