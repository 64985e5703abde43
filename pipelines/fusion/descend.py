"""Stochastic gradient descent of the small network, in numpy: its gradients are written out.

Four fifths of what torch takes for a step of 64 samples is torch itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.fusion.network import Floats, softmax

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Descent:
    """The settings of a descent; ``smoothing`` is of labels, ``noise`` of inputs of spread 1."""

    rate: float
    momentum: float
    weight_decay: float
    dropout: float
    noise: float
    half_dropout: float
    smoothing: float
    batch: int
    min_draws: int


def descend_epoch(
    parameters: Sequence[Floats],
    momentum: Sequence[Floats],
    x: Floats,
    labels: Ints,
    both: Bools,
    *,
    image_width: int,
    progress: tuple[float, float],
    settings: Descent,
    chance: np.random.Generator,
) -> tuple[list[Floats], list[Floats], float, float]:
    """Take every step of an epoch over inputs ``x (n, d)`` and ``labels (n,)``.

    ``parameters`` are weights and bias of each layer in turn; ``both (n,)`` says which samples have
    two halves, of which one may be taken. The rate falls as a cosine over the share of the training
    from ``progress[0]`` to ``progress[1]``. Returns parameters and momentum as they are afterwards,
    mean loss, and the share of samples that were told rightly.
    """
    weights, speed = list(parameters), list(momentum)
    rows = draw_rows(labels, weights[-1].shape[0], settings.min_draws, chance)
    batches = np.split(rows, range(settings.batch, len(rows), settings.batch))
    begin, end = progress
    total, right = 0.0, 0
    for number, own in enumerate(batches):
        share = begin + (end - begin) * number / len(batches)
        rate = np.float32(settings.rate * (1 + math.cos(math.pi * share)) / 2)
        inputs = disturb(x[own], both[own], image_width, settings, chance)
        masks = _draw_masks(weights, len(own), settings.dropout, chance)
        loss, hits, slopes = find_slopes(weights, inputs, labels[own], masks, settings.smoothing)
        for place, slope in enumerate(slopes):
            decay = np.float32(settings.weight_decay) * weights[place]
            speed[place] = np.float32(settings.momentum) * speed[place] + slope + decay
            weights[place] = weights[place] - rate * speed[place]
        total += loss * len(own)
        right += hits
    return weights, speed, total / len(rows), right / len(rows)


def draw_rows(
    labels: Ints, classes: int, least: int, chance: np.random.Generator
) -> NDArray[np.int64]:
    """Draw an epoch's rows with replacement, every class equally often."""
    odds = 1 / np.bincount(labels, minlength=classes)[labels]
    draws = max(len(labels), least)
    return chance.choice(len(labels), draws, p=odds / odds.sum()).astype(np.int64)


def disturb(
    x: Floats, both: Bools, image_width: int, settings: Descent, chance: np.random.Generator
) -> Floats:
    """Add noise where something is, and take one half from some samples that have two."""
    noise = chance.standard_normal(x.shape, np.float32)
    noise *= np.float32(settings.noise)
    # A missing half is all zeros and has to look the same when the network is used.
    noise *= x != 0
    noise += x
    dice = chance.random(len(x))
    noise[both & (dice < settings.half_dropout / 2), :image_width] = 0
    noise[both & (dice >= 1 - settings.half_dropout / 2), image_width:] = 0
    return noise


def find_slopes(
    weights: Sequence[Floats],
    x: Floats,
    labels: Ints,
    masks: Sequence[Floats],
    smoothing: float,
) -> tuple[float, int, list[Floats]]:
    """Return the mean cross-entropy of a batch, how many were right, and its gradient.

    ``masks`` are what each hidden layer's outputs ``(b, units)`` are multiplied by.
    """
    reached = [x]
    for number, mask in enumerate(masks):
        # Where a unit is 0, its slope is too, whatever its mask.
        units = np.maximum(reached[-1] @ weights[2 * number] + weights[2 * number + 1], 0)
        reached.append(units * mask)
    logits = reached[-1] @ weights[-2] + weights[-1]
    said = softmax(logits)
    classes = logits.shape[1]
    truth = np.full(logits.shape, smoothing / classes, np.float32)
    truth[np.arange(len(labels)), labels] += np.float32(1 - smoothing)
    low = logits - logits.max(axis=1, keepdims=True)
    # Not the logarithm of what softmax rounded to nothing.
    told = low - np.log(np.exp(low).sum(axis=1, keepdims=True))
    loss = -float(np.mean(np.sum(truth * told, axis=1)))
    hits = int((logits.argmax(axis=1) == labels).sum())
    back = (said - truth) / np.float32(len(labels))
    slopes: list[Floats] = []
    for number in range(len(masks), -1, -1):
        slopes += [back.sum(axis=0), reached[number].T @ back]
        if number:
            back = (back @ weights[2 * number].T) * masks[number - 1] * (reached[number] > 0)
    return loss, hits, slopes[::-1]


def _draw_masks(
    weights: Sequence[Floats], count: int, dropout: float, chance: np.random.Generator
) -> list[Floats]:
    """Draw which hidden units are left out; the others speak louder by as much."""
    units = [len(bias) for bias in weights[1:-2:2]]
    kept = np.float32(1 / (1 - dropout))
    return [(chance.random((count, n), np.float32) >= dropout) * kept for n in units]
