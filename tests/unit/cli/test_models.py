"""afin models and afin train, as far as they go without workers."""

import json
from pathlib import Path

import pytest

from schemas.bundles import BundleState
from storage.bundles import add_bundle, find_bundle
from tasks.context import Context
from tests.unit.cli.conftest import Afin
from tests.unit.storage.builders import manifest
from tests.unit.tasks.builders import publish_toy_bundle


@pytest.fixture
def two_bundles(resources: Context) -> tuple[str, str]:
    with resources.database.write() as connection:
        add_bundle(connection, "a1b2c3", manifest(0))
        add_bundle(connection, "a1f0f0", manifest(1))
    return "a1b2c3", "a1f0f0"


def test_without_a_bundle_the_list_is_empty_and_says_what_to_do(afin: Afin) -> None:
    assert afin("models", "list", "--json").document == []
    answer = afin("models", "list")
    assert (answer.code, answer.out) == (0, "")
    assert "'afin train'" in answer.err


def test_the_first_bundle_is_active_and_the_next_a_candidate(
    afin: Afin, two_bundles: tuple[str, str]
) -> None:
    listed = afin("models", "list", "--json").document
    assert [(one["bundle"], one["state"]) for one in listed] == [
        ("a1f0f0", "candidate"),
        ("a1b2c3", "active"),
    ]


def test_a_bundle_is_named_by_the_beginning_of_its_id(
    afin: Afin, two_bundles: tuple[str, str]
) -> None:
    document = afin("models", "show", "a1f", "--json").document
    assert document["bundle"] == "a1f0f0"
    assert document["manifest"]["classes"] == ["comida", "deporte"]


def test_a_bundle_shows_all_it_says_of_itself_to_people_too(
    afin: Afin, resources: Context, tmp_path: Path
) -> None:
    bundle_id = publish_toy_bundle(resources, tmp_path)
    answer = afin("models", "show", bundle_id)
    assert answer.code == 0
    assert "share_thresholds" in answer.out


@pytest.mark.parametrize("command", ["show", "promote"])
@pytest.mark.parametrize(("name", "what"), [("zz", "no bundle"), ("a1", "several bundles")])
def test_a_name_for_no_bundle_or_several_is_refused(
    afin: Afin, two_bundles: tuple[str, str], command: str, name: str, what: str
) -> None:
    answer = afin("models", command, name, "--json")
    assert answer.code == 1
    assert answer.document == {"error": answer.sentence}
    assert f"'{name}' names {what}: 'afin models list'" in answer.sentence


def test_promoting_retires_the_bundle_that_was_active(
    afin: Afin, resources: Context, two_bundles: tuple[str, str]
) -> None:
    old, new = two_bundles
    assert afin("models", "promote", new, "--json").document["state"] == "active"
    with resources.database.read() as connection:
        assert find_bundle(connection).id == new
        assert find_bundle(connection, old).state is BundleState.RETIRED


@pytest.mark.parametrize("categories", ["kayak", "five,comida", ","])
def test_an_unknown_category_is_wrong_use(afin: Afin, categories: str) -> None:
    answer = afin("train", "--categories", categories, "--json")
    assert answer.code == 2
    assert answer.document == {"error": answer.sentence}
    assert "five, eight, thirteen" in answer.sentence


def test_training_without_photos_says_how_many_are_needed(afin: Afin) -> None:
    answer = afin("train")
    assert answer.code == 1
    assert "two categories with 5 photos each" in answer.sentence
    assert "'afin import photos FOLDER --source NAME'" in answer.sentence


def test_scoring_without_a_model_says_what_to_do(afin: Afin) -> None:
    answer = afin("evaluate", "--json")
    assert answer.code == 1
    assert "'afin train'" in json.loads(answer.out)["error"]


def test_scoring_without_truth_says_what_to_do(afin: Afin, two_bundles: tuple[str, str]) -> None:
    answer = afin("evaluate")
    assert answer.code == 2
    assert "'afin import labels'" in answer.sentence
