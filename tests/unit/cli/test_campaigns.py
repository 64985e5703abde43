"""afin campaigns saves rankings and shows who fits."""

from pathlib import Path

import pytest

from tasks.context import Context
from tests.pages import POSTS_EACH, populate
from tests.unit.cli.conftest import Afin


@pytest.fixture(autouse=True)
def world(resources: Context, tmp_path: Path) -> None:
    populate(resources, tmp_path)


def test_a_campaign_is_saved_ranked_and_forgotten(afin: Afin) -> None:
    words = ("campaigns", "save", "Cocina", "--weight", "comida=3", "--weight", "deporte=1")
    saved = afin(*words, "--min-posts", POSTS_EACH, "--min-followers", "0", "--json").document
    assert saved["weights"] == {"comida": 3.0, "deporte": 1.0}
    assert afin("campaigns", "list", "--json").document == [saved]
    ranked = afin("campaigns", "rank", saved["id"], "--json").document
    scores = [one["score"] for one in ranked]
    assert scores == sorted(scores, reverse=True)
    assert all(one["usable_posts"] >= POSTS_EACH for one in ranked)
    assert ranked
    assert ranked[0]["username"] in afin("campaigns", "rank", saved["id"]).out
    assert afin("campaigns", "delete", saved["id"]).code == 0
    assert afin("campaigns", "rank", saved["id"]).code == 1


def test_whom_too_few_posts_speak_for_is_left_out(afin: Afin) -> None:
    words = ("campaigns", "save", "c", "--weight", "comida=1", "--min-followers", "0", "--json")
    saved = afin(*words, "--min-posts", POSTS_EACH + 1).document
    assert afin("campaigns", "rank", saved["id"], "--json").document == []


@pytest.mark.parametrize("weight", ["comida", "comida=x", "comida=0", "nadie=1"])
def test_a_weight_that_weighs_nothing_is_wrong_use(afin: Afin, weight: str) -> None:
    assert afin("campaigns", "save", "c", "--weight", weight).code == 2
