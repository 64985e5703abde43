import warnings
from pathlib import Path

import numpy as np
import pytest

from pipelines.text.fasttext import Kind, TextModel, choose_buckets, train_text_model
from schemas.bundles import TextModelRef
from schemas.errors import BundleError, NotFoundError, TrainingError

FOOD = ["rica comida casera con tomate", "comida y postre casero", "el postre de tomate 🍅"]
SPORT = ["entreno fuerte en el gimnasio", "gimnasio y fútbol ⚽", "fútbol con entreno fuerte"]
CAPTIONS = [f"{a}! #{b.split()[0]}" for a in FOOD + SPORT for b in (FOOD if a in FOOD else SPORT)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TextModelRef, Path]:
    out = tmp_path_factory.mktemp("text") / "text.bin"
    return train_text_model(CAPTIONS, out, width=16, seed=3), out


@pytest.fixture(scope="module")
def model(trained: tuple[TextModelRef, Path]) -> TextModel:
    return TextModel.load(trained[1])


def test_the_same_captions_and_seed_give_the_same_bytes(
    trained: tuple[TextModelRef, Path], tmp_path: Path
) -> None:
    train_text_model(iter(CAPTIONS), tmp_path / "again.bin", width=16, seed=3)
    assert (tmp_path / "again.bin").read_bytes() == trained[1].read_bytes()


def test_another_seed_gives_another_model(
    trained: tuple[TextModelRef, Path], tmp_path: Path
) -> None:
    other = train_text_model(CAPTIONS, tmp_path / "other.bin", width=16, seed=4)
    assert other.hash != trained[0].hash


@pytest.mark.parametrize("kind", ["skipgram", "cbow"])
def test_a_loaded_model_refers_to_itself_as_the_trained_one_did(kind: Kind, tmp_path: Path) -> None:
    ref = train_text_model(CAPTIONS, tmp_path / "text.bin", kind=kind, width=8, epochs=1)
    assert TextModel.load(tmp_path / "text.bin").ref == ref
    assert (ref.name, ref.width) == (f"fasttext-{kind}", 8)


def test_only_the_model_is_left_behind(trained: tuple[TextModelRef, Path]) -> None:
    assert [path.name for path in trained[1].parent.iterdir()] == ["text.bin"]


def test_a_single_caption_is_embedded_without_warnings(model: TextModel) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vectors, usable = model.embed(["Rica COMIDA!"])
    assert vectors.shape == (1, 16)
    assert vectors.dtype == np.float32
    assert usable.tolist() == [True]
    assert np.isfinite(vectors).all()
    assert vectors.any()


def test_captions_are_cleaned_before_they_are_embedded(model: TextModel) -> None:
    vectors, _ = model.embed(["¡RICA\ncomida!", "rica comida"])
    assert np.array_equal(vectors[0], vectors[1])


@pytest.mark.parametrize("caption", ["", "  ?! ", "完全に未知", "\ud800", "🛸"])
def test_a_caption_without_a_known_word_is_a_row_of_zeros(model: TextModel, caption: str) -> None:
    vectors, usable = model.embed(["rica comida", caption])
    assert usable.tolist() == [True, False]
    assert not vectors[1].any()


def test_no_captions_give_no_rows(model: TextModel) -> None:
    vectors, usable = model.embed([])
    assert vectors.shape == (0, 16)
    assert usable.shape == (0,)


def test_no_row_depends_on_the_captions_beside_it(model: TextModel) -> None:
    together, _ = model.embed(CAPTIONS)
    alone = np.concatenate([model.embed([caption])[0] for caption in CAPTIONS])
    assert np.array_equal(together, alone)


@pytest.mark.parametrize("captions", [[], ["", "!!"], ["cada palabra una vez"]])
def test_too_little_text_is_said_so(captions: list[str], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="Too little text"):
        train_text_model(captions, tmp_path / "text.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_failing_training_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="fastText could not train"):
        train_text_model(CAPTIONS, tmp_path / "text.bin", width=-1)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_model_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"text\.bin"):
        TextModel.load(tmp_path / "text.bin")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.bin").write_bytes(b"not a model" * 50)
    with pytest.raises(BundleError, match="not a fastText model"):
        TextModel.load(tmp_path / "text.bin")


@pytest.mark.parametrize(
    ("words", "buckets"),
    [(0, 4096), (512, 4096), (513, 8192), (10_000, 131_072), (10**7, 131_072)],
)
def test_buckets_grow_with_the_vocabulary_within_bounds(words: int, buckets: int) -> None:
    assert choose_buckets(words) == buckets


LABELS = ["comida" if any(caption.startswith(food) for food in FOOD) else "deporte"
          for caption in CAPTIONS]  # fmt: skip


def test_supervised_training_tells_its_labels_apart(tmp_path: Path) -> None:
    out = tmp_path / "text.bin"
    ref = train_text_model(CAPTIONS, out, kind="supervised", labels=LABELS, width=8, epochs=50)
    vectors, usable = TextModel.load(out).embed(CAPTIONS)
    assert usable.all()
    food = vectors[[label == "comida" for label in LABELS]].mean(axis=0)
    sport = vectors[[label == "deporte" for label in LABELS]].mean(axis=0)
    nearer = np.linalg.norm(vectors - food, axis=1) < np.linalg.norm(vectors - sport, axis=1)
    assert nearer.tolist() == [label == "comida" for label in LABELS]
    assert TextModel.load(out).ref == ref
    assert ref.name == "fasttext-supervised"


def test_supervised_training_repeats_to_the_byte(tmp_path: Path) -> None:
    for name in ("one.bin", "two.bin"):
        train_text_model(
            CAPTIONS, tmp_path / name, kind="supervised", labels=LABELS, width=8, epochs=3, seed=5
        )
    assert (tmp_path / "one.bin").read_bytes() == (tmp_path / "two.bin").read_bytes()


@pytest.mark.parametrize(("kind", "labels"), [("supervised", None), ("cbow", LABELS)])
def test_labels_go_with_the_supervised_kind_alone(
    kind: Kind, labels: list[str] | None, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="Labels go with supervised"):
        train_text_model(CAPTIONS, tmp_path / "text.bin", kind=kind, labels=labels)
