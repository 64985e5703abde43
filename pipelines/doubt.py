"""Confident learning: which labels a model that was not told them does not believe."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

FOLDS = 5
COST = 0.1
"""Inverse strength of the ridge: strong, for a model that can learn wrong labels by heart finds
none."""


@dataclass(frozen=True)
class Doubtful:
    """Samples whose label is doubted: their rows, most doubtful first, and likelier classes."""

    rows: Ints
    suggested: Ints


def find_doubtful(labels: Ints, probabilities: Floats) -> Doubtful:
    """Find labels ``(n,)`` that out-of-sample ``probabilities (n, k)`` contradict.

    A class's threshold is the mean probability of those labelled so: how sure the model usually is
    of it. A sample counts to the likeliest class among those whose threshold it reaches; where
    that is not its label, nor its label the likeliest class of all, the label is doubted. Sorted
    by how much less likely the label is. (Northcutt, Jiang & Chuang 2021, "Confident Learning:
    Estimating Uncertainty in Dataset Labels", the off-diagonal of the confident joint.)
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, weights=own, minlength=classes)
    # Nothing is taken for a class that nobody has labelled.
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    # Rounding must not keep a sample below the mean of samples all like it.
    confident = np.where(probabilities >= thresholds - 1e-6, probabilities, -1.0)
    suggested = confident.argmax(axis=1)
    likeliest = probabilities.argmax(axis=1)
    sure = confident.max(axis=1) >= 0
    rows = np.flatnonzero(sure & (suggested != labels) & (likeliest != labels))
    margins = own[rows] - probabilities[rows, suggested[rows]]
    rows = rows[np.argsort(margins, kind="stable")]
    return Doubtful(rows.astype(np.int64), suggested[rows].astype(np.int64))


def ask_without(
    x: Floats, labels: Ints, groups: Ints, *, classes: int, seed: int
) -> NDArray[np.float64]:
    """Return probabilities ``(n, k)`` of samples ``x (n, d)``, each by a model not told of it.

    Logistic regressions on all folds but one; what shares one of the ``groups (n,)`` is in one
    fold, so that no copy of a sample gives its label away.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold

    folds = min(FOLDS, len(np.unique(groups)))
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    said = np.zeros((len(labels), classes))
    with warnings.catch_warnings():
        # That a class has fewer samples than there are folds is no reason to stop.
        warnings.simplefilter("ignore", UserWarning)
        parts = list(split.split(x, labels, groups))
    for fit, asked in parts:
        known = np.unique(labels[fit])
        if len(known) < 2:  # noqa: PLR2004 - a choice needs two
            said[np.ix_(asked, known)] = 1.0
            continue
        model = LogisticRegression(C=COST, max_iter=300).fit(x[fit], labels[fit])
        said[np.ix_(asked, model.classes_)] = model.predict_proba(x[asked])
    return said
