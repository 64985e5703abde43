"""Which accounts a bulk run is about, what it would cost, and what changed between two."""

from pathlib import Path

import pytest

from schemas.verdicts import Verdict
from storage.accounts import account_versions
from storage.verdicts import save_verdicts
from tasks.context import Context
from tests.unit.cli.conftest import Afin
from tests.unit.storage.builders import new_post
from tests.unit.tasks.builders import (
    add_account,
    keep_vectors,
    publish_toy_bundle,
    shows,
    start_run,
)


@pytest.fixture
def accounts(resources: Context, tmp_path: Path) -> tuple[int, ...]:
    """Three accounts; one photo has a vector, one has none."""
    bundle_id = publish_toy_bundle(resources, tmp_path)
    ana = add_account(resources, "ana", [new_post("p1", photos=shows("a"))], photos=["a"])
    eva = add_account(resources, "eva", [new_post("p1", photos=shows("b"))], photos=["b"])
    luz = add_account(resources, "luz", [])
    keep_vectors(resources, bundle_id, photos=["a"])
    return ana, eva, luz


def judge(resources: Context, tmp_path: Path, found: dict[int, tuple[str, ...]]) -> int:
    """Store verdicts of a run as a worker would; returns the run."""
    bundle_id = publish_toy_bundle(resources, tmp_path)
    run = start_run(resources, bundle_id, list(found))
    verdict = Verdict(
        method="nn", categories=(), shares=(), usable=3, unknown=0, lacking=0, enough=True
    )
    with resources.database.write() as connection:
        save_verdicts(
            connection,
            bundle_id=bundle_id,
            run_id=run.id,
            concluded={
                key: [verdict.model_copy(update={"categories": categories})]
                for key, categories in found.items()
            },
            posts_at=account_versions(connection, list(found)),
        )
    return run.id


def test_a_dry_run_counts_what_there_would_be_to_do(afin: Afin, accounts: tuple[int, ...]) -> None:
    document = afin("reclassify", "--all", "--dry-run", "--json").document
    del document["bundle"]
    assert document == {
        "accounts": 3,
        "posts": 2,
        "photos": 2,
        "cached": 1,
        "to_fetch": 0,
        "seconds": None,
    }


def test_stale_are_those_not_judged_since_their_posts_changed(
    afin: Afin, resources: Context, accounts: tuple[int, ...], tmp_path: Path
) -> None:
    ana, eva, luz = accounts
    judge(resources, tmp_path, {ana: (), eva: (), luz: ()})
    assert afin("reclassify", "--stale", "--json").document == {"run": None}
    add_account(resources, "eva", [new_post("p2")])
    assert afin("reclassify", "--stale", "--dry-run", "--json").document["accounts"] == 1


def test_a_category_is_that_of_the_newest_verdict(
    afin: Afin, resources: Context, accounts: tuple[int, ...], tmp_path: Path
) -> None:
    ana, eva, _luz = accounts
    judge(resources, tmp_path, {ana: ("comida",), eva: ("comida",)})
    judge(resources, tmp_path, {eva: ("deporte",)})
    document = afin("reclassify", "--category", "comida", "--dry-run", "--json").document
    assert document["accounts"] == 1


def test_names_come_from_a_file_and_unknown_ones_are_told(
    afin: Afin, accounts: tuple[int, ...], tmp_path: Path
) -> None:
    names = tmp_path / "names.txt"
    names.write_text("@Ana\n# a remark\n\nnobody\nluz  # beside\n")
    answer = afin("reclassify", "--file", names, "--dry-run", "--json")
    assert answer.document["accounts"] == 2
    assert "nobody" in answer.err


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--all", "--stale"],
        ["--file", "/nowhere/names.txt"],
        ["--category", "nothing"],
        ["--category", "five"],
    ],
)
def test_wrong_use_is_told_in_a_sentence(
    afin: Afin, accounts: tuple[int, ...], options: list[str]
) -> None:
    answer = afin("reclassify", *options)
    assert answer.code == 2
    assert answer.sentence


def test_what_flipped_between_two_runs_is_listed(
    afin: Afin, resources: Context, accounts: tuple[int, ...], tmp_path: Path
) -> None:
    ana, eva, luz = accounts
    first = judge(resources, tmp_path, {ana: ("comida",), eva: ("deporte",), luz: ()})
    second = judge(resources, tmp_path, {ana: ("comida", "deporte"), eva: ("deporte",)})
    document = afin("runs", "diff", first, second, "--json").document
    assert document == {
        "both": 2,
        "flipped": [
            {
                "username": "ana",
                "method": "nn",
                "before": ["comida"],
                "after": ["comida", "deporte"],
            }
        ],
        "only_before": ["luz"],
        "only_after": [],
    }


def test_a_run_that_gave_nobody_up_is_not_retried(
    afin: Afin, resources: Context, accounts: tuple[int, ...], tmp_path: Path
) -> None:
    run = judge(resources, tmp_path, {accounts[0]: ()})
    answer = afin("runs", "retry", run, "--failed")
    assert answer.code == 2
    assert "nothing to try again" in answer.sentence


def test_a_new_secret_is_one_that_afin_takes(afin: Afin) -> None:
    from pipelines.webhooks import parse_secrets

    text = afin("events", "secret", "--json").document["secret"]
    assert len(parse_secrets(text)["default"][0]) == 32


def test_nothing_dead_is_an_empty_list(afin: Afin) -> None:
    assert afin("dead", "list", "--json").document == []
    assert afin("deliveries", "list", "--json").document == []
    assert afin("events", "list", "--json").document == []
