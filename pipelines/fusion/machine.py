"""A calibrated support vector machine that predicts with numpy alone, as scikit-learn's would."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.fusion.skops_file import Part

Exact = NDArray[np.float64]

REVIEWED = frozenset(
    {
        "sklearn.calibration.CalibratedClassifierCV",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.frozen._frozen.FrozenEstimator",
        "sklearn.kernel_approximation.Nystroem",
        "sklearn.linear_model._sgd_fast.Hinge",
        "sklearn.linear_model._stochastic_gradient.SGDClassifier",
        "sklearn.pipeline.Pipeline",
        "sklearn.svm._classes.SVC",
    }
)
"""What our own machines are made of; only attributes of these are ever read."""

_KERNEL_VALUES = 2**23
"""Values of a kernel in memory at once: 64 MB."""


@dataclass(frozen=True)
class Machine:
    """Margins of ``k`` classes, turned into probabilities by a sigmoid each (Platt 1999).

    ``decide`` gives margins ``(n, k)``, ``(n, 1)`` of two classes, for inputs ``(n, d)``.
    ``slopes (m,)`` and ``offsets (m,)`` are those of the sigmoids.
    """

    classes: int
    width: int
    decide: Callable[[Exact], Exact]
    slopes: Exact
    offsets: Exact

    def predict(self, x: NDArray[np.floating]) -> Exact:
        """Return class probabilities ``(n, k)`` of inputs ``(n, d)``."""
        # Through tanh, which never overflows.
        scores = -(self.slopes * self.decide(x.astype(np.float64)) + self.offsets)
        each: Exact = 0.5 * (1 + np.tanh(0.5 * scores))
        if self.classes == 2:  # noqa: PLR2004 - one margin says it of both
            return np.hstack([1 - each, each])
        total = each.sum(axis=1, keepdims=True)
        flat = np.full_like(each, 1 / self.classes)
        np.divide(each, total, out=flat, where=total != 0)
        return flat


def read_machine(model: Part) -> Machine:
    """Return the machine that a ``CalibratedClassifierCV`` as written by us stands for.

    Raises:
        KeyError, TypeError, ValueError: it is another kind of machine.
    """
    (calibrated,) = model.fields["calibrated_classifiers_"]
    if calibrated.fields["method"] != "sigmoid":
        raise ValueError("calibrated by something else than sigmoids")
    sigmoids = [one.fields for one in calibrated.fields["calibrators"]]
    classes = calibrated.fields["classes"]
    if classes.tolist() != list(range(len(classes))):
        raise ValueError("classes that are not numbered from 0")
    estimator = calibrated.fields["estimator"]
    while estimator.type.endswith(".FrozenEstimator"):
        estimator = estimator.fields["estimator"]
    width, decide = _read_estimator(estimator)
    return Machine(
        classes=len(classes),
        width=width,
        decide=decide,
        slopes=np.array([float(one["a_"]) for one in sigmoids]),
        offsets=np.array([float(one["b_"]) for one in sigmoids]),
    )


def _read_estimator(estimator: Part) -> tuple[int, Callable[[Exact], Exact]]:
    if estimator.type.endswith(".SVC"):
        return _read_exact(estimator.fields)
    (_name, kernel), (_other, linear) = estimator.fields["steps"]
    return _read_approximate(kernel.fields, linear.fields)


def _read_exact(fields: dict[str, Any]) -> tuple[int, Callable[[Exact], Exact]]:
    """Return the width and margins of an SVC with an RBF kernel, one class against one."""
    if fields["kernel"] != "rbf" or fields["decision_function_shape"] != "ovr":
        raise ValueError("another kernel than RBF")
    vectors = np.asarray(fields["support_vectors_"], np.float64)
    gamma, offsets = float(fields["_gamma"]), np.asarray(fields["intercept_"], np.float64)
    counts, duals = fields["_n_support"], np.asarray(fields["dual_coef_"], np.float64)
    weights = _weigh_pairs(counts, duals)

    def decide(x: Exact) -> Exact:
        pairs = np.empty((len(x), len(offsets)))
        for rows, kernel in _kernels(x, vectors, gamma):
            pairs[rows] = kernel @ weights + offsets
        return pairs if len(counts) == 2 else _vote(pairs, len(counts))  # noqa: PLR2004 - two

    return vectors.shape[1], decide


def _weigh_pairs(counts: NDArray[np.integer], duals: Exact) -> Exact:
    """Return how each support vector weighs in each pair of classes, ``(m, pairs)``.

    libsvm keeps of a vector of class i one weight for each other class, j in row j-1 if j > i.
    """
    if len(counts) == 2:  # noqa: PLR2004 - one pair
        return duals.T
    ends = np.cumsum(counts)
    own = [slice(end - count, end) for count, end in zip(counts, ends, strict=True)]
    pairs = list(combinations(range(len(counts)), 2))
    weights = np.zeros((duals.shape[1], len(pairs)))
    for column, (first, second) in enumerate(pairs):
        weights[own[first], column] = duals[second - 1, own[first]]
        weights[own[second], column] = duals[first, own[second]]
    return weights


def _vote(pairs: Exact, classes: int) -> Exact:
    """Turn margins of pairs into those of classes: votes, ties broken by sums of margins."""
    votes, sums = np.zeros((len(pairs), classes)), np.zeros((len(pairs), classes))
    for column, (first, second) in enumerate(combinations(range(classes), 2)):
        margin = pairs[:, column]
        sums[:, first] += margin
        sums[:, second] -= margin
        votes[:, first] += margin >= 0
        votes[:, second] += margin < 0
    found: Exact = votes + sums / (3 * (np.abs(sums) + 1))
    return found


def _read_approximate(
    kernel: dict[str, Any], linear: dict[str, Any]
) -> tuple[int, Callable[[Exact], Exact]]:
    """Return the width and margins of a linear machine on Nyström's map of an RBF kernel."""
    if kernel["kernel"] != "rbf":
        raise ValueError("another kernel than RBF")
    vectors = np.asarray(kernel["components_"], np.float64)
    weights = np.asarray(kernel["normalization_"], np.float64).T @ np.asarray(linear["coef_"]).T
    offsets, gamma = np.asarray(linear["intercept_"], np.float64), float(kernel["gamma"])

    def decide(x: Exact) -> Exact:
        margins = np.empty((len(x), weights.shape[1]))
        for rows, values in _kernels(x, vectors, gamma):
            margins[rows] = values @ weights + offsets
        return margins

    return vectors.shape[1], decide


def _kernels(x: Exact, vectors: Exact, gamma: float) -> Any:
    """Give exp(-gamma |x - v|^2) of every row and vector, a few rows at a time."""
    lengths = np.einsum("ij,ij->i", vectors, vectors)
    size = max(_KERNEL_VALUES // max(len(vectors), 1), 1)
    for start in range(0, len(x), size):
        part = x[start : start + size]
        squares = np.einsum("ij,ij->i", part, part)[:, None] + lengths - 2 * part @ vectors.T
        yield slice(start, start + size), np.exp(-gamma * np.maximum(squares, 0))
