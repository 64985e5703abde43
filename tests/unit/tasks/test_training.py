"""A whole training, from stored vectors to a bundle of several methods."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pipelines.verdict import PostVectors
from tasks.context import Context, context
from tests.adopted import adopted
from tests.unit.tasks.training import (
    CLASSES,
    add_photos_of,
    add_tagged,
    draw_vectors,
    train,
)

EVERY_METHOD = (
    "nn",
    "svm",
    "weighted",
    "multi",
    "nn-sup",
    "agree",
    "nn-image",
    "nn-text",
    "svm-image",
    "svm-text",
)

Trained = tuple[Context, dict[str, Any]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """A training of every method on photos of two sources and on tagged posts."""
    data_dir = str(tmp_path_factory.mktemp("training") / "data")
    with adopted(
        {
            "AFIN_DATA_DIR": data_dir,
            "AFIN_BROKER_URL": "memory://",
            "AFIN_RESULT_URL": "cache+memory://",
        }
    ):
        resources = context()
        for category in CLASSES:
            add_photos_of(resources, category, 60)
            add_photos_of(resources, category, 12, source="elsewhere")
        for category in CLASSES[:-1]:
            for author in ("ana", "luz", "eva", "pau", "sol", "mar", "paz"):
                add_tagged(resources, category, category, 6, author=f"{author}-{category}")
        add_tagged(resources, "moda", "comida", 8, author="mentira")
        outputs, _endings = train(resources, methods=EVERY_METHOD, holdout_source="elsewhere")
        yield resources, outputs


def test_every_method_is_made(trained: Trained) -> None:
    resources, outputs = trained
    manifest = resources.bundle(outputs["bundle"]["bundle_id"]).manifest
    assert manifest.methods == EVERY_METHOD
    assert manifest.training["methods_left_out"] == {}
    assert manifest.supervised_model is not None
    assert manifest.recipe("weighted").image_weight is not None


def test_tags_that_the_photos_belie_are_not_believed(trained: Trained) -> None:
    _resources, outputs = trained
    counts = {row["category"]: row for row in outputs["labels"]["table"]}
    assert counts["moda"]["tagged"] == 50
    assert counts["moda"]["kept"] <= 44
    assert counts["comida"]["kept"] >= 34
    assert outputs["labels"]["kept"] == sum(row["kept"] for row in counts.values())


def test_query_tags_are_taken_out_of_captions_and_both_are_reported(trained: Trained) -> None:
    resources, outputs = trained
    assert outputs["reduce"]["stripped"] == outputs["labels"]["kept"]
    compared = outputs["fuse"]["metrics"]["query_tags"]
    assert compared["samples"] > 0
    assert set(compared["stripped"]) == set(compared["as_written"])
    bundle = resources.bundle(outputs["bundle"]["bundle_id"])
    assert "with those tags" in (bundle.path / "card.md").read_text("utf-8")


def test_methods_are_scored_on_validation_and_on_the_source_held_out(trained: Trained) -> None:
    _resources, outputs = trained
    for part, method in (("validation", "nn"), ("validation", "svm"), ("holdout", "nn")):
        found = outputs["fuse"]["metrics"][part][method]
        assert found["top"] > 0.7
        assert found["hamming"] < found["hamming_of_nothing"]
    assert outputs["split"]["summary"]["holdout"] == 48


def test_nobodys_posts_are_on_both_sides(trained: Trained) -> None:
    resources, outputs = trained
    path = resources.bundle(outputs["bundle"]["bundle_id"]).path / "split.json"
    parts: dict[str, str] = json.loads(path.read_text())
    sides: dict[str, set[str]] = {}
    for name, part in parts.items():
        if name.startswith("instagram:"):
            sides.setdefault(name.split()[1], set()).add(part)
    assert len(sides) == 22
    assert all(len(found) == 1 for found in sides.values())
    assert set(parts.values()) == {"fit", "validation", "holdout"}


def test_the_bundle_judges_a_post_by_each_method(trained: Trained) -> None:
    resources, outputs = trained
    bundle = resources.bundle(outputs["bundle"]["bundle_id"])
    (vector,) = draw_vectors(["new"], ["deporte"]).values()
    assert bundle.text_model is not None
    assert bundle.supervised_model is not None
    said = ["carrera y gol del equipo"]
    posts = PostVectors(
        post_ids=[7, 8],
        photos=vector[None],
        owners=np.array([0]),
        text=np.repeat(bundle.text_model.embed(said)[0], 2, axis=0),
        has_text=np.array([True, False]),
        supervised=np.vstack(
            [bundle.supervised_model.embed(said)[0], np.zeros((1, 128), np.float32)]
        ),
    )
    judged = bundle.judge_all(posts)
    assert tuple(judged) == EVERY_METHOD
    assert {outcomes[0].category for outcomes in judged.values()} <= {"deporte", None}
    assert judged["nn"][0].category == judged["svm"][0].category == "deporte"
    assert [outcomes[0].halves for outcomes in judged.values()].count("both") == 6
    assert {outcomes[1].halves for outcomes in judged.values()} == {"none"}
    assert judged["svm"] == bundle.judge(posts, "svm")


def test_the_model_card_says_what_is_in_the_bundle(trained: Trained) -> None:
    resources, outputs = trained
    card = (resources.bundle(outputs["bundle"]["bundle_id"]).path / "card.md").read_text()
    assert "On a source never learnt from" in card
    assert "| method weighted | network-image + svm-text, image weighs " in card
    assert "12 samples of elsewhere" not in card
    assert "48 samples of elsewhere were kept out" in card


def test_the_same_training_again_computes_nothing(trained: Trained) -> None:
    resources, outputs = trained
    again, endings = train(resources, methods=EVERY_METHOD, holdout_source="elsewhere")
    assert {ending.partition(" since ")[0] for ending in endings.values()} == {"unchanged"}
    assert again["bundle"]["bundle_id"] == outputs["bundle"]["bundle_id"]


def test_other_methods_keep_what_does_not_depend_on_them(trained: Trained) -> None:
    resources, outputs = trained
    again, endings = train(resources, holdout_source="elsewhere", methods=("nn", "svm-image"))
    kept = {stage for stage, ending in endings.items() if ending.startswith("unchanged")}
    assert kept == {"split", "labels", "text", "reduce"}
    assert again["bundle"]["bundle_id"] != outputs["bundle"]["bundle_id"]
