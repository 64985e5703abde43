"""Why a verdict came out as it did: what image and text say alone, and what single words do."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.bundle import Bundle
from pipelines.text.clean import clean_caption
from pipelines.verdict import PostVectors
from schemas.verdicts import PostOutcome
from storage.accounts import PostRow, account_posts
from storage.word_evidence import WordWeight, save_words
from tasks.app import task
from tasks.context import Context, context
from tasks.evidence import stack_posts

WORDS_PER_CATEGORY = 12
POSTS_READ = 200
SLOW_POSTS_READ = 30
"""Of a sentence model, which reads every caption anew for each of its words, at 65 ms a time."""

LEAST_WEIGHT = 0.005
"""A word that moves a probability by less says nothing."""

Judged = dict[int, PostOutcome]


def judge_halves(
    resources: Context, bundle_id: str, posts: Mapping[int, Sequence[PostRow]]
) -> dict[str, Judged]:
    """Judge posts by image alone and by text alone, from the stored vectors.

    Returns outcomes by post under ``image`` and ``text``; vectors that are gone count as missing.
    """
    bundle = resources.bundle(bundle_id)
    every = [post for found in posts.values() for post in found]
    vectors = stack_posts(resources, bundle, every)
    silent = replace(vectors, has_text=np.zeros_like(vectors.has_text))
    unseen = replace(vectors, photos=vectors.photos[:0], owners=vectors.owners[:0])
    return {
        "image": {one.post_id: one for one in bundle.judge(silent)},
        "text": {one.post_id: one for one in bundle.judge(unseen)},
    }


@task("explain.words")
def explain_words(influencer_id: int, bundle_id: str) -> str:
    """Find which words of an account's captions speak for and against each category, and keep it.

    A word's weight is how much the text half's probability of a category falls, summed over the
    newest posts, when the word is left out of its caption.
    """
    resources = context()
    bundle = resources.bundle(bundle_id)
    with resources.database.read() as connection:
        posts = account_posts(connection, [influencer_id])[influencer_id][-POSTS_READ:]
    words = weigh_words(bundle, [post.caption for post in posts])
    with resources.database.write() as connection:
        save_words(connection, influencer_id, bundle_id, words)
    return f"posts={len(posts)} words={sum(map(len, words.values()))}"


def weigh_words(bundle: Bundle, captions: Sequence[str]) -> dict[str, list[WordWeight]]:
    """Return by category the words that speak loudest for it and against it."""
    model = bundle.text_model
    if model is None or "text" not in bundle.manifest.halves:
        return {}
    whole: list[str] = []
    left: list[tuple[int, str, str]] = []
    newest = captions if model.ref.package is None else captions[-SLOW_POSTS_READ:]
    for caption in dict.fromkeys(newest):
        words = clean_caption(caption).split()
        if not words:
            continue
        for word in dict.fromkeys(words):
            rest = " ".join(other for other in words if other != word)
            left.append((len(whole), word, rest))
        whole.append(" ".join(words))
    if not left:
        return {}
    before = _text_probabilities(bundle, *model.embed(whole))
    after = _text_probabilities(bundle, *model.embed([rest for _row, _word, rest in left]))
    sums: dict[str, Any] = defaultdict(lambda: np.zeros(before.shape[1]))
    counts: dict[str, int] = defaultdict(int)
    for (row, word, _rest), without in zip(left, after, strict=True):
        sums[word] += before[row] - without
        counts[word] += 1
    return {
        category: _loudest({word: float(sums[word][place]) for word in sums}, counts)
        for place, category in enumerate(bundle.manifest.classes)
    }


def _loudest(weights: Mapping[str, float], counts: Mapping[str, int]) -> list[WordWeight]:
    ranked = sorted(weights.items(), key=lambda item: (-item[1], item[0]))
    for_it = [item for item in ranked[:WORDS_PER_CATEGORY] if item[1] >= LEAST_WEIGHT]
    against = [item for item in ranked[-WORDS_PER_CATEGORY:] if item[1] <= -LEAST_WEIGHT]
    return [
        WordWeight(word=word, weight=round(weight, 4), posts=counts[word])
        for word, weight in for_it + against
    ]


def _text_probabilities(
    bundle: Bundle, text: NDArray[np.float32], usable: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return what the network makes of captions without photos; flat where it knows no word."""
    vectors = PostVectors(
        post_ids=list(range(len(text))),
        photos=np.zeros((0, bundle.manifest.backbone.width), np.float32),
        owners=np.zeros(0, np.int64),
        text=text,
        has_text=usable,
    )
    outcomes = bundle.judge(vectors)
    width = bundle.network.classes
    flat = np.full(width, 1 / width)
    return np.array([one.probabilities or flat for one in outcomes])
