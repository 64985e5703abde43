"""The network that judges a post from its two halves, image and text; inference is numpy only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from schemas.bundles import Half

Floats = NDArray[np.float32]

HALVES: tuple[Half, Half] = ("image", "text")

Output = Literal["softmax", "sigmoid"]
"""Whether a post is one of the classes, or each of them by itself."""


@dataclass(frozen=True)
class InputScale:
    """How one half is brought to mean 0 and mean square 1: its mean ``(d,)`` and one factor."""

    mean: Floats
    factor: float

    @property
    def width(self) -> int:
        """Length of the half's vector."""
        return len(self.mean)

    def apply(self, vectors: NDArray[np.floating]) -> Floats:
        """Scale ``(n, d)``; a row of zeros is a missing half and stays zeros."""
        present = (vectors != 0).any(axis=1, keepdims=True)
        scaled = (vectors.astype(np.float32, copy=False) - self.mean) * np.float32(self.factor)
        return np.where(present, scaled, np.float32(0))


@dataclass(frozen=True)
class Network:
    """A multi-layer perceptron over image half ⧺ text half, with ReLU between its layers.

    ``layers`` hold weights ``(inputs, outputs)`` and biases ``(outputs,)``; ``halves`` are those
    it has learnt from.
    """

    image: InputScale
    text: InputScale
    layers: tuple[tuple[Floats, Floats], ...]
    halves: tuple[Half, ...]
    output: Output = "softmax"

    @property
    def classes(self) -> int:
        """Number of classes, the reject class included."""
        return len(self.layers[-1][1])

    def predict(self, image: NDArray[np.floating], text: NDArray[np.floating]) -> Floats:
        """Return class probabilities ``(n, k) float32`` for ``(n, d_image)`` and ``(n, d_text)``.

        A missing half is a row of zeros. A half that the network has not learnt from is ignored.
        """
        x = np.concatenate(
            [
                scale.apply(vectors if half in self.halves else np.zeros_like(vectors))
                for half, scale, vectors in zip(
                    HALVES, (self.image, self.text), (image, text), strict=True
                )
            ],
            axis=1,
        )
        logits = run_layers(self.layers, x)
        return softmax(logits) if self.output == "softmax" else sigmoid(logits)

    def to_tensors(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays under the names that ``from_tensors`` reads."""
        tensors: dict[str, NDArray[np.generic]] = {
            "halves": np.array([half in self.halves for half in HALVES], np.uint8)
        }
        if self.output == "sigmoid":
            tensors["sigmoid"] = np.array([1], np.uint8)
        for half, scale in zip(HALVES, (self.image, self.text), strict=True):
            tensors[f"{half}.mean"] = scale.mean
            tensors[f"{half}.factor"] = np.array([scale.factor], np.float32)
        for number, (weights, bias) in enumerate(self.layers):
            tensors[f"layers.{number}.weights"] = np.ascontiguousarray(weights)
            tensors[f"layers.{number}.bias"] = bias
        return tensors

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[np.generic]]) -> "Network":
        """Build a network from what ``to_tensors`` returned."""
        floats = {name: np.asarray(tensor, np.float32) for name, tensor in tensors.items()}
        image, text = (
            InputScale(floats[f"{half}.mean"], float(floats[f"{half}.factor"][0]))
            for half in HALVES
        )
        depth = sum(name.endswith(".bias") for name in floats)
        layers = tuple(
            (floats[f"layers.{n}.weights"], floats[f"layers.{n}.bias"]) for n in range(depth)
        )
        learnt = tuple(h for h, on in zip(HALVES, tensors["halves"], strict=True) if on)
        output: Output = "sigmoid" if "sigmoid" in tensors else "softmax"
        return cls(image, text, layers, learnt, output)


def fit_scale(vectors: NDArray[np.floating], present: NDArray[np.bool_]) -> InputScale:
    """Fit the scale of one half on the rows ``(n, d)`` where it is present ``(n,)``."""
    if not present.any():
        return InputScale(np.zeros(vectors.shape[1], np.float32), 1.0)
    mean = vectors[present].mean(axis=0, dtype=np.float64)
    level = float(np.sqrt(np.mean((vectors[present] - mean) ** 2)))
    # Stored as float32, so it must be float32 already while training.
    factor = float(np.float32(1 / level)) if level > 1e-9 else 1.0  # noqa: PLR2004 - only rounding
    return InputScale(mean.astype(np.float32), factor)


def run_layers(layers: Sequence[tuple[Floats, Floats]], x: Floats) -> Floats:
    """Return the logits ``(n, k)`` of scaled inputs ``(n, d_image + d_text)``."""
    for weights, bias in layers[:-1]:
        x = np.maximum(x @ weights + bias, 0)
    weights, bias = layers[-1]
    logits: Floats = x @ weights + bias
    return logits


def softmax(logits: NDArray[np.floating]) -> Floats:
    """Turn logits ``(n, k)`` into probabilities ``(n, k) float32`` that sum to 1 a row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Floats = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities


def sigmoid(logits: NDArray[np.floating]) -> Floats:
    """Turn logits ``(n, k)`` into probabilities ``(n, k) float32``, each class by itself."""
    # Through tanh, which never overflows.
    probabilities: Floats = (0.5 * (1 + np.tanh(0.5 * logits))).astype(np.float32)
    return probabilities
