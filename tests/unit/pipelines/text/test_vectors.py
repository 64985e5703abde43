"""Pretrained word vectors: read from their text format, cut to what captions use, given on."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from pipelines.text import vectors
from pipelines.text.fasttext import TextModel, train_text_model
from pipelines.text.vectors import select_vectors
from schemas.errors import SourceError, TrainingError

VEC = """5 4
comida 1 0 0 0.5
Madrid 9 9 9 9
gol 0 1 0 0
, 7 7 7 7
tomate 1 0.25 0 0
"""
CAPTIONS = ["rica comida con tomate", "comida y tomate", "gol y gol"] * 3


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "words.vec"
    path.write_text(VEC, "utf-8")
    return path


def test_words_that_no_cleaned_caption_can_hold_are_left_out(file: Path, tmp_path: Path) -> None:
    ref = select_vectors(file, set(), tmp_path / "kept.vec")
    assert (ref.name, ref.width, ref.words) == ("words.vec", 4, 3)
    kept = (tmp_path / "kept.vec").read_text("utf-8")
    assert kept == "3 4\ncomida 1 0 0 0.5\ngol 0 1 0 0\ntomate 1 0.25 0 0\n"


def test_past_the_common_words_only_those_met_are_kept(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "MOST_COMMON", 1)
    assert select_vectors(file, {"tomate"}, tmp_path / "kept.vec").words == 2
    assert "gol" not in (tmp_path / "kept.vec").read_text("utf-8")


def test_a_compressed_file_gives_the_same(file: Path, tmp_path: Path) -> None:
    packed = tmp_path / "words.vec.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    one = select_vectors(file, set(), tmp_path / "one.vec")
    other = select_vectors(packed, set(), tmp_path / "other.vec")
    assert one.sha256 == other.sha256


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("comida 1 0 0 0\n", "does not begin with how many words"),
        ("2 4\ncomida 1 0 0 0\ngol 1 0 0\n", "Line 3 .* has 3 numbers .* header says 4"),
        ("1 2\ncomida 1 x\n", "Line 2 .* no number"),
        ("1 2\ncomida 1 nan\n", "Line 2 .* no number"),
        ("1 2\nMADRID 1 2\n", "None of the 1 words"),
        ("", "does not begin with how many words"),
    ],
)
def test_what_is_no_file_of_vectors_is_said_so(
    content: str, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "words.vec"
    path.write_text(content, "utf-8")
    with pytest.raises(SourceError, match=complaint):
        select_vectors(path, set(), tmp_path / "kept.vec")


def test_a_missing_file_and_a_broken_archive_are_said_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"name a \.vec file"):
        select_vectors(tmp_path / "none.vec", set(), tmp_path / "kept.vec")
    (tmp_path / "words.vec.gz").write_bytes(gzip.compress(VEC.encode())[:-9])
    with pytest.raises(SourceError, match="cannot be read"):
        select_vectors(tmp_path / "words.vec.gz", set(), tmp_path / "kept.vec")


def test_a_model_begins_with_the_vectors(file: Path, tmp_path: Path) -> None:
    train_text_model(CAPTIONS, tmp_path / "text.bin", width=4, epochs=1, vectors=file, min_count=1)
    model = TextModel.load(tmp_path / "text.bin")
    # The file has it with a capital, which no cleaned caption has.
    assert model.embed(["madrid"])[1].tolist() == [False]
    words = model.embed(["comida", "gol"])[0]
    begun = words / np.linalg.norm(words, axis=1, keepdims=True)
    # One epoch over nine captions moves them little; without vectors they are drawn by lot.
    assert begun[0] @ begun[1] < 0.5
    train_text_model(CAPTIONS, tmp_path / "bare.bin", width=4, epochs=1, min_count=1)
    assert (tmp_path / "bare.bin").read_bytes() != (tmp_path / "text.bin").read_bytes()


def test_words_of_the_vectors_are_known_without_a_caption(file: Path, tmp_path: Path) -> None:
    said = ["un gol y un gol"] * 2
    train_text_model(said, tmp_path / "text.bin", width=4, epochs=1, vectors=file)
    assert TextModel.load(tmp_path / "text.bin").embed(["tomate"])[1].tolist() == [True]


@pytest.mark.parametrize("kind", ["skipgram", "supervised"])
def test_vectors_of_another_width_than_the_model_are_refused(
    kind: str, file: Path, tmp_path: Path
) -> None:
    labels = ["a", "b", "a"] * 3 if kind == "supervised" else None
    with pytest.raises(TrainingError, match="have 4 values a word, and the text model 16"):
        train_text_model(
            CAPTIONS,
            tmp_path / "text.bin",
            kind=kind,  # type: ignore[arg-type]
            labels=labels,
            width=16,
            vectors=file,
        )
