"""afin doctor says what there is, what is missing, and never a password."""

from pathlib import Path

import pytest

from tests.adopted import adopted
from tests.unit.cli.conftest import Afin


def findings(afin: Afin) -> dict[str, dict[str, str]]:
    return {one["what"]: one for one in afin("doctor", "--json").document}


def test_on_a_fresh_folder_nothing_has_to_be_mended(afin: Afin) -> None:
    answer = afin("doctor", "--json")
    assert answer.code == 0
    states = {one["what"]: one["state"] for one in answer.document}
    assert "wrong" not in states.values()
    assert {"python", "torch", "celery", "device", "database", "blob store", "broker"} <= set(
        states
    )


def test_a_broker_that_does_not_run_is_worth_a_note(afin: Afin) -> None:
    broker = findings(afin)["broker"]
    assert broker["state"] == "note"
    assert "'afin up'" in broker["detail"]


def test_the_weights_that_lie_here_are_named(afin: Afin) -> None:
    found = findings(afin)
    assert found["weights of efficientnet_lite0"]["state"] == "ok"
    assert "weights of resnet34" in found


def test_a_person_gets_a_table(afin: Afin) -> None:
    answer = afin("doctor")
    assert answer.code == 0
    assert answer.out.splitlines()[0].split() == ["what", "state", "detail"]


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("AFIN_DATABASE_URL", "postgresql://afin:hunter2@127.0.0.1:1/afin", "database"),
        ("AFIN_BROKER_URL", "redis://:hunter2@127.0.0.1:1/0", "broker"),
        ("AFIN_BLOB_URL", "nothing-of-the-kind://hunter2@somewhere", "blob store"),
        ("AFIN_BLOB_URL", "/proc/nowhere", "blob store"),
        ("AFIN_DEVICE", "cuda:99", "device"),
    ],
)
def test_what_cannot_be_reached_has_to_be_mended(
    afin: Afin, tmp_path: Path, name: str, value: str, what: str
) -> None:
    with adopted({"AFIN_DATA_DIR": str(tmp_path / "data"), name: value}):
        answer = afin("doctor", "--json")
    assert answer.code == 1
    wrong = [one for one in answer.document if one["state"] == "wrong"]
    assert [one["what"] for one in wrong] == [what]
    assert wrong[0]["detail"].endswith(".")
    assert "hunter2" not in answer.out + answer.err
