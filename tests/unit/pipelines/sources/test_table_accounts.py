"""Accounts from tables with one row a post."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.sources.accounts import read_accounts
from schemas.errors import SourceError
from schemas.posts import Problem, SourceAccount


def read(
    folder: Path, text: str, encoding: str = "utf-8"
) -> tuple[dict[str, SourceAccount], list[Problem]]:
    path = folder / "posts.csv"
    path.write_bytes(text.encode(encoding))
    items = list(read_accounts(path))
    accounts = {item.username: item for item in items if isinstance(item, SourceAccount)}
    return accounts, [item for item in items if isinstance(item, Problem)]


def test_a_spanish_table_from_excel_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "b.jpg").write_bytes(b"x")
    text = (
        "Usuario;Publicación;Descripción;Fotos;Fecha;Me gusta;Comentarios;Seguidores;Categorías\n"
        "@Ana;p1;Montaña, qué año;a.jpg|b.jpg;31/01/2026;1.234;5;10.500;Aire Libre|animal\n"
    )
    accounts, problems = read(tmp_path, text, "cp1252")
    ana = accounts["ana"]
    assert not problems
    assert (ana.followers, ana.truth) == (10_500, ("aire-libre", "animal"))
    post = ana.posts[0]
    assert (post.external_id, post.caption) == ("p1", "Montaña, qué año")
    assert [photo.path.name for photo in post.photos if photo.path] == ["a.jpg", "b.jpg"]
    assert post.posted_at == datetime(2026, 1, 31, tzinfo=UTC)
    assert (post.likes, post.comments, post.problems) == (1234, 5, ())


def test_photos_may_be_separated_by_semicolons_where_commas_separate_cells(tmp_path: Path) -> None:
    text = "username,photos\nana,https://a.org/1.jpg;https://a.org/2.jpg\n"
    accounts, _ = read(tmp_path, text)
    urls = [photo.url for photo in accounts["ana"].posts[0].photos]
    assert urls == ["https://a.org/1.jpg", "https://a.org/2.jpg"]


def test_rows_of_one_account_are_put_together_wherever_they_stand(tmp_path: Path) -> None:
    accounts, problems = read(tmp_path, "username,id\nana,1\nberta,2\nANA,3\n")
    assert [post.external_id for post in accounts["ana"].posts] == ["1", "3"]
    assert list(accounts) == ["ana", "berta"]
    assert not problems


def test_a_bad_username_costs_one_row(tmp_path: Path) -> None:
    accounts, problems = read(tmp_path, "username,id\na b,1\nana,2\n")
    assert list(accounts) == ["ana"]
    assert [(problem.where, problem.reason) for problem in problems] == [
        ("posts.csv:2", "invalid-username")
    ]


def test_a_row_that_only_names_an_account_makes_no_post(tmp_path: Path) -> None:
    accounts, _ = read(tmp_path, "username,followers,caption\nana,3000,\n")
    assert (accounts["ana"].followers, accounts["ana"].posts) == (3000, ())


def test_an_empty_category_cell_says_nothing(tmp_path: Path) -> None:
    accounts, _ = read(tmp_path, "username,id,categories\nana,1, \nberta,2,otra\n")
    assert (accounts["ana"].truth, accounts["berta"].truth) == (None, ())


def test_a_post_keeps_what_was_wrong_with_its_row(tmp_path: Path) -> None:
    accounts, _ = read(tmp_path, "username,id,fecha,photos\nana,1,ayer,../x.jpg\n")
    problems = accounts["ana"].posts[0].problems
    assert {problem.reason for problem in problems} == {"outside-folder", "invalid-date"}
    assert {problem.where for problem in problems} == {"posts.csv:2"}


def test_an_unknown_category_is_pointed_out_once_an_account(tmp_path: Path) -> None:
    accounts, problems = read(tmp_path, "username,id,categories\nana,1,autos\nana,2,autos\n")
    assert accounts["ana"].truth is None
    assert [problem.reason for problem in problems] == ["unknown-category"]


def test_a_table_without_usernames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no column username"):
        read(tmp_path, "a,b\n1,2\n")
