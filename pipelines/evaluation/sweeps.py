"""What other thresholds and weights would give: curves to choose from, not to boast with."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.methods import MethodPredictions, Truth, find_top_right
from pipelines.evaluation.metrics import indicate
from schemas.base import Frozen

STEPS = 101
"""Thresholds and weights from 0 to 1 by 0.01, as in the thesis."""

_CURVE_POINTS = 200


class ThresholdSweep(Frozen):
    """Precision, recall and Hamming loss of accounts' categories at every share threshold.

    Precision and recall count (account, category) pairs; None where nothing is predicted.
    ``balanced_at`` is the threshold where precision and recall are closest (28 % in the thesis),
    ``least_hamming_at`` the one of least Hamming loss (39 % there). They were found on these very
    accounts, so their figures flatter; ``transferred`` says what choosing on one half of the
    accounts gives on the other.
    """

    thresholds: tuple[float, ...]
    precision: tuple[float | None, ...]
    recall: tuple[float | None, ...]
    hamming: tuple[float, ...]
    hamming_of_nothing: float
    balanced_at: float
    least_hamming_at: float
    transferred: "Transferred | None" = None


class Transferred(Frozen):
    """A threshold of least Hamming loss chosen on one half of the accounts, measured on the other.

    Both ways round, and pooled.
    """

    thresholds: tuple[float, float]
    hamming: float
    precision: float | None
    recall: float | None
    hamming_of_nothing: float


class WeightSweep(Frozen):
    """How often image and text together are right at every weight λ of the image.

    p(c) = λ·I(c) + (1-λ)·T(c) (thesis, section 4.6); ``right`` is the share of posts whose
    likeliest class is a true one.
    """

    weights: tuple[float, ...]
    right: tuple[float, ...]
    best_at: float
    items: int


class Tradeoff(Frozen):
    """Precision by recall of one category as its probability threshold falls.

    ``average_precision`` is the area under the curve by steps.
    """

    category: str
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    average_precision: float
    support: int


def sweep_thresholds(
    shares: NDArray[np.floating], truth: Truth, classes: Sequence[str], *, seed: int = 0
) -> ThresholdSweep:
    """Give accounts every category whose share ``(n, k)`` reaches a threshold, for all thresholds.

    Raises:
        ValueError: there is no account.
    """
    if not len(shares):
        raise ValueError("A threshold sweep needs at least one account.")
    real = indicate(truth, classes)
    thresholds = np.linspace(0, 1, STEPS)
    hits, given = _count_pairs(shares, real, thresholds)
    hamming = (given + real.sum() - 2 * hits) / real.size
    precision, recall = _rates(hits, given), _rates(hits, np.full_like(hits, real.sum()))
    gaps = [
        abs(p - r) if p is not None and r is not None else np.inf
        for p, r in zip(precision, recall, strict=True)
    ]
    return ThresholdSweep(
        thresholds=tuple(thresholds.round(4).tolist()),
        precision=tuple(precision),
        recall=tuple(recall),
        hamming=tuple(hamming.tolist()),
        hamming_of_nothing=float(real.mean()),
        balanced_at=_choose(thresholds, np.array(gaps)),
        least_hamming_at=_choose(thresholds, hamming),
        transferred=_transfer(shares, real, thresholds, seed),
    )


def sweep_weights(
    image: MethodPredictions, text: MethodPredictions, truth: Truth, classes: Sequence[str]
) -> WeightSweep | None:
    """Weigh two methods' probabilities against each other, on the items that both could judge.

    None where there is no such item.
    """
    both = image.judged & text.judged
    if not both.any():
        return None
    weights = np.linspace(0, 1, STEPS)
    right: list[float] = []
    items = 0
    for weight in weights:
        mixed = weight * image.probabilities + (1 - weight) * text.probabilities
        fused = MethodPredictions(
            "weighted", "both", mixed.astype(np.float32), both, image.predicted
        )
        hits, askable = find_top_right(fused, truth, classes)
        asked = both & askable
        items = int(asked.sum())
        if not items:
            return None
        right.append(float(hits[asked].mean()))
    return WeightSweep(
        weights=tuple(weights.round(4).tolist()),
        right=tuple(right),
        best_at=_choose(weights, -np.array(right)),
        items=items,
    )


def trace_tradeoffs(
    method: MethodPredictions, truth: Truth, classes: Sequence[str]
) -> list[Tradeoff]:
    """Return precision by recall of every category that some judged items have and some have not.

    The lowest thresholds of a long curve are thinned out; its area is that of the whole.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    real = indicate(truth, classes)[method.judged]
    likely = method.probabilities[method.judged]
    curves = []
    for place, category in enumerate(classes):
        true, said = real[:, place], likely[:, place]
        if not true.any() or true.all():
            continue
        precision, recall, _thresholds = precision_recall_curve(true, said)
        kept = np.unique(np.linspace(0, len(recall) - 1, _CURVE_POINTS).round().astype(int))
        curves.append(
            Tradeoff(
                category=category,
                recall=tuple(recall[kept][::-1].tolist()),
                precision=tuple(precision[kept][::-1].tolist()),
                average_precision=float(average_precision_score(true, said)),
                support=int(true.sum()),
            )
        )
    return curves


def _count_pairs(
    shares: NDArray[np.floating], real: NDArray[np.bool_], thresholds: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    # A share of 0 is never evidence, whatever the threshold; as in a verdict.
    chosen = [(shares >= limit - 1e-9) & (shares > 0) for limit in thresholds]
    hits = np.array([int((each & real).sum()) for each in chosen], np.int64)
    given = np.array([int(each.sum()) for each in chosen], np.int64)
    return hits, given


def _rates(part: NDArray[np.int64], whole: NDArray[np.int64]) -> list[float | None]:
    return [int(p) / int(w) if w else None for p, w in zip(part, whole, strict=True)]


def _choose(places: NDArray[np.float64], losses: NDArray[np.float64]) -> float:
    """Return the middle of the places of least loss: the steadiest of equals."""
    least = np.flatnonzero(losses <= losses.min() + 1e-12)
    return round(float(places[least[len(least) // 2]]), 4)


def _transfer(
    shares: NDArray[np.floating],
    real: NDArray[np.bool_],
    thresholds: NDArray[np.float64],
    seed: int,
) -> Transferred | None:
    """Choose on one half of the accounts and measure on the other, both ways round."""
    count = len(shares)
    if count < 4:  # noqa: PLR2004 - halves of one account choose nothing
        return None
    order = np.random.default_rng(seed).permutation(count)
    halves = (order[: count // 2], order[count // 2 :])
    chosen, hits, given = [], 0, 0
    for fit, test in (halves, halves[::-1]):
        fit_hits, fit_given = _count_pairs(shares[fit], real[fit], thresholds)
        best = _choose(thresholds, fit_given + real[fit].sum() - 2.0 * fit_hits)
        test_hits, test_given = _count_pairs(shares[test], real[test], np.array([best]))
        chosen.append(best)
        hits, given = hits + int(test_hits[0]), given + int(test_given[0])
    true = int(real.sum())
    return Transferred(
        thresholds=(chosen[0], chosen[1]),
        hamming=(given + true - 2 * hits) / real.size,
        precision=hits / given if given else None,
        recall=hits / true if true else None,
        hamming_of_nothing=true / real.size,
    )
