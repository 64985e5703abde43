"""The methods of a bundle: what each makes of the same posts, from its classifiers' words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.fusion.calibrate import IsotonicMap
from pipelines.fusion.network import Floats, InputScale
from pipelines.fusion.weighted import fuse
from schemas.bundles import Half, MethodRecipe
from schemas.verdicts import Halves, PostOutcome

_DIGITS = 6


class Head(Protocol):
    """A trained classifier: a network or a support vector machine."""

    @property
    def image(self) -> InputScale:
        """How image vectors are scaled, and how wide they are."""

    @property
    def text(self) -> InputScale:
        """How text vectors are scaled, and how wide they are."""

    @property
    def halves(self) -> tuple[Half, ...]:
        """What it has learnt from; the other half is ignored."""

    @property
    def classes(self) -> int:
        """Number of classes, the reject class included."""

    def predict(self, image: NDArray[np.floating], text: NDArray[np.floating]) -> Floats:
        """Return class probabilities ``(n, k)``; a missing half is a row of zeros."""


@dataclass(frozen=True)
class PostInputs:
    """What classifiers read of posts: reduced image vectors and those of both text models.

    A row of zeros is a missing half. ``image`` and ``supervised`` may be None: nobody has it.
    ``whole`` are the image vectors before they were reduced, where a classifier reads those.
    """

    post_ids: Sequence[int]
    image: Floats | None
    text: Floats
    supervised: Floats | None = None
    whole: Floats | None = None


@dataclass(frozen=True)
class Opinion:
    """One classifier's probabilities ``(n, k)``, zeros where it had neither half of a post.

    ``has_image`` and ``has_text`` ``(n,)`` say what it had.
    """

    probabilities: NDArray[np.float64]
    has_image: NDArray[np.bool_]
    has_text: NDArray[np.bool_]


def ask_head(
    head: Head,
    inputs: PostInputs,
    *,
    supervised: bool = False,
    whole: bool = False,
    columns: Sequence[int] | None = None,
    classes: int | None = None,
) -> Opinion:
    """Return what one classifier says of posts by the halves it has learnt from.

    One that tells only some of the ``classes`` apart names their places in ``columns``.
    """
    count = len(inputs.post_ids)
    pictures = inputs.whole if whole else inputs.image
    image = _take("image", head, pictures, head.image.width, count)
    words = inputs.supervised if supervised else inputs.text
    text = _take("text", head, words, head.text.width, count)
    has_image, has_text = np.any(image != 0, axis=1), np.any(text != 0, axis=1)
    judged = has_image | has_text
    places = np.arange(head.classes) if columns is None else np.array(columns, np.int64)
    probabilities = np.zeros((count, classes or len(places)))
    if judged.any():
        rows = np.flatnonzero(judged)
        probabilities[rows[:, None], places] = head.predict(image[judged], text[judged])
    return Opinion(probabilities, has_image, has_text)


def combine(recipe: MethodRecipe, opinions: Mapping[str, Opinion]) -> Opinion:
    """Return what a method says, given what each of its heads does, by name.

    Heads that have to agree are averaged; whether they agree is for ``decide`` to see.
    """
    parts = [opinions[name] for name in recipe.heads]
    if recipe.kind == "weighted":
        image, text = (part.probabilities for part in parts)
        said = fuse(image, text, recipe.image_weight or 0.0)
    else:
        judging = np.stack([part.probabilities.any(axis=1) for part in parts])
        total = np.sum([part.probabilities for part in parts], axis=0)
        said = total / np.maximum(judging.sum(axis=0), 1)[:, None]
    if recipe.isotonic:
        said = _read_lines(recipe).apply(said, together=not recipe.several)
    has_image, has_text = parts[0].has_image, parts[0].has_text
    for part in parts[1:]:
        has_image, has_text = has_image | part.has_image, has_text | part.has_text
    return Opinion(said, has_image, has_text)


def decide(
    recipe: MethodRecipe,
    opinions: Mapping[str, Opinion],
    post_ids: Sequence[int],
    classes: Sequence[str],
) -> list[PostOutcome]:
    """Return one outcome a post, in order, by one method.

    A post with neither half has no probabilities. Else it has the likeliest class that reaches the
    method's threshold, the reject class and classes that the method abstains from aside; heads that
    must agree must all have that class first.
    """
    found = combine(recipe, opinions)
    # Rounded before anything is decided, so that what is stored explains the decision.
    rows = np.round(found.probabilities, _DIGITS)
    agreed = _find_agreed(recipe, opinions) if recipe.kind == "agree" else None
    outcomes = []
    for place, post_id in enumerate(post_ids):
        halves = name_halves(bool(found.has_image[place]), bool(found.has_text[place]))
        row = tuple(rows[place].tolist()) if halves != "none" else ()
        named = _choose(recipe, row, classes)
        if agreed is not None and not agreed[place]:
            named = []
        outcomes.append(
            PostOutcome(
                post_id=post_id,
                halves=halves,
                probabilities=row,
                category=named[0] if named else None,
                also=tuple(named[1:]),
            )
        )
    return outcomes


def name_halves(pictured: bool, worded: bool) -> Halves:
    """Say which halves of a post could be used."""
    if pictured and worded:
        return "both"
    if pictured:
        return "image"
    return "text" if worded else "none"


def _read_lines(recipe: MethodRecipe) -> IsotonicMap:
    return IsotonicMap(
        tuple((np.array(x, np.float32), np.array(y, np.float32)) for x, y in recipe.isotonic)
    )


def _take(half: Half, head: Head, vectors: Floats | None, width: int, count: int) -> Floats:
    if half not in head.halves or vectors is None:
        return np.zeros((count, width), np.float32)
    # A vector that is not finite would make its whole post meaningless.
    return np.where(np.isfinite(vectors).all(axis=1, keepdims=True), vectors, np.float32(0))


def _find_agreed(recipe: MethodRecipe, opinions: Mapping[str, Opinion]) -> NDArray[np.bool_]:
    """Return where all heads that could judge a post have the same class first."""
    tops = np.stack([opinions[name].probabilities.argmax(axis=1) for name in recipe.heads])
    judging = np.stack([opinions[name].probabilities.any(axis=1) for name in recipe.heads])
    agreed: NDArray[np.bool_] = (tops == tops[0]).all(axis=0) & judging.all(axis=0)
    return agreed


def _choose(recipe: MethodRecipe, row: tuple[float, ...], classes: Sequence[str]) -> list[str]:
    """Return the categories of one post, the likeliest first."""
    if not row:
        return []
    if not recipe.several:
        top = row.index(max(row))
        known = top < len(classes) and row[top] >= recipe.post_threshold
        return [classes[top]] if known and classes[top] not in recipe.abstains else []
    passing = [
        (-row[place], name)
        for place, name in enumerate(classes)
        if name not in recipe.abstains
        and row[place] >= recipe.post_thresholds.get(name, recipe.post_threshold)
    ]
    return [name for _probability, name in sorted(passing)]
