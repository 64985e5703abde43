"""Weighted fusion: one number says how far the image is believed against the text."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.fusion.calibrate import balanced_loss, class_weights

Probabilities = NDArray[np.floating]

STEPS = 100
"""The thesis sweeps the weight from 0 to 1 by 0.01."""


@dataclass(frozen=True)
class WeightSweep:
    """Share of right posts ``(101,)`` at each image weight ``(101,)``, and the weight to use."""

    weights: NDArray[np.float64]
    precision: NDArray[np.float64]
    best: float


def fuse(image: Probabilities, text: Probabilities, weight: float) -> NDArray[np.float64]:
    """Return p(c) = weight · I(c) + (1 - weight) · T(c) for ``(n, k)`` each (thesis, row 14).

    ``weight`` is the image's, 0 to 1. A row of zeros is a half that is missing: then the other
    half stands alone.
    """
    seen = image.any(axis=1, keepdims=True)
    read = text.any(axis=1, keepdims=True)
    share = np.where(seen & read, weight, seen.astype(np.float64))
    fused: NDArray[np.float64] = share * image + (1 - share) * text
    return fused


def sweep_weight(
    image: Probabilities, text: Probabilities, labels: NDArray[np.integer]
) -> WeightSweep:
    """Try every weight on labelled posts and return how many are right at each.

    Every class weighs alike. Where several weights are equally good the likeliest labels decide,
    for few posts leave long plateaus. Only posts with both halves should be given: the others say
    nothing of the weight.

    Raises:
        ValueError: there is no post, or the shapes differ.
    """
    if image.shape != text.shape or len(image) != len(labels) or not len(labels):
        raise ValueError("A weight is swept on as many image as text rows as labels, one at least.")
    classes = image.shape[1]
    importance = class_weights(labels.astype(np.int64), classes)
    weights = np.arange(STEPS + 1) / STEPS
    precision, losses = np.zeros(STEPS + 1), np.zeros(STEPS + 1)
    for step, weight in enumerate(weights):
        fused = fuse(image, text, float(weight))
        precision[step] = (fused.argmax(axis=1) == labels) @ importance
        # The softmax of logarithms gives the probabilities back.
        logits = np.log(np.maximum(fused, 1e-12))
        losses[step] = balanced_loss(logits, labels.astype(np.int64), classes)
    best = precision >= precision.max() - 1e-12
    return WeightSweep(weights, precision, float(weights[np.where(best, losses, np.inf).argmin()]))
