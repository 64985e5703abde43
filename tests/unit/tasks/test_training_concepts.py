"""A training of the head that begins from the backbone's own classifier."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.fusion.concepts import CLASSES as IMAGENET
from pipelines.fusion.concepts import read_table
from pipelines.verdict import PostVectors
from pipelines.vision import architectures, weights
from tasks.context import Context
from tests.unit.tasks.builders import BACKBONE
from tests.unit.tasks.training import CLASSES, add_photos_of, draw_vectors, sha, train


@pytest.fixture
def classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier of ImageNet that knows the corners that photos are drawn near."""
    layer = np.zeros((IMAGENET, BACKBONE.width), np.float32)
    for place, name in enumerate(CLASSES):
        layer[list(read_table().get(name, ())), place] = 2
    found = (layer, np.zeros(IMAGENET, np.float32))
    monkeypatch.setattr(weights, "find_weights", lambda _name, _folder: Path("toy"))
    monkeypatch.setattr(architectures, "read_classifier", lambda _name, _path: found)


def test_the_head_judges_in_training_and_from_its_bundle(
    resources: Context, classifier: None
) -> None:
    for category in CLASSES:
        add_photos_of(resources, category, 30)
        add_photos_of(resources, category, 6, source="elsewhere")
    outputs, _endings = train(resources, methods=("nn", "concepts"), holdout_source="elsewhere")
    assert outputs["fuse"]["left_out"] == {}
    assert outputs["fuse"]["metrics"]["holdout"]["concepts"]["top"] > 0.8
    bundle = resources.bundle(outputs["bundle"]["bundle_id"])
    truth = [name for name in CLASSES for _number in range(20)]
    names = [f"new {name} {number}" for number, name in enumerate(truth)]
    vectors = draw_vectors(names, truth)
    posts = PostVectors(
        post_ids=range(len(names)),
        photos=np.stack([vectors[sha(name)] for name in names]),
        owners=np.arange(len(names)),
        text=np.zeros((len(names), 0), np.float32),
        has_text=np.zeros(len(names), np.bool_),
    )
    judged = bundle.judge_all(posts)["concepts"]
    likeliest = [CLASSES[int(np.argmax(post.probabilities))] for post in judged]
    assert np.mean([one == own for one, own in zip(likeliest, truth, strict=True)]) > 0.8


def test_a_backbone_without_a_classifier_leaves_the_method_out_and_says_why(
    resources: Context,
) -> None:
    for category in CLASSES:
        add_photos_of(resources, category, 8)
    outputs, _endings = train(resources, methods=("nn", "concepts"))
    assert resources.bundle(outputs["bundle"]["bundle_id"]).manifest.methods == ("nn",)
    assert "toy" in outputs["fuse"]["left_out"]["concepts"]
