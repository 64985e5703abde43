"""What a backbone's own classifier knows: ImageNet's thousand classes, told as our categories.

A head that begins from there and learns only corrections keeps to what a thing is, where one that
begins from nothing learns what its source looks like.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from pipelines.fusion.network import HALVES, Floats, InputScale, fit_scale, softmax
from pipelines.fusion.reduce import Reducer
from schemas.bundles import Half
from schemas.errors import TrainingError

CLASSES = 1000
STRENGTH = 1e-3
"""Inverse strength of the ridge on corrections: weak data must not overrule a thousand classes."""

FLOOR = 1e-3
"""What a category has at least, before all are brought to a sum of 1: nothing is impossible."""

_ITERATIONS = 200


@dataclass(frozen=True)
class Concepts:
    """A classifier of ImageNet, ``weights (d, 1000)`` and ``bias (1000,)``, told as our classes.

    ``members (1000, k)`` are 1 where a class of ImageNet stands for one of ours; ``rest (k,)``
    shares out what stands for none.
    """

    weights: Floats
    bias: Floats
    members: Floats
    rest: Floats

    def predict(self, vectors: NDArray[np.floating]) -> Floats:
        """Return probabilities ``(n, k)`` of our classes for a backbone's vectors ``(n, d)``.

        A row of zeros, a missing photo, says nothing: all classes alike.
        """
        said = softmax(vectors @ self.weights + self.bias)
        known = said @ self.members
        left = np.maximum(1 - said @ self.members.any(axis=1), 0)
        shares = known + left[:, None] * self.rest + FLOOR
        shares[~vectors.any(axis=1)] = 1
        found: Floats = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
        return found


@dataclass(frozen=True)
class ConceptHead:
    """What concepts say, corrected by linear layers over the whole image vector and over the text.

    ``image_layer`` holds weights ``(d, k)`` and bias ``(k,)``, both for posts with photos;
    ``text_layer (d_text, k)`` reads scaled text, ``bias (k,)`` is for all.
    """

    concepts: Concepts
    text: InputScale
    image_layer: tuple[Floats, Floats]
    text_layer: Floats
    bias: Floats
    temperature: float
    halves: tuple[Half, ...]

    @property
    def image(self) -> InputScale:
        """Image vectors come as the backbone makes them."""
        return InputScale(np.zeros(len(self.concepts.weights), np.float32), 1.0)

    @property
    def classes(self) -> int:
        """Number of classes, the reject class included."""
        return len(self.bias)

    def score(self, image: NDArray[np.floating], text: NDArray[np.floating]) -> Floats:
        """Return logits ``(n, k)`` before the temperature; a missing half is a row of zeros."""
        weights, bias = self.image_layer
        pictured = image.any(axis=1, keepdims=True)
        logits: Floats = np.log(self.concepts.predict(image)) + self.bias
        logits += np.where(pictured, image @ weights + bias, np.float32(0))
        if "text" in self.halves:
            logits += self.text.apply(text) @ self.text_layer
        return logits

    def predict(self, image: NDArray[np.floating], text: NDArray[np.floating]) -> Floats:
        """Return class probabilities ``(n, k)`` for whole image vectors and text vectors."""
        return softmax(self.score(image, text) / np.float32(self.temperature))

    def to_tensors(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays under the names that ``from_tensors`` reads."""
        weights, bias = self.image_layer
        return {
            **vars(self.concepts),
            "text.mean": self.text.mean,
            "text.factor": np.array([self.text.factor], np.float32),
            "image_layer.weights": weights,
            "image_layer.bias": bias,
            "text_layer": self.text_layer,
            "layer.bias": self.bias,
            "temperature": np.array([self.temperature], np.float32),
            "halves": np.array([half in self.halves for half in HALVES], np.uint8),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[np.generic]]) -> "ConceptHead":
        """Build a head from what ``to_tensors`` returned."""
        floats = {name: np.asarray(tensor, np.float32) for name, tensor in tensors.items()}
        names = ("weights", "bias", "members", "rest")
        return cls(
            concepts=Concepts(**{name: floats[name] for name in names}),
            text=InputScale(floats["text.mean"], float(floats["text.factor"][0])),
            image_layer=(floats["image_layer.weights"], floats["image_layer.bias"]),
            text_layer=floats["text_layer"],
            bias=floats["layer.bias"],
            temperature=float(floats["temperature"][0]),
            halves=tuple(h for h, on in zip(HALVES, tensors["halves"], strict=True) if on),
        )


def train_concepts(
    concepts: Concepts,
    reducer: Reducer,
    whole: NDArray[np.floating],
    image: NDArray[np.floating],
    text: NDArray[np.floating],
    labels: NDArray[np.integer],
) -> ConceptHead:
    """Fit corrections on ``whole (n, d)`` vectors, reduced ``image (n, w)`` and ``text (n, t)``.

    Rows of zeros are missing halves. The correction is learnt on reduced vectors and worked back
    into the whole ones, which costs nothing more when posts are judged.
    """
    has_image, has_text = np.any(image != 0, axis=1), np.any(text != 0, axis=1)
    scales = fit_scale(image, has_image), fit_scale(text, has_text)
    x = np.concatenate([scales[0].apply(image), scales[1].apply(text)], axis=1)
    layer, bias = fit_correction(x, concepts.predict(whole), labels)
    own, words = layer[: image.shape[1]].astype(np.float64), layer[image.shape[1] :]
    factor = scales[0].factor
    weights = (reducer.components.T / reducer.scale[:, None]) @ own * factor
    shift = -(reducer.mean @ weights) - scales[0].mean @ own * factor
    halves: list[Half] = ["image", "text"] if has_text.any() else ["image"]
    return ConceptHead(
        concepts=concepts,
        text=scales[1],
        image_layer=(weights.astype(np.float32), shift.astype(np.float32)),
        text_layer=np.ascontiguousarray(words),
        bias=bias,
        temperature=1.0,
        halves=tuple(halves),
    )


def tell_concepts(weights: Floats, bias: Floats, classes: Sequence[str]) -> Concepts:
    """Join a classifier of ImageNet, ``(1000, d)`` and ``(1000,)``, with our classes.

    Categories that no class of ImageNet stands for, ``otra`` among them, share what is left alike.

    Raises:
        TrainingError: the classifier does not tell ImageNet's thousand classes apart.
    """
    if weights.shape[0] != CLASSES or bias.shape != (CLASSES,):
        raise TrainingError(
            f"The backbone's classifier tells {weights.shape[0]} classes apart, not ImageNet's "
            f"{CLASSES}: use another backbone, or train without its concepts."
        )
    table = read_table()
    members = np.zeros((CLASSES, len(classes)), np.float32)
    for place, name in enumerate(classes):
        members[list(table.get(name, ())), place] = 1
    others = ~members.any(axis=0)
    rest = (others / max(others.sum(), 1)).astype(np.float32)
    return Concepts(np.ascontiguousarray(weights.T, np.float32), bias, members, rest)


@cache
def read_table() -> Mapping[str, tuple[int, ...]]:
    """Return the places of ImageNet's 1,000 classes that stand for each category."""
    text = files("pipelines.fusion").joinpath("concepts.tsv").read_text("utf-8")
    found: dict[str, tuple[int, ...]] = {}
    for line in text.splitlines():
        name, _tab, spans = line.partition("\t")
        places: list[int] = []
        for span in spans.split():
            first, _dash, last = span.partition("-")
            places += range(int(first), int(last or first) + 1)
        found[name] = tuple(places)
    return found


def fit_correction(
    inputs: NDArray[np.floating],
    prior: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    strength: float = STRENGTH,
) -> tuple[Floats, Floats]:
    """Fit a linear layer on ``(n, d)`` whose logits are added to the logarithm of ``prior (n, k)``.

    Multinomial logistic regression with an offset and a ridge: with little data it says what the
    prior says. Returns weights ``(d, k)`` and bias ``(k,)``.
    """
    from scipy.optimize import minimize

    x = np.column_stack([inputs, np.ones(len(inputs))]).astype(np.float64)
    offset = np.log(prior.astype(np.float64))
    truth = np.eye(prior.shape[1])[labels]
    ridge = np.ones((x.shape[1], 1)) / strength
    ridge[-1] = 0

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        layer = flat.reshape(x.shape[1], -1)
        logits = offset + x @ layer
        logits -= logits.max(axis=1, keepdims=True)
        powers = np.exp(logits)
        sums = powers.sum(axis=1, keepdims=True)
        value = float((np.log(sums) - (logits * truth).sum(axis=1, keepdims=True)).sum())
        slope = x.T @ (powers / sums - truth) + ridge * layer
        return value + float((ridge * layer**2).sum()) / 2, slope.ravel()

    start = np.zeros(x.shape[1] * prior.shape[1])
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS}
    ).x.reshape(x.shape[1], -1)
    return found[:-1].astype(np.float32), found[-1].astype(np.float32)
