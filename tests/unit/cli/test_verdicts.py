"""afin classify, reclassify and verdicts, as far as they go without workers."""

import csv
import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from schemas.verdicts import CategoryShare, Verdict
from storage.verdicts import save_verdicts
from tasks.context import Context
from tests.unit.cli.conftest import Afin
from tests.unit.storage.builders import new_post
from tests.unit.tasks.builders import add_account, publish_toy_bundle, start_run


def share(category: str, posts: int, *, chosen: bool, evidence: tuple[int, ...]) -> CategoryShare:
    return CategoryShare(
        category=category,
        posts=posts,
        share=posts / 3,
        low=0.1,
        high=0.9,
        threshold=0.28,
        chosen=chosen,
        evidence=evidence,
    )


VERDICT = Verdict(
    method="nn",
    categories=("comida",),
    shares=(
        share("comida", 2, chosen=True, evidence=(2, 1)),
        share("deporte", 0, chosen=False, evidence=()),
    ),
    usable=3,
    unknown=1,
    lacking=1,
    enough=True,
)
NOTHING = VERDICT.model_copy(update={"categories": (), "shares": ()})


@pytest.fixture
def concluded(resources: Context, tmp_path: Path) -> str:
    """Two accounts with verdicts and one without; returns the bundle that judged them."""
    bundle_id = publish_toy_bundle(resources, tmp_path)
    posts = [new_post("p1"), new_post("p2"), new_post("p3")]
    members = [add_account(resources, name, posts) for name in ("ana", "eva", "luz")]
    run = start_run(resources, bundle_id, members)
    with resources.database.write() as connection:
        found = {members[0]: [VERDICT], members[1]: [NOTHING]}
        save_verdicts(connection, bundle_id=bundle_id, run_id=run.id, concluded=found)
    return bundle_id


THESIS = [
    {"username": "ana", "categories": {"nn": ["comida"]}},
    {"username": "eva", "categories": {"nn": []}},
]


@pytest.mark.parametrize("extra", [[], ["--json"], ["--format", "json"]])
def test_verdicts_are_exported_in_the_form_of_the_thesis(
    afin: Afin, concluded: str, extra: list[str]
) -> None:
    answer = afin("verdicts", "export", *extra)
    assert (answer.code, answer.err) == (0, "")
    assert answer.document == THESIS


def test_json_has_one_username_a_line(afin: Afin, concluded: str) -> None:
    lines = afin("verdicts", "export").out.splitlines()
    assert sum('"username"' in line for line in lines) == 2


def test_with_evidence_a_verdict_names_what_it_rests_on(afin: Afin, concluded: str) -> None:
    document = afin("verdicts", "export", "--evidence").document[0]
    assert document["bundle"] == concluded
    evidence = document["evidence"]["nn"]
    assert (evidence["usable_posts"], evidence["unknown_posts"], evidence["lacking_posts"]) == (
        3,
        1,
        1,
    )
    assert evidence["shares"]["comida"]["evidence"] == ["p2", "p1"]
    assert evidence["shares"]["comida"]["threshold"] == 0.28
    assert not evidence["shares"]["deporte"]["chosen"]


def test_csv_has_a_row_an_account(afin: Afin, concluded: str) -> None:
    rows = list(csv.DictReader(io.StringIO(afin("verdicts", "export", "--format", "csv").out)))
    assert [(row["username"], row["categories"], row["usable"]) for row in rows] == [
        ("ana", "comida", "3"),
        ("eva", "", "3"),
    ]


def test_parquet_holds_what_csv_holds(afin: Afin, concluded: str, tmp_path: Path) -> None:
    out = tmp_path / "verdicts.parquet"
    answer = afin("verdicts", "export", "--format", "parquet", "--out", out, "--json")
    assert answer.document == {"written": str(out), "verdicts": 2}
    rows = pq.read_table(out).to_pylist()
    assert [(row["username"], row["categories"], row["bundle"]) for row in rows] == [
        ("ana", ["comida"], concluded),
        ("eva", [], concluded),
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--format", "parquet"],
        ["--format", "csv", "--evidence"],
        ["--format", "csv", "--json"],
        ["--out", "/nowhere/at/all.json"],
    ],
)
def test_an_export_that_makes_no_sense_is_refused(
    afin: Afin, concluded: str, arguments: list[str]
) -> None:
    answer = afin("verdicts", "export", *arguments)
    assert answer.code == 2
    assert answer.sentence
    assert "username" not in answer.out


def test_without_verdicts_the_export_is_an_empty_list(afin: Afin) -> None:
    assert afin("verdicts", "export", "--json").document == []


@pytest.mark.parametrize("command", [["classify", "ana"], ["reclassify", "--all"]])
def test_without_a_bundle_nobody_is_classified(afin: Afin, command: list[str]) -> None:
    answer = afin(*command, "--wait", "--json")
    assert answer.code == 1
    assert answer.document == {"error": answer.sentence}
    assert "'afin train'" in answer.sentence


def test_an_unknown_account_is_not_classified(afin: Afin, concluded: str) -> None:
    answer = afin("classify", "ana", "nobody", "--json")
    assert answer.code == 1
    assert "No account named 'nobody'" in answer.sentence


@pytest.mark.parametrize("command", [["classify", "ana"], ["reclassify", "--all"]])
def test_without_a_broker_the_command_says_how_to_start_one(
    afin: Afin, concluded: str, command: list[str]
) -> None:
    answer = afin(*command, "--json")
    assert answer.code == 1
    assert answer.document == {"error": answer.sentence}
    assert "'afin up'" in answer.sentence


def test_reclassifying_has_to_be_asked_for_whom(afin: Afin) -> None:
    answer = afin("reclassify")
    assert answer.code == 2
    assert "--all" in answer.sentence


def test_an_unknown_bundle_judges_nobody(afin: Afin, concluded: str) -> None:
    answer = afin("classify", "ana", "--bundle", "zz")
    assert answer.code == 1
    assert "'zz' names no bundle" in answer.sentence
