"""What every method of a bundle says of posts: by image, by text, and by both."""

from dataclasses import replace

import numpy as np

from pipelines.bundle import Bundle
from pipelines.evaluation.methods import MethodPredictions, UsedHalves
from pipelines.verdict import PostVectors
from schemas.bundles import NETWORK_HEAD, BundleManifest, MethodRecipe
from schemas.verdicts import PostOutcome


def predict_methods(bundle: Bundle, posts: PostVectors) -> list[MethodPredictions]:
    """Judge posts by each method of a bundle, with the image alone, the text alone, and both.

    A half that no post has, or that a method does not read, makes no row of its own; nor do the
    halves of methods that only speak where image and text agree.
    """
    rows = []
    sides: tuple[UsedHalves, ...] = ("image", "text", "both")
    for halves in sides:
        outcomes = bundle.judge_all(take_half(posts, halves))
        rows += [
            _describe(bundle.manifest, method, halves, outcomes[method])
            for method in bundle.manifest.methods
            if halves in _usable_halves(bundle.manifest, method, posts)
        ]
    order = {method: place for place, method in enumerate(bundle.manifest.methods)}
    return sorted(rows, key=lambda row: order[row.name])


def take_half(posts: PostVectors, halves: UsedHalves) -> PostVectors:
    """Return the posts with only one half of each left, or as they are for ``both``."""
    if halves == "image":
        mute = np.zeros_like(posts.has_text)
        return replace(posts, text=np.zeros_like(posts.text), has_text=mute, supervised=None)
    if halves == "text":
        return replace(posts, photos=posts.photos[:0], owners=posts.owners[:0])
    return posts


def read_halves(manifest: BundleManifest, recipe: MethodRecipe) -> set[str]:
    """Return the halves that the classifiers of a method have learnt from."""
    return {
        half
        for name in recipe.heads
        for half in (manifest.halves if name == NETWORK_HEAD else manifest.heads[name].halves)
    }


def _usable_halves(manifest: BundleManifest, method: str, posts: PostVectors) -> list[UsedHalves]:
    recipe = manifest.recipe(method)
    read = read_halves(manifest, recipe)
    spoken = posts.has_text.any() or (posts.supervised is not None and posts.supervised.any())
    halves: list[UsedHalves] = []
    if "image" in read and len(posts.photos):
        halves.append("image")
    if "text" in read and spoken:
        halves.append("text")
    if len(halves) > 1:
        return ["both"] if recipe.kind == "agree" else [*halves, "both"]
    return halves


def _describe(
    manifest: BundleManifest, method: str, halves: UsedHalves, outcomes: list[PostOutcome]
) -> MethodPredictions:
    recipe = manifest.recipe(method)
    width = len(manifest.classes) + manifest.reject
    probabilities = np.zeros((len(outcomes), width), np.float32)
    for row, outcome in enumerate(outcomes):
        if outcome.probabilities:
            probabilities[row, : len(outcome.probabilities)] = outcome.probabilities
    return MethodPredictions(
        name=method,
        halves=halves,
        probabilities=probabilities,
        judged=np.array([bool(outcome.probabilities) for outcome in outcomes], np.bool_),
        predicted=[_answer(outcome, manifest, recipe) for outcome in outcomes],
    )


def _answer(
    outcome: PostOutcome, manifest: BundleManifest, recipe: MethodRecipe
) -> frozenset[str] | None:
    """Tell a post that shows none of the categories from one that the bundle is unsure of.

    A method that may give several categories says "none" wherever no category passes.
    """
    if outcome.categories or not outcome.probabilities:
        return frozenset(outcome.categories) or None
    if recipe.several:
        return frozenset()
    likely = outcome.probabilities
    rejected = (
        manifest.reject
        and recipe.kind != "agree"
        and likely.index(max(likely)) == len(manifest.classes)
        and likely[-1] >= recipe.post_threshold
    )
    return frozenset() if rejected else None
