"""afin accounts: what is known is listed, shown and erased."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from storage.photos import photos_of_account
from storage.verdicts import save_outcomes, save_verdicts
from tasks.context import Context
from tests.unit.cli.conftest import Afin
from tests.unit.pipelines.vision import drawing
from tests.unit.tasks.builders import publish_toy_bundle, start_run

PHOTO = drawing.save(drawing.textured(), "JPEG")
CAPTION = "¡Qué [red]rico[/b]! 🍲 :smile: \x1b[2J"


@pytest.fixture(autouse=True)
def two_accounts(resources: Context, afin: Afin, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(PHOTO)
    (tmp_path / "cut.jpg").write_bytes(PHOTO[: len(PHOTO) // 2])
    posts = [
        {"id": "p1", "photos": ["a.jpg", "cut.jpg"], "caption": CAPTION},
        {"id": "p2", "caption": "=1+1"},
    ]
    accounts = [
        {"username": "ana", "followers": 5000, "posts": posts},
        {"username": "eva", "posts": [{"id": "p1", "photos": ["a.jpg"]}]},
    ]
    path = tmp_path / "accounts.jsonl"
    path.write_text("\n".join(json.dumps(one) for one in accounts), "utf-8")
    assert afin("import", "accounts", path).code == 0


def conclude(resources: Context, folder: Path, afin: Afin) -> None:
    """Give ana a verdict, judged in this process."""
    bundle_id = publish_toy_bundle(resources, folder)
    run = start_run(resources, bundle_id, [1])
    bundle = resources.bundle(bundle_id)
    with resources.database.write() as connection:
        outcomes = bundle.judge(_no_vectors(bundle))
        save_outcomes(connection, bundle_id, "nn", outcomes)
        verdict = bundle.conclude(outcomes)
        save_verdicts(connection, bundle_id=bundle_id, run_id=run.id, concluded={1: [verdict]})


def _no_vectors(bundle: Any) -> Any:
    import numpy as np

    from pipelines.verdict import PostVectors

    return PostVectors(
        post_ids=[1, 2],
        photos=np.zeros((0, bundle.manifest.backbone.width), np.float32),
        owners=np.zeros(0, np.int64),
        text=np.zeros((2, bundle.network.text.width), np.float32),
        has_text=np.zeros(2, np.bool_),
    )


def test_accounts_are_listed_with_what_is_known(afin: Afin) -> None:
    answer = afin("accounts", "list", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.document == [
        {"username": "ana", "followers": 5000, "posts": 2, "categories": None},
        {"username": "eva", "followers": None, "posts": 1, "categories": None},
    ]


def test_a_list_goes_on_where_the_last_one_ended(afin: Afin) -> None:
    answer = afin("accounts", "list", "--limit", 1)
    assert "ana" in answer.out
    assert "afin accounts list --after ana" in answer.err
    assert [
        one["username"] for one in afin("accounts", "list", "--after", "ana", "--json").document
    ] == ["eva"]


def test_an_account_is_shown_with_its_posts_and_their_problems(afin: Afin) -> None:
    document = afin("accounts", "show", "@Ana", "--json").document
    assert (document["username"], document["followers"], document["verdict"]) == ("ana", 5000, None)
    first, second = document["posts"]
    assert first["caption"] == CAPTION
    assert [place["problem"] for place in first["photos"]] == [None, "truncated"]
    assert second["photos"] == []


def test_a_caption_is_printed_as_it_stands_but_steers_no_terminal(afin: Afin) -> None:
    answer = afin("accounts", "show", "ana")
    assert answer.code == 0
    assert "¡Qué [red]rico[/b]! 🍲 :smile:" in answer.out
    assert "\x1b" not in answer.out
    assert "truncated" in answer.out


def test_a_concluded_account_is_listed_and_shown_with_its_verdict(
    afin: Afin, resources: Context, tmp_path: Path
) -> None:
    conclude(resources, tmp_path, afin)
    assert afin("accounts", "list", "--json").document[0]["categories"] == []
    verdict = afin("accounts", "show", "ana", "--json").document["verdict"]
    assert verdict["verdicts"][0]["lacking"] == 2
    assert "comida" in afin("accounts", "show", "ana").out


@pytest.mark.parametrize("command", ["show", "delete"])
def test_an_unknown_account_is_told_with_what_to_do(afin: Afin, command: str) -> None:
    answer = afin("accounts", command, "nobody")
    assert answer.code == 1
    assert answer.out == ""
    assert "No account named 'nobody'" in answer.sentence
    assert "'afin accounts list'" in answer.sentence


def test_an_unknown_account_with_json_is_one_document(afin: Afin) -> None:
    answer = afin("accounts", "show", "nobody", "--json")
    assert answer.code == 1
    assert answer.document == {"error": answer.sentence}


def test_erasing_takes_the_account_and_leaves_what_others_show(
    afin: Afin, resources: Context
) -> None:
    with resources.database.read() as connection:
        (shown,) = photos_of_account(connection, 1)
    answer = afin("accounts", "delete", "ana", "--yes", "--json")
    assert answer.document == {"deleted": "ana", "photos": 0}
    assert resources.blobs.read_photo(shown) == PHOTO
    assert [one["username"] for one in afin("accounts", "list", "--json").document] == ["eva"]


def test_the_last_account_that_shows_a_photo_takes_it_along(afin: Afin, resources: Context) -> None:
    with resources.database.read() as connection:
        (shown,) = photos_of_account(connection, 1)
    afin("accounts", "delete", "ana", "--yes")
    assert afin("accounts", "delete", "eva", "--yes", "--json").document["photos"] == 1
    assert not resources.blobs.exists(f"photos/{shown[:2]}/{shown[2:4]}/{shown}")


def test_a_concluded_account_can_be_erased(afin: Afin, resources: Context, tmp_path: Path) -> None:
    conclude(resources, tmp_path, afin)
    assert afin("accounts", "delete", "ana", "--yes").code == 0
    assert afin("verdicts", "export", "--json").document == []


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_nothing_is_erased_without_a_yes(
    afin: Afin, extra: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    answer = afin("accounts", "delete", "ana", *extra)
    assert answer.code != 0
    assert len(afin("accounts", "list", "--json").document) == 2
