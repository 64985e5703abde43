"""Labelled photos from folders and tables."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.photos import read_labelled_photos
from schemas.errors import SourceError
from schemas.posts import LabelledPhoto, Problem


def read(path: Path) -> tuple[list[LabelledPhoto], list[tuple[str, str]]]:
    items = list(read_labelled_photos(path))
    photos = [item for item in items if isinstance(item, LabelledPhoto)]
    return photos, [(item.where, item.reason) for item in items if isinstance(item, Problem)]


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def write(folder: Path, text: str) -> Path:
    path = folder / "photos.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_folder_names_the_category_of_all_photos_below_it(tmp_path: Path) -> None:
    put(tmp_path, "animal/a.jpg", "animal/cats/b.PNG", "Aire Libre/c.webp", "otra/d.jpeg")
    photos, problems = read(tmp_path)
    assert [(photo.path.name, photo.category, photo.split) for photo in photos] == [
        ("c.webp", "aire-libre", "train"),
        ("a.jpg", "animal", "train"),
        ("b.PNG", "animal", "train"),
        ("d.jpeg", "otra", "train"),
    ]
    assert not problems


def test_what_does_not_belong_is_pointed_out_and_hidden_files_are_not(tmp_path: Path) -> None:
    put(tmp_path, "animal/a.jpg", "animal/notes.txt", "animal/.DS_Store", "animal/.thumbs/x.jpg",
        "autos/b.jpg", "readme.md", ".git/x.jpg")  # fmt: skip
    photos, problems = read(tmp_path)
    assert len(photos) == 1
    assert [reason for _, reason in problems] == [
        "not-a-photo-name", "unknown-category", "no-category",
    ]  # fmt: skip
    assert problems[0][0].endswith("animal/notes.txt")


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "outside/secret.jpg", "photos/animal/a.jpg")
    (tmp_path / "photos/animal/link.jpg").symlink_to(tmp_path / "outside/secret.jpg")
    (tmp_path / "photos/animal/linked").symlink_to(tmp_path / "outside")
    (tmp_path / "photos/comida").symlink_to(tmp_path / "outside")
    photos, problems = read(tmp_path / "photos")
    assert [photo.path.name for photo in photos] == ["a.jpg"]
    assert [reason for _, reason in problems] == ["outside-folder"] * 3


def test_a_folder_that_links_to_its_own_parent_is_read_once(tmp_path: Path) -> None:
    put(tmp_path, "animal/a.jpg")
    (tmp_path / "animal/again").symlink_to(tmp_path / "animal")
    assert len(read(tmp_path)[0]) == 1


def test_a_name_in_no_encoding_is_reported_in_text_that_can_be_stored(tmp_path: Path) -> None:
    put(tmp_path, "animal/a.jpg")
    (tmp_path / "animal" / os.fsdecode(b"\xff.txt")).write_bytes(b"x")
    _, problems = read(tmp_path)
    assert [reason for _, reason in problems] == ["not-a-photo-name"]
    assert problems[0][0].encode("utf-8")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every folder")
def test_a_folder_that_may_not_be_read_is_pointed_out(tmp_path: Path) -> None:
    put(tmp_path, "animal/a.jpg", "animal/locked/b.jpg")
    (tmp_path / "animal/locked").chmod(0)
    try:
        photos, problems = read(tmp_path)
    finally:
        (tmp_path / "animal/locked").chmod(0o700)
    assert len(photos) == 1
    assert [reason for _, reason in problems] == ["unreadable-folder"]


def test_a_folder_without_categories_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "autos/a.jpg")
    with pytest.raises(SourceError, match="no folder named after a category"):
        read(tmp_path)


def test_a_table_is_read_relative_to_itself(tmp_path: Path) -> None:
    put(tmp_path, "p/a.jpg", "p/b.jpg")
    text = (
        "file\tcategory\tsplit\tcaption\tlicence\tphotographer\tsha256\n"
        "p/a.jpg\tAnimal\ttest\tMi gata\tCC0\tAna\tabc\n"
        "p/b.jpg\totra\t\t\t\t\t\n"
    )
    photos, problems = read(write(tmp_path, text))
    assert not problems
    assert photos == [
        LabelledPhoto(
            path=(tmp_path / "p/a.jpg").resolve(),
            category="animal",
            split="test",
            caption="Mi gata",
            credit="Ana; CC0",
        ),
        LabelledPhoto(path=(tmp_path / "p/b.jpg").resolve(), category="otra"),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("../x.jpg\tanimal", "outside-folder"),
        ("/etc/passwd\tanimal", "outside-folder"),
        ("none.jpg\tanimal", "missing-file"),
        ("a.jpg\tautos", "unknown-category"),
        ("a.jpg\t", "unknown-category"),
        ("a.jpg\tanimal\tmore", "bad-row"),
    ],
)
def test_a_bad_row_is_a_problem_and_the_next_is_read(tmp_path: Path, row: str, reason: str) -> None:
    put(tmp_path, "a.jpg")
    photos, problems = read(write(tmp_path, f"file\tcategory\n{row}\na.jpg\tanimal\n"))
    assert problems == [("photos.tsv:2", reason)]
    assert len(photos) == 1


def test_a_table_without_categories_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no column category"):
        read(write(tmp_path, "file\tname\n"))


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_give_items_or_a_source_error(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photos.tsv"
        path.write_bytes(b"file\tcategory\tsplit\tcaption\n" + data)
        try:
            items = list(read_labelled_photos(path))
        except SourceError:
            return
    assert all(isinstance(item, Problem) for item in items)
