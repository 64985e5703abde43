"""What a held-out part tells: how good a network is, and how certain it may be."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.fusion.network import softmax

Ints = NDArray[np.int64]


def split_validation(labels: Ints, share: float, seed: int) -> tuple[Ints, Ints]:
    """Return the rows to fit on and the rows to hold out, a like share of every class.

    A class of five or more gives at least one row; a smaller one gives none.
    """
    rng = np.random.default_rng(seed)
    held = np.zeros(len(labels), np.bool_)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = max(round(share * len(rows)), 1) if len(rows) >= 5 and share else 0  # noqa: PLR2004 - as documented
        held[rng.permutation(rows)[:count]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def fit_temperature(logits: NDArray[np.floating], labels: Ints, classes: int) -> float:
    """Return the divisor of logits ``(n, k)``, 0.2 to 5, that makes the labels likeliest."""
    grid = np.geomspace(0.2, 5, 161)
    losses = [balanced_loss(logits / temperature, labels, classes) for temperature in grid]
    return float(grid[int(np.argmin(losses))])


def balanced_loss(logits: NDArray[np.floating], labels: Ints, classes: int) -> float:
    """Return the mean over classes of the mean negative log-likelihood of ``(n, k)`` logits."""
    likelihood = softmax(logits.astype(np.float64))[np.arange(len(labels)), labels]
    losses = -np.log(np.maximum(likelihood, 1e-12))
    weights = class_weights(labels, classes)
    return float(losses @ weights)


def class_weights(labels: Ints, classes: int) -> NDArray[np.float64]:
    """Return weights ``(n,)`` that sum to 1, with every class present weighing alike."""
    counts = np.bincount(labels, minlength=classes)
    weights: NDArray[np.float64] = 1 / counts[labels] / np.count_nonzero(counts)
    return weights


def expected_calibration_error(
    probabilities: NDArray[np.floating], labels: Ints, bins: int = 15
) -> float:
    """Return how far certainty and precision lie apart, 0 to 1, for ``(n, k)`` probabilities.

    Samples are put into bins of equal width by their top probability; the gaps between mean
    certainty and share of right ones are averaged by size (Guo et al. 2017, section 2).
    """
    top = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    places = np.minimum((top * bins).astype(np.int64), bins - 1)
    counts = np.bincount(places, minlength=bins)
    certain = np.bincount(places, weights=top, minlength=bins)
    correct = np.bincount(places, weights=right, minlength=bins)
    return float(np.abs(certain - correct).sum() / max(counts.sum(), 1))


def several_calibration_error(
    probabilities: NDArray[np.floating], truth: NDArray[np.bool_], bins: int = 15
) -> float:
    """Return the same where each of ``(n, k)`` stands by itself: the mean over the k yes or no."""
    errors = [
        expected_calibration_error(np.column_stack([1 - said, said]), own.astype(np.int64), bins)
        for said, own in zip(probabilities.T, truth.T, strict=True)
    ]
    return float(np.mean(errors))


@dataclass(frozen=True)
class IsotonicMap:
    """A rising line a class from what a method says to how often it was so.

    ``points`` hold a class's ``x (m,)`` and ``y (m,)``, with linear steps between them.
    """

    points: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]

    def apply(
        self, probabilities: NDArray[np.floating], *, together: bool = True
    ) -> NDArray[np.float64]:
        """Calibrate ``(n, k)``; rows of zeros stay so.

        Classes that are judged ``together`` are brought back to a sum of 1 a row.
        """
        mapped = np.stack(
            [np.interp(probabilities[:, c], x, y) for c, (x, y) in enumerate(self.points)], axis=1
        )
        present = probabilities.any(axis=1, keepdims=True)
        if not together:
            return np.where(present, mapped, 0.0)
        sums = mapped.sum(axis=1, keepdims=True)
        # Where every class maps to nothing there is no order left: keep what was said.
        usable = np.where(sums > 0, mapped / np.where(sums > 0, sums, 1), probabilities)
        return np.where(present, usable, 0.0)

    def to_tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return the arrays under the names that ``from_tensors`` reads."""
        named = {f"{c}.x": x for c, (x, _y) in enumerate(self.points)}
        return named | {f"{c}.y": y for c, (_x, y) in enumerate(self.points)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[np.float32]]) -> "IsotonicMap":
        """Build a map from what ``to_tensors`` returned."""
        return cls(tuple((tensors[f"{c}.x"], tensors[f"{c}.y"]) for c in range(len(tensors) // 2)))


def fit_isotonic(probabilities: NDArray[np.floating], labels: Ints) -> IsotonicMap:
    """Fit one isotonic regression a class on ``(n, k)`` probabilities of labelled samples.

    Zadrozny & Elkan 2002, "Transforming classifier scores into accurate multiclass probability
    estimates". It needs more samples than a temperature: hundreds a class.
    """
    from sklearn.isotonic import IsotonicRegression

    points = []
    for place in range(probabilities.shape[1]):
        fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(
            probabilities[:, place], labels == place
        )
        points.append(
            (fitted.X_thresholds_.astype(np.float32), fitted.y_thresholds_.astype(np.float32))
        )
    return IsotonicMap(tuple(points))
