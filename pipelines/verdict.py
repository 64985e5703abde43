"""From posts to a verdict: what each post shows, then what the account is about."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.metrics import wilson_interval
from pipelines.fusion.network import Floats, Network
from pipelines.fusion.reduce import Reducer
from schemas.bundles import BundleManifest
from schemas.verdicts import CategoryShare, Halves, PostOutcome, Verdict

EVIDENCE_POSTS = 12
"""Posts named as evidence for a category; nobody looks at more, and verdicts stay small."""

POST_THRESHOLD = 0.5
"""Least probability of a known post unless a bundle says otherwise.

Of 0 to 0.9 it gave the fewest wrong account categories on kinds of objects that training had not
seen, and cost nearly nothing on those it had; lower ones let in false positives, which are worse.
"""

SHARE_THRESHOLD = 0.28
"""Least share of a category unless a bundle says otherwise; the thesis' precision = recall."""

_DIGITS = 6


@dataclass(frozen=True)
class PostVectors:
    """The vectors of many posts, of one account or of hundreds, ready to be judged together.

    ``photos (m, d)`` are the usable photos' vectors and ``owners (m,)`` say to which row of
    ``post_ids`` each belongs, in any order. ``text (n, d_text)`` has a row a post; ``has_text
    (n,)`` says which rows mean something.
    """

    post_ids: Sequence[int]
    photos: Floats
    owners: NDArray[np.integer]
    text: Floats
    has_text: NDArray[np.bool_]


def judge_posts(
    posts: PostVectors, manifest: BundleManifest, reducer: Reducer | None, network: Network
) -> list[PostOutcome]:
    """Judge posts by image and text, or by the half they have; one outcome a post, in order.

    A post's image vector is the mean of its photos'. Halves that the bundle has not learnt from
    count as missing. With no half left the outcome has no probabilities. The category is the
    likeliest class if it reaches the bundle's ``post_threshold`` and is not the reject class.
    """
    count = len(posts.post_ids)
    x_image = np.zeros((count, network.image.width), np.float32)
    has_image = np.zeros(count, np.bool_)
    if reducer is not None and "image" in manifest.halves:
        x_image, has_image = _mean_photos(posts.photos, posts.owners, count, reducer)
    has_text = posts.has_text & np.any(posts.text != 0, axis=1) & ("text" in manifest.halves)
    x_text = np.zeros((count, network.text.width), np.float32)
    if has_text.any():
        x_text[has_text] = posts.text[has_text]
    judged = has_image | has_text
    # Rounded before anything is decided, so that what is stored explains the decision.
    probabilities = np.round(network.predict(x_image, x_text).astype(np.float64), _DIGITS)
    return [
        _conclude_post(post_id, _name_halves(pictured, worded), row, manifest, judged=known)
        for post_id, pictured, worded, row, known in zip(
            posts.post_ids,
            has_image.tolist(),
            has_text.tolist(),
            probabilities.tolist(),
            judged.tolist(),
            strict=True,
        )
    ]


def conclude_account(
    outcomes: Sequence[PostOutcome], manifest: BundleManifest, method: str = "nn"
) -> Verdict:
    """Conclude what an account is about from the outcomes of its posts.

    A category's share is its posts / usable posts. Unknown posts are usable, lacking ones are not.
    It is chosen where the share reaches the category's threshold (thesis, section 5.2). Shares come
    largest first, each with its 95 % Wilson interval and up to 12 posts as evidence, surest first.
    """
    usable = [outcome for outcome in outcomes if outcome.halves != "none"]
    shares = sorted(
        (_share(category, usable, manifest) for category in manifest.classes),
        key=lambda share: (-share.posts, share.category),
    )
    return Verdict(
        method=method,
        categories=tuple(share.category for share in shares if share.chosen),
        shares=tuple(shares),
        usable=len(usable),
        unknown=len(usable) - sum(share.posts for share in shares),
        lacking=len(outcomes) - len(usable),
        enough=len(usable) >= manifest.min_posts,
    )


def _mean_photos(
    photos: Floats, owners: NDArray[np.integer], posts: int, reducer: Reducer
) -> tuple[Floats, NDArray[np.bool_]]:
    # A vector that is not finite would make its whole post meaningless.
    usable = np.isfinite(photos).all(axis=1)
    counts = np.bincount(owners[usable], minlength=posts)
    sums = np.zeros((posts, reducer.width), np.float64)
    if usable.any():
        # Reduction is affine: reducing before the mean gives the same and takes less memory.
        np.add.at(sums, owners[usable], reducer.transform(photos[usable]))
    means = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
    return means, counts > 0


def _name_halves(pictured: bool, worded: bool) -> Halves:
    if pictured and worded:
        return "both"
    if pictured:
        return "image"
    return "text" if worded else "none"


def _conclude_post(
    post_id: int, halves: Halves, row: list[float], manifest: BundleManifest, *, judged: bool
) -> PostOutcome:
    if not judged:
        return PostOutcome(post_id=post_id, halves=halves, probabilities=(), category=None)
    top = row.index(max(row))
    known = top < len(manifest.classes) and row[top] >= manifest.post_threshold
    category = manifest.classes[top] if known else None
    return PostOutcome(post_id=post_id, halves=halves, probabilities=tuple(row), category=category)


def _share(category: str, usable: Sequence[PostOutcome], manifest: BundleManifest) -> CategoryShare:
    place = manifest.classes.index(category)
    posts = sorted(
        (-outcome.probabilities[place], outcome.post_id)
        for outcome in usable
        if outcome.category == category
    )
    share = len(posts) / len(usable) if usable else 0.0
    low, high = wilson_interval(len(posts), len(usable))
    threshold = manifest.share_thresholds[category]
    return CategoryShare(
        category=category,
        posts=len(posts),
        share=share,
        low=low,
        high=high,
        threshold=threshold,
        chosen=bool(posts) and share >= threshold,
        evidence=tuple(post_id for _, post_id in posts[:EVIDENCE_POSTS]),
    )
