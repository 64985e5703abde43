"""Methods judge by image, by text and by both what verdicts would judge by both."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.bundle import Bundle
from pipelines.evaluation.predict import predict_methods
from pipelines.verdict import PostVectors
from tasks.context import Context
from tests.unit.tasks.builders import BACKBONE, TEXT_WIDTH, draw, publish_toy_bundle
from tests.unit.tasks.conftest import resources

__all__ = ["resources"]


@pytest.fixture
def bundle(resources: Context, tmp_path: Path) -> Bundle:
    return resources.bundle(publish_toy_bundle(resources, tmp_path))


def vectors(posts: int = 30) -> PostVectors:
    """Every post has a photo, every second one a caption."""
    has_text = np.arange(posts) % 2 == 0
    text = draw(4, posts, TEXT_WIDTH) * has_text[:, None]
    return PostVectors(
        range(posts), draw(3, posts, BACKBONE.width), np.arange(posts), text, has_text
    )


def test_both_is_what_a_verdict_rests_on_and_the_halves_stand_alone(bundle: Bundle) -> None:
    image, text, both = predict_methods(bundle, vectors())
    assert [each.halves for each in (image, text, both)] == ["image", "text", "both"]
    outcomes = bundle.judge(vectors())
    assert [set(found or ()) for found in both.predicted] == [
        {outcome.category} - {None} for outcome in outcomes
    ]
    assert image.probabilities[1].tolist() == both.probabilities[1].tolist()
    assert text.judged.tolist() == [place % 2 == 0 for place in range(30)]
    assert not np.array_equal(image.probabilities[0], both.probabilities[0])


def test_none_of_them_is_told_from_unknown(bundle: Bundle) -> None:
    (*_halves, both) = predict_methods(bundle, vectors(200))
    for row, found in zip(both.probabilities, both.predicted, strict=True):
        if row.max() < bundle.manifest.post_threshold - 1e-6:
            assert found is None
        elif row.argmax() == 2 and row.max() > bundle.manifest.post_threshold + 1e-6:
            assert found == frozenset()
    assert None in both.predicted
    assert frozenset() in both.predicted


def test_a_half_that_no_post_has_makes_no_row(bundle: Bundle) -> None:
    posts = vectors()
    mute = replace(posts, has_text=np.zeros(30, np.bool_))
    blind = replace(posts, photos=posts.photos[:0], owners=posts.owners[:0])
    assert [each.halves for each in predict_methods(bundle, mute)] == ["image"]
    assert [each.halves for each in predict_methods(bundle, blind)] == ["text"]
