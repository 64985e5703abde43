"""What a held-out part tells: how good a network is, and how certain it may be."""

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
