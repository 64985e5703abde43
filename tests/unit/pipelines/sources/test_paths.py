"""Files named by an input are found only inside its folder."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.paths import find_file, resolve_inside
from schemas.errors import PhotoError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inner = tmp_path / "inner"
    (inner / "sub").mkdir(parents=True)
    (inner / "sub" / "a.jpg").write_bytes(b"x")
    (tmp_path / "secret.jpg").write_bytes(b"x")
    return inner


@pytest.mark.parametrize("name", ["sub/a.jpg", "./sub/a.jpg", "sub/../sub/a.jpg", "sub\\a.jpg"])
def test_a_file_inside_is_found_however_it_is_written(folder: Path, name: str) -> None:
    assert find_file(folder, name) == (folder / "sub" / "a.jpg").resolve()


@pytest.mark.parametrize(
    "name",
    [
        "../secret.jpg",
        "sub/../../secret.jpg",
        "..\\secret.jpg",
        "/etc/hostname",
        "C:\\a.jpg",
        "C:a",
    ],
)
def test_a_name_that_leads_outside_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(PhotoError) as caught:
        find_file(folder, name)
    assert caught.value.reason == "outside-folder"


def test_a_sibling_whose_name_begins_alike_is_outside(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in-other").mkdir()
    assert resolve_inside(tmp_path / "in", "../in-other/a.jpg") is None


def test_a_link_that_points_outside_is_refused(folder: Path) -> None:
    (folder / "link.jpg").symlink_to(folder.parent / "secret.jpg")
    with pytest.raises(PhotoError) as caught:
        find_file(folder, "link.jpg")
    assert caught.value.reason == "outside-folder"


def test_a_folder_that_is_itself_a_link_still_holds_its_files(folder: Path) -> None:
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert find_file(link, "sub/a.jpg").is_file()


@pytest.mark.parametrize("name", ["b.jpg", "sub", "", ".", "x" * 5000, "a/" * 3000])
def test_what_is_no_file_is_missing(folder: Path, name: str) -> None:
    with pytest.raises(PhotoError) as caught:
        find_file(folder, name)
    assert caught.value.reason == "missing-file"


@given(name=st.text())
def test_whatever_the_name_the_answer_lies_inside_or_is_none(name: str) -> None:
    folder = Path(__file__).parent
    found = resolve_inside(folder, name)
    assert found is None or found.is_relative_to(folder.resolve())
