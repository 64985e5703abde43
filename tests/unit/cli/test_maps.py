"""afin map lays posts out here or through a worker, and writes a page or JSON."""

import json
from pathlib import Path

import pytest

from tasks.context import Context
from tests.pages import ACCOUNTS, POSTS_EACH, World, populate
from tests.unit.cli.conftest import Afin

POSTS = len(ACCOUNTS) * POSTS_EACH


@pytest.fixture
def world(resources: Context, tmp_path: Path) -> World:
    return populate(resources, tmp_path)


def test_a_map_made_here_is_told_of_and_written_as_json(
    afin: Afin, world: World, tmp_path: Path
) -> None:
    out = tmp_path / "maps" / "map.json"
    answer = afin("map", "--here", "--by", "both", "--out", out, "--json")
    assert answer.code == 0
    assert answer.document["bundle_id"] == world.bundle_id
    assert sum(group["shown"] for group in answer.document["groups"]) == POSTS
    written = json.loads(out.read_text("utf-8"))
    assert len(written["points"]) == POSTS
    assert written["state"]["view"] == "both"


@pytest.mark.parametrize(("language", "said"), [("en", "By photo"), ("es", "Por foto")])
def test_a_written_page_holds_everything_it_shows(
    afin: Afin, world: World, tmp_path: Path, language: str, said: str
) -> None:
    out = tmp_path / "map.html"
    assert afin("map", "--here", "--out", out, "--language", language).code == 0
    text = out.read_text("utf-8")
    assert said in text
    data = text.split('id="map-data">')[1].split("</script>")[0]
    document = json.loads(data)
    assert {point["photo"] for point in document["points"]} == set(document["photos"])
    assert all(one.startswith("data:image/webp;base64,") for one in document["photos"].values())
    assert 'src="/' not in text
    assert 'href="/' not in text


def test_without_workers_the_sentence_says_what_to_start(afin: Afin, world: World) -> None:
    answer = afin("map")
    assert answer.code == 1
    assert "afin up" in answer.sentence


@pytest.mark.parametrize(
    "wrong",
    [("--out", "map.pdf"), ("--by", "smell"), ("--posts", "3"), ("--language", "fr")],
    ids=" ".join,
)
def test_a_map_that_cannot_be_is_wrong_use(
    afin: Afin, world: World, wrong: tuple[str, ...]
) -> None:
    answer = afin("map", "--here", *wrong)
    assert answer.code == 2
    assert answer.sentence
