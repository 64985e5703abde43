"""Accounts from JSON lines and JSON lists."""

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources import records
from pipelines.sources.accounts import read_accounts
from schemas.errors import SourceError
from schemas.posts import Problem, SourceAccount, SourcePhoto, SourcePost


def write(folder: Path, *lines: object, name: str = "accounts.jsonl") -> Path:
    path = folder / name
    text = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("\n".join(text), encoding="utf-8")
    return path


def read(path: Path, max_caption_chars: int = 100) -> tuple[list[SourceAccount], list[Problem]]:
    items = list(read_accounts(path, max_caption_chars=max_caption_chars))
    accounts = [item for item in items if isinstance(item, SourceAccount)]
    return accounts, [item for item in items if isinstance(item, Problem)]


def read_post(folder: Path, **post: Any) -> SourcePost:
    accounts, problems = read(write(folder, {"username": "ana", "posts": [{"id": "1", **post}]}))
    assert not problems
    return accounts[0].posts[0]


def test_an_account_is_read_with_everything_it_says(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    post = {
        "id": "7",
        "photos": ["a.jpg", "https://example.org/b.jpg"],
        "caption": "Qué día ☀",
        "posted_at": "2026-01-05T12:00:00Z",
        "likes": 3,
        "comments": 0,
        "category": "animal",
    }
    line = {"username": "@Ana", "followers": 5, "categories": ["animal"], "posts": [post]}
    accounts, problems = read(write(tmp_path, line))
    assert not problems
    assert accounts == [
        SourceAccount(
            username="ana",
            followers=5,
            truth=("animal",),
            posts=(
                SourcePost(
                    external_id="7",
                    caption="Qué día ☀",
                    photos=(
                        SourcePhoto(path=(tmp_path / "a.jpg").resolve()),
                        SourcePhoto(url="https://example.org/b.jpg"),
                    ),
                    posted_at=datetime(2026, 1, 5, 12, tzinfo=UTC),
                    likes=3,
                    comments=0,
                    truth=("animal",),
                ),
            ),
        )
    ]


@pytest.mark.parametrize(
    ("extra", "truth"),
    [({}, None), ({"categories": None}, None), ({"categories": []}, ()),
     ({"categories": ["otra"]}, ()), ({"categories": ["Aire Libre"]}, ("aire-libre",))],
)  # fmt: skip
def test_no_truth_differs_from_the_truth_that_it_is_about_nothing(
    tmp_path: Path, extra: dict[str, object], truth: tuple[str, ...] | None
) -> None:
    accounts, _ = read(write(tmp_path, {"username": "ana", **extra}))
    assert accounts[0].truth == truth


def test_an_account_labelled_only_with_unknown_categories_is_set_aside(tmp_path: Path) -> None:
    accounts, problems = read(write(tmp_path, {"username": "ana", "categories": ["autos"]}))
    assert accounts[0].truth is None
    assert [problem.reason for problem in problems] == ["unknown-category"]


def test_a_post_about_nothing_of_ours_has_an_empty_truth(tmp_path: Path) -> None:
    assert read_post(tmp_path, category="otra").truth == ()


@pytest.mark.parametrize(
    ("post", "reason"),
    [
        ({"posted_at": "ayer"}, "invalid-date"),
        ({"likes": -1}, "invalid-likes"),
        ({"likes": "1e999"}, "invalid-likes"),
        ({"comments": 2**40}, "invalid-comments"),
        ({"caption": "x" * 101}, "caption-cut"),
        ({"caption": ["x"]}, "invalid-caption"),
        ({"category": "autos"}, "unknown-category"),
        ({"category": 3}, "invalid-categories"),
        ({"photos": ["../x.jpg"]}, "outside-folder"),
        ({"photos": ["none.jpg"]}, "missing-file"),
        ({"photos": [None]}, "invalid-photo"),
        ({"photos": {"a": 1}}, "invalid-photo"),
        ({"photos": ["file:///etc/passwd"]}, "unsupported-url"),
        ({"photos": ["data:image/png;base64,AAAA"]}, "unsupported-url"),
    ],
)
def test_a_bad_value_is_noted_on_its_post_and_the_rest_stays(
    tmp_path: Path, post: dict[str, object], reason: str
) -> None:
    found = read_post(tmp_path, **{"caption": "Hola", **post})
    assert [problem.reason for problem in found.problems] == [reason]
    assert "1" in found.problems[0].where
    assert found.external_id == "1"


def test_a_long_caption_is_cut_at_the_limit(tmp_path: Path) -> None:
    assert read_post(tmp_path, caption="ñ" * 150).caption == "ñ" * 100


def test_nul_and_lone_surrogates_leave_the_caption(tmp_path: Path) -> None:
    assert read_post(tmp_path, caption="a\0b\ud83dc").caption == "abc"


def test_a_post_without_an_id_gets_the_same_one_at_every_import(tmp_path: Path) -> None:
    path = write(tmp_path, {"username": "ana", "posts": [{"caption": "a"}, {"caption": "b"}]})
    first, again = (read(path)[0][0].posts for _ in range(2))
    assert first == again
    assert first[0].external_id != first[1].external_id


def test_of_two_posts_with_one_id_the_first_counts(tmp_path: Path) -> None:
    posts = [{"id": 1, "caption": "uno"}, {"id": "1", "caption": "dos"}]
    accounts, problems = read(write(tmp_path, {"username": "ana", "posts": posts}))
    assert [post.caption for post in accounts[0].posts] == ["uno"]
    assert [problem.reason for problem in problems] == ["duplicate-post"]


def test_a_username_that_comes_twice_is_read_twice_and_pointed_out(tmp_path: Path) -> None:
    accounts, problems = read(write(tmp_path, {"username": "ana"}, {"username": "ANA"}))
    assert [account.username for account in accounts] == ["ana", "ana"]
    assert [problem.reason for problem in problems] == ["duplicate-username"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "bad-json"),
        ("[" * 100_000, "bad-json"),
        ('{"username": "ana", "followers": ' + "9" * 5000 + "}", "bad-json"),
        ("[1]", "not-an-account"),
        ({"posts": []}, "invalid-username"),
        ({"username": "a b"}, "invalid-username"),
        ({"username": "ana", "posts": 3}, "invalid-posts"),
        ({"username": "ana", "posts": [3]}, "invalid-post"),
        ({"username": "ana", "followers": "many"}, "invalid-followers"),
    ],
)
def test_a_bad_line_is_a_problem_and_the_next_is_read(
    tmp_path: Path, line: object, reason: str
) -> None:
    accounts, problems = read(write(tmp_path, line, {"username": "berta"}))
    assert [problem.reason for problem in problems] == [reason]
    assert problems[0].where == "accounts.jsonl:1"
    assert accounts[-1].username == "berta"


def test_a_line_too_long_to_hold_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_LINE_CHARS", 1000)
    path = write(tmp_path, {"username": "ana", "x": "y" * 5000}, {"username": "berta"})
    accounts, problems = read(path)
    assert [account.username for account in accounts] == ["berta"]
    assert [problem.reason for problem in problems] == ["line-too-long"]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_list_is_read_like_lines(tmp_path: Path, indent: int | None) -> None:
    text = json.dumps([{"username": "ana"}, {"username": "berta"}], indent=indent)
    accounts, _ = read(write(tmp_path, text, name="accounts.json"))
    assert [account.username for account in accounts] == ["ana", "berta"]


def test_json_lines_under_the_ending_json_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, {"username": "ana"}, {"username": "berta"}, name="accounts.json")
    assert len(read(path)[0]) == 2


def test_a_broken_json_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not JSON"):
        read(write(tmp_path, "[\n{", name="accounts.json"))


def test_a_file_without_a_telling_name_is_recognised(tmp_path: Path) -> None:
    assert read(write(tmp_path, {"username": "ana"}, name="export"))[0]


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no file or folder"):
        read(tmp_path / "none.jsonl")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_KEYS = ["id", "photos", "caption", "posted_at", "likes", "comments", "category"]
_POSTS = st.lists(st.dictionaries(st.sampled_from(_KEYS), _JSON), max_size=3) | _JSON
_ACCOUNTS = st.fixed_dictionaries(
    {"username": st.just("ana"), "posts": _POSTS},
    optional={"followers": _JSON, "categories": _JSON},
)


@settings(max_examples=150, deadline=None)
@given(account=_ACCOUNTS)
def test_any_json_under_our_keys_still_gives_the_account(account: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        accounts, _ = read(write(Path(folder), account))
    assert [found.username for found in accounts] == ["ana"]


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200), name=st.sampled_from(["a.jsonl", "a.json", "a.csv", "a"]))
def test_arbitrary_bytes_give_items_or_a_source_error(data: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            items = list(read_accounts(path))
        except SourceError:
            return
    assert all(isinstance(item, SourceAccount | Problem) for item in items)
