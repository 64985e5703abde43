"""What every method of a bundle says of posts: by image, by text, and by both."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipelines.bundle import Bundle
from pipelines.evaluation.methods import MethodPredictions, UsedHalves
from pipelines.verdict import PostVectors
from schemas.bundles import BundleManifest
from schemas.errors import BundleError
from schemas.verdicts import PostOutcome

NETWORK = "nn"


def predict_methods(bundle: Bundle, posts: PostVectors) -> list[MethodPredictions]:
    """Judge posts by each method of a bundle, with the image alone, the text alone, and both.

    A half that no post has, or that the bundle has not learnt from, makes no row of its own.

    Raises:
        BundleError: the bundle has a method that this version does not know.
    """
    return [
        _predict(bundle, method, halves, posts)
        for method in bundle.manifest.methods
        for halves in _usable_halves(bundle.manifest, posts)
    ]


def take_half(posts: PostVectors, halves: UsedHalves) -> PostVectors:
    """Return the posts with only one half of each left, or as they are for ``both``."""
    if halves == "image":
        return replace(posts, has_text=np.zeros_like(posts.has_text))
    if halves == "text":
        return replace(posts, photos=posts.photos[:0], owners=posts.owners[:0])
    return posts


def _usable_halves(manifest: BundleManifest, posts: PostVectors) -> list[UsedHalves]:
    halves: list[UsedHalves] = []
    if "image" in manifest.halves and len(posts.photos):
        halves.append("image")
    if "text" in manifest.halves and posts.has_text.any():
        halves.append("text")
    return [*halves, "both"] if len(halves) > 1 else halves


def _predict(
    bundle: Bundle, method: str, halves: UsedHalves, posts: PostVectors
) -> MethodPredictions:
    outcomes = _judge(bundle, method, take_half(posts, halves))
    manifest = bundle.manifest
    width = len(manifest.classes) + manifest.reject
    probabilities = np.zeros((len(outcomes), width), np.float32)
    judged = np.array([bool(outcome.probabilities) for outcome in outcomes], np.bool_)
    for row, outcome in enumerate(outcomes):
        if outcome.probabilities:
            probabilities[row] = outcome.probabilities
    return MethodPredictions(
        name=method,
        halves=halves,
        probabilities=probabilities,
        judged=judged,
        predicted=[
            _answer(outcome, row, manifest)
            for outcome, row in zip(outcomes, probabilities, strict=True)
        ],
    )


def _judge(bundle: Bundle, method: str, posts: PostVectors) -> list[PostOutcome]:
    if method != NETWORK:
        raise BundleError(
            f"This version of afin cannot judge by {method!r}, a method of {bundle.id}: update it."
        )
    return bundle.judge(posts)


def _answer(
    outcome: PostOutcome, probabilities: NDArray[np.float32], manifest: BundleManifest
) -> frozenset[str] | None:
    """Tell a post that shows none of the categories from one that the bundle is unsure of."""
    if outcome.category is not None:
        return frozenset({outcome.category})
    rejected = (
        manifest.reject
        and int(probabilities.argmax()) == len(manifest.classes)
        and float(probabilities[-1]) >= manifest.post_threshold
    )
    return frozenset() if rejected else None
