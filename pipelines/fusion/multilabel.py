"""The head that may say several things of one post: a yes or no for each category."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.fusion.network import InputScale, Network, fit_scale
from schemas.bundles import Half
from schemas.errors import TrainingError

STRENGTH = 0.01
"""Inverse strength of the ridge on unit-spread inputs: little data, and halves that repeat."""

_ITERATIONS = 500


def train_multilabel(
    image: NDArray[np.floating],
    text: NDArray[np.floating],
    has_image: NDArray[np.bool_],
    has_text: NDArray[np.bool_],
    targets: NDArray[np.bool_],
    *,
    on_class: Callable[[int, int], None] | None = None,
) -> Network:
    """Fit one logistic regression a category on ``(n, d)`` halves and yes or no ``(n, k)``.

    Sigmoids need not sum to one, so a photo can be sport and outdoors, or nothing at all, and
    logistic loss gives probabilities that are calibrated where the data resemble the training's.

    Raises:
        TrainingError: a category is always or never true.
    """
    from sklearn.linear_model import LogisticRegression

    scales = (fit_scale(image, has_image), fit_scale(text, has_text))
    x = _scale_halves(scales, (image, text), (has_image, has_text))
    weights, biases = [], []
    for place in range(targets.shape[1]):
        own = targets[:, place]
        if own.all() or not own.any():
            raise TrainingError(
                f"Class {place} is {'always' if own.all() else 'never'} there: a yes or no is "
                "learnt from examples of both."
            )
        fitted = LogisticRegression(C=STRENGTH, max_iter=_ITERATIONS).fit(x, own)
        weights.append(fitted.coef_[0])
        biases.append(fitted.intercept_[0])
        if on_class is not None:
            on_class(place + 1, targets.shape[1])
    layer = (
        np.ascontiguousarray(np.stack(weights, axis=1), np.float32),
        np.array(biases, np.float32),
    )
    learnt: list[Half] = ["image"] if has_image.any() else []
    learnt += ["text"] if has_text.any() else []
    return Network(*scales, (layer,), tuple(learnt), output="sigmoid")


def gather_targets(
    names: Sequence[str], labels: NDArray[np.integer], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Bring samples that are the same thing together: which rows to keep, and all they are.

    ``names`` identify things; one that was labelled with two categories is two samples. Returns
    the first row of each thing ``(m,)`` and its yes or no ``(m, classes)``.
    """
    firsts: dict[str, int] = {}
    targets: list[NDArray[np.bool_]] = []
    rows: list[int] = []
    for row, (name, label) in enumerate(zip(names, labels.tolist(), strict=True)):
        place = firsts.setdefault(name, len(rows))
        if place == len(rows):
            rows.append(row)
            targets.append(np.zeros(classes, np.bool_))
        targets[place][label] = True
    return np.array(rows, np.int64), np.array(targets, np.bool_).reshape(-1, classes)


def _scale_halves(
    scales: tuple[InputScale, InputScale],
    halves: tuple[NDArray[np.floating], NDArray[np.floating]],
    present: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> NDArray[np.float32]:
    return np.concatenate(
        [
            scale.apply(np.where(has[:, None], half, 0))
            for scale, half, has in zip(scales, halves, present, strict=True)
        ],
        axis=1,
    )
