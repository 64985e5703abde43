"""afin import: what was taken in is counted, what was not is counted by reason."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Afin
from tests.unit.pipelines.vision import drawing

PHOTO = drawing.save(drawing.textured(), "JPEG")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a sound photo, a broken one, and a table and accounts that name them."""
    (tmp_path / "a.jpg").write_bytes(PHOTO)
    (tmp_path / "page.jpg").write_bytes(b"<html>")
    (tmp_path / "photos.tsv").write_text(
        "file\tcategory\na.jpg\tanimal\npage.jpg\tanimal\ngone.jpg\tanimal\na.jpg\tkayak\n", "utf-8"
    )
    account = {
        "username": "ana",
        "posts": [{"id": "p1", "photos": ["a.jpg", "page.jpg", "https://example.org/b.jpg"]}],
    }
    (tmp_path / "accounts.jsonl").write_text(json.dumps(account), "utf-8")
    (tmp_path / "labels.csv").write_text("kind,id,categories,labeller\naccount,ana,animal,eva\n")
    return tmp_path


def test_photos_are_counted_and_their_problems_by_reason(afin: Afin, folder: Path) -> None:
    document = afin("import", "photos", folder / "photos.tsv", "--source", "dev", "--json").document
    assert document["photos"] == 1
    assert document["problems"] == {"not-an-image": 1, "missing-file": 1, "unknown-category": 1}
    assert {one["reason"] for one in document["examples"]} == set(document["problems"])


def test_what_was_wrong_is_said_to_people_on_stderr(afin: Afin, folder: Path) -> None:
    answer = afin("import", "photos", folder / "photos.tsv", "--source", "dev")
    assert answer.code == 0
    assert "photos" in answer.out
    assert "3 problems" in answer.err
    assert "missing-file 1" in answer.err
    assert "gone.jpg" in answer.err


def test_accounts_are_counted_with_the_photos_still_to_be_fetched(afin: Afin, folder: Path) -> None:
    document = afin("import", "accounts", folder / "accounts.jsonl", "--json").document
    assert {name: document[name] for name in ("accounts", "posts", "photos", "to_fetch")} == {
        "accounts": 1,
        "posts": 1,
        "photos": 1,
        "to_fetch": 1,
    }
    assert document["problems"] == {"not-an-image": 1}


def test_labels_are_counted(afin: Afin, folder: Path) -> None:
    answer = afin("import", "labels", folder / "labels.csv", "--json")
    assert (answer.code, answer.document["labels"], answer.document["problems"]) == (0, 1, {})


def test_a_folder_a_category_is_taken_in(afin: Afin, tmp_path: Path) -> None:
    (tmp_path / "in" / "animal").mkdir(parents=True)
    (tmp_path / "in" / "animal" / "a.jpg").write_bytes(PHOTO)
    answer = afin("import", "photos", tmp_path / "in", "--source", "dev", "--json")
    assert answer.document["photos"] == 1


@pytest.mark.parametrize("kind", ["photos", "accounts", "labels"])
@pytest.mark.parametrize("data", [None, b"PK\x03\x04" + bytes(40), bytes(range(256)) * 8])
def test_a_file_that_cannot_be_read_is_one_sentence(
    afin: Afin, tmp_path: Path, kind: str, data: bytes | None
) -> None:
    path = tmp_path / "input.csv"
    if data is not None:
        path.write_bytes(data)
    extra = ["--source", "dev"] if kind == "photos" else []
    answer = afin("import", kind, path, *extra, "--json")
    assert answer.code == 1
    assert answer.document == {"error": answer.sentence}
    assert "input.csv" in answer.sentence


def test_importing_nothing_is_said_and_no_error(afin: Afin, tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_text("file,category\n", "utf-8")
    answer = afin("import", "photos", tmp_path / "photos.csv", "--source", "dev")
    assert answer.code == 0
    assert "nothing" in answer.out
