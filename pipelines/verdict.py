"""From posts to a verdict: what each post shows, then what the account is about."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.metrics import wilson_interval
from pipelines.fusion.network import Floats, Network
from pipelines.fusion.reduce import Reducer
from pipelines.methods import PostInputs, ask_head, decide
from pipelines.share import reach
from schemas.bundles import NETWORK_HEAD, BundleManifest, MethodRecipe
from schemas.verdicts import CategoryShare, PostOutcome, Verdict

EVIDENCE_POSTS = 12
"""Posts named as evidence for a category; nobody looks at more, and verdicts stay small."""

POST_THRESHOLD = 0.5
"""Least probability of a known post unless a bundle says otherwise.

Of 0 to 0.9 it gave the fewest wrong account categories on kinds of objects that training had not
seen, and cost nearly nothing on those it had; lower ones let in false positives, which are worse.
"""

SHARE_THRESHOLD = 0.28
"""Least share of a category unless a bundle says otherwise; the thesis' precision = recall."""


@dataclass(frozen=True)
class PostVectors:
    """The vectors of many posts, of one account or of hundreds, ready to be judged together.

    ``photos (m, d)`` are the usable photos' vectors and ``owners (m,)`` say to which row of
    ``post_ids`` each belongs, in any order. ``text (n, d_text)`` has a row a post; ``has_text
    (n,)`` says which rows mean something. ``supervised (n, d)`` are the vectors of the supervised
    text model, where a bundle has one; a row of zeros means nothing.
    """

    post_ids: Sequence[int]
    photos: Floats
    owners: NDArray[np.integer]
    text: Floats
    has_text: NDArray[np.bool_]
    supervised: Floats | None = None


def judge_posts(
    posts: PostVectors, manifest: BundleManifest, reducer: Reducer | None, network: Network
) -> list[PostOutcome]:
    """Judge posts by image and text, or by the half they have; one outcome a post, in order.

    A post's image vector is the mean of its photos'. Halves that the bundle has not learnt from
    count as missing. With no half left the outcome has no probabilities. The category is the
    likeliest class if it reaches the bundle's ``post_threshold`` and is not the reject class.
    """
    opinions = {NETWORK_HEAD: ask_head(network, prepare_inputs(posts, manifest, reducer))}
    return decide(manifest.recipe("nn"), opinions, posts.post_ids, manifest.classes)


def prepare_inputs(
    posts: PostVectors, manifest: BundleManifest, reducer: Reducer | None
) -> PostInputs:
    """Bring posts' vectors into what classifiers read, once for all methods of a bundle."""
    image = whole = None
    posts_count = len(posts.post_ids)
    if any(ref.kind == "concepts" for ref in manifest.heads.values()):
        whole = _mean_photos(posts.photos, posts.owners, posts_count, None)
    if reducer is not None and "image" in manifest.halves:
        image = _mean_photos(posts.photos, posts.owners, posts_count, reducer)
    read = posts.has_text & ("text" in manifest.halves)
    text = np.where(read[:, None], posts.text, np.float32(0))
    return PostInputs(posts.post_ids, image, text, posts.supervised, whole)


def conclude_account(
    outcomes: Sequence[PostOutcome], manifest: BundleManifest, method: str = "nn"
) -> Verdict:
    """Conclude what an account is about from the outcomes of its posts.

    A category's share is its posts / usable posts. Unknown posts are usable, lacking ones are not.
    It is chosen where the share reaches the category's threshold (thesis, section 5.2). Shares come
    largest first, each with its 95 % Wilson interval and up to 12 posts as evidence, surest first.
    Categories that the method, or the whole bundle, had too little data for are never chosen.
    """
    recipe = manifest.recipe(method)
    usable = [outcome for outcome in outcomes if outcome.halves != "none"]
    shares = sorted(
        (
            _share(category, usable, place, recipe)
            for place, category in enumerate(manifest.classes)
        ),
        key=lambda share: (-share.posts, share.category),
    )
    return Verdict(
        method=method,
        categories=tuple(share.category for share in shares if share.chosen),
        shares=tuple(shares),
        usable=len(usable),
        unknown=sum(outcome.category not in manifest.classes for outcome in usable),
        lacking=len(outcomes) - len(usable),
        enough=len(usable) >= manifest.min_posts,
        abstained=(*recipe.abstains, *manifest.training.get("left_out", {})),
    )


def _mean_photos(
    photos: Floats, owners: NDArray[np.integer], posts: int, reducer: Reducer | None
) -> Floats:
    # A vector that is not finite would make its whole post meaningless.
    usable = np.isfinite(photos).all(axis=1)
    counts = np.bincount(owners[usable], minlength=posts)
    width = photos.shape[1] if reducer is None else reducer.width
    sums = np.zeros((posts, width), np.float64)
    if usable.any():
        # Reduction is affine: reducing before the mean gives the same and takes less memory.
        own = photos[usable] if reducer is None else reducer.transform(photos[usable])
        order = np.argsort(owners[usable], kind="stable")
        first = np.flatnonzero(np.diff(owners[usable][order], prepend=-1))
        sums[owners[usable][order][first]] = np.add.reduceat(
            own[order], first, axis=0, dtype=np.float64
        )
    return (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)


def _share(
    category: str, usable: Sequence[PostOutcome], place: int, recipe: MethodRecipe
) -> CategoryShare:
    posts = sorted(
        (-outcome.probabilities[place], outcome.post_id)
        for outcome in usable
        if category in outcome.categories
    )
    share = len(posts) / len(usable) if usable else 0.0
    low, high = wilson_interval(len(posts), len(usable))
    threshold = recipe.share_thresholds[category]
    certainty = reach(len(posts), len(usable), threshold)
    return CategoryShare(
        category=category,
        posts=len(posts),
        share=share,
        low=low,
        high=high,
        threshold=threshold,
        chosen=bool(posts) and share >= threshold and category not in recipe.abstains,
        evidence=tuple(post_id for _, post_id in posts[:EVIDENCE_POSTS]),
        certainty=round(certainty, 6),
    )
