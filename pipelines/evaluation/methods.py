"""Methods side by side: what each says of the same items, and one table with a row for each."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.confidence import Confidence, measure_confidence
from pipelines.evaluation.metrics import Interval, Scores, score_sets, wilson_interval
from pipelines.evaluation.significance import Difference, compare_pairs
from schemas.base import Frozen

UsedHalves = Literal["image", "text", "both"]
Truth = Sequence[frozenset[str]]


@dataclass(frozen=True)
class MethodPredictions:
    """What one method says of n items by one half of each, or by both.

    ``probabilities (n, k) float32`` follow the category order, with the reject class last where
    there is one; ``judged (n,)`` says of which items the method had anything to go by.
    ``predicted`` holds a set of categories an item: an empty one says "none of them", None says
    "unknown".
    """

    name: str
    halves: UsedHalves
    probabilities: NDArray[np.float32]
    judged: NDArray[np.bool_]
    predicted: Sequence[frozenset[str] | None]

    @property
    def label(self) -> str:
        """How tables and figures call it."""
        return f"{self.name} · {self.halves}"

    @property
    def sets(self) -> list[frozenset[str]]:
        """The predicted sets, with nothing predicted where unknown."""
        return [frozenset() if found is None else found for found in self.predicted]


class MethodRow(Frozen):
    """One method's row: its scores, how often it is exactly right, and how it compares to the best.

    ``exact`` is the share of items whose predicted set is the true one, ``top`` the share whose
    likeliest class is a true one, thresholds aside; both with Wilson's interval. ``unknown`` counts
    items left without an answer, ``lacking`` those of them that the method had nothing to judge by.
    ``difference`` is None for the best method itself.
    """

    name: str
    halves: UsedHalves
    scores: Scores
    exact: float
    exact_interval: Interval
    top: float | None
    top_interval: Interval | None
    unknown: int
    lacking: int
    confidence: Confidence | None
    best: bool
    difference: Difference | None

    @property
    def label(self) -> str:
        """How tables and figures call it."""
        return f"{self.name} · {self.halves}"


class MethodTable(Frozen):
    """All methods on the same items; the best is the one of highest macro-F1, then least Hamming.

    As it was chosen on these very items, its lead is a little flattering; the differences' adjusted
    p-values are to be read with it.
    """

    items: int
    groups: int
    classes: tuple[str, ...]
    rows: tuple[MethodRow, ...]


def compare_methods(
    methods: Sequence[MethodPredictions],
    truth: Truth,
    classes: Sequence[str],
    *,
    groups: Sequence[Hashable] | None = None,
    calibrated: bool = True,
    resamples: int = 2000,
    seed: int = 0,
) -> MethodTable:
    """Score every method on the same items and compare each with the best.

    An item counts as right in McNemar's test if its predicted set is exactly the true one. Give
    ``calibrated`` as False where the probabilities are none (an account's shares).

    Raises:
        ValueError: no method, no item, or a method with another number of items.
    """
    if not methods:
        raise ValueError("A comparison needs at least one method.")
    scored = [
        score_sets(m.sets, truth, classes, groups=groups, resamples=resamples, seed=seed)
        for m in methods
    ]
    best = min(
        range(len(methods)),
        key=lambda i: (-(scored[i].macro.f1 or 0.0), scored[i].hamming, i),
    )
    right = [_find_right(m, truth, classes) for m in methods]
    others = [place for place in range(len(methods)) if place != best]
    differences = dict(
        zip(others, compare_pairs(right[best], [right[i] for i in others]), strict=True)
    )
    rows = tuple(
        _make_row(
            method,
            truth,
            classes,
            scores=scored[i],
            right=right[i],
            difference=differences.get(i),
            calibrated=calibrated,
        )
        for i, method in enumerate(methods)
    )
    return MethodTable(
        items=scored[0].items, groups=scored[0].groups, classes=tuple(classes), rows=rows
    )


def find_top_right(
    method: MethodPredictions, truth: Truth, classes: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return whose likeliest class is right ``(n,)``, and of whom that can be asked ``(n,)``.

    "None of them" is right by the reject class; without one, items of no category cannot be asked.
    """
    reject = method.probabilities.shape[1] > len(classes)
    true = [each & set(classes) for each in truth]
    tops = method.probabilities.argmax(axis=1).tolist()
    right = np.array(
        [
            (classes[top] in each) if top < len(classes) else not each
            for top, each in zip(tops, true, strict=True)
        ],
        np.bool_,
    )
    askable = np.array([bool(each) or reject for each in true], np.bool_)
    return right & method.judged, askable


def _find_right(
    method: MethodPredictions, truth: Truth, classes: Sequence[str]
) -> NDArray[np.bool_]:
    known = set(classes)
    return np.array(
        [
            found is not None and found & known == true & known
            for found, true in zip(method.predicted, truth, strict=True)
        ],
        np.bool_,
    )


def _make_row(
    method: MethodPredictions,
    truth: Truth,
    classes: Sequence[str],
    *,
    scores: Scores,
    right: NDArray[np.bool_],
    difference: Difference | None,
    calibrated: bool,
) -> MethodRow:
    top_right, askable = find_top_right(method, truth, classes)
    asked, hits = int(askable.sum()), int((top_right & askable).sum())
    usable = askable & method.judged & calibrated
    sure = method.probabilities.max(axis=1)[usable]
    return MethodRow(
        name=method.name,
        halves=method.halves,
        scores=scores,
        exact=float(right.mean()),
        exact_interval=wilson_interval(int(right.sum()), len(right)),
        top=hits / asked if asked else None,
        top_interval=wilson_interval(hits, asked) if asked else None,
        unknown=sum(found is None for found in method.predicted),
        lacking=int((~method.judged).sum()),
        confidence=measure_confidence(sure, top_right[usable]) if usable.any() else None,
        best=difference is None,
        difference=difference,
    )
