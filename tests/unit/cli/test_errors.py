"""Whatever is wrong with the surroundings, a command ends with one sentence and no traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import AfinError
from tests.adopted import adopted
from tests.unit.cli.conftest import Afin

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AFIN_DATABASE_URL", "postgresql://afin:hunter2@127.0.0.1:1/afin"),
        ("AFIN_DATABASE_URL", "mysql://afin:hunter2@127.0.0.1/afin"),
        ("AFIN_DATABASE_URL", "hunter2"),
        ("AFIN_DATABASE_URL", "sqlite:////proc/nowhere/afin.db"),
        ("AFIN_DATA_DIR", "/proc/nowhere"),
        ("AFIN_DATA_DIR", "/dev/null/nowhere"),
    ],
)
def test_a_store_that_cannot_be_opened_is_one_sentence(
    afin: Afin, tmp_path: Path, name: str, value: str
) -> None:
    with adopted({"AFIN_DATA_DIR": str(tmp_path / "data"), name: value}):
        answer = afin("accounts", "list", "--json")
    assert answer.code == 1
    assert answer.document == {"error": answer.sentence}
    assert "hunter2" not in answer.sentence


def test_a_database_file_that_is_none_is_one_sentence(afin: Afin, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data" / "afin.db").write_bytes(b"certainly no database" * 99)
    answer = afin("accounts", "list", "--json")
    assert answer.code == 1
    assert answer.document == {"error": answer.sentence}


@pytest.mark.parametrize("kind", ["scrape", "gpu", "cpu", "control", "train"])
def test_a_worker_without_a_broker_says_how_to_start_one(afin: Afin, kind: str) -> None:
    answer = afin("worker", kind, "--json")
    assert answer.code == 1
    assert answer.document == {"error": answer.sentence}
    assert "'afin up'" in answer.sentence


def test_an_unknown_kind_of_worker_is_wrong_use(afin: Afin) -> None:
    answer = afin("worker", "magic", "--json")
    assert answer.code == 2
    assert answer.document == {"error": answer.sentence}
    assert "scrape, gpu, train, cpu, control" in answer.sentence


def test_flower_without_a_broker_says_how_to_start_one(afin: Afin) -> None:
    answer = afin("flower", "--json")
    assert answer.code == 1
    assert answer.document == {"error": answer.sentence}


def test_flower_is_not_opened_to_the_network_without_a_password(afin: Afin, tmp_path: Path) -> None:
    environment = {"AFIN_DATA_DIR": str(tmp_path / "data"), "AFIN_FLOWER_ADDRESS": "0.0.0.0"}  # noqa: S104 - what must be refused
    with adopted(environment):
        answer = afin("flower")
    assert answer.code == 2
    assert "AFIN_FLOWER_AUTH" in answer.sentence


def test_a_demo_empties_nobody_elses_folder(afin: Afin, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("keep me")
    answer = afin("demo", "--folder", tmp_path)
    assert answer.code == 2
    assert (tmp_path / "thesis.txt").read_text() == "keep me"


def test_no_message_of_ours_lacks_its_full_stop(afin: Afin) -> None:
    with pytest.raises(AfinError, match=r"\.$"):
        raise AfinError("For comparison: this one has it.")


def test_settings_that_cannot_be_used_are_told_before_anything_is_imported(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "cli.main", "accounts", "list", "--json"],
        env={"AFIN_DATA_DIR": str(tmp_path), "AFIN_SHARD_POSTS": "hunter2"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert "AFIN_SHARD_POSTS" in line
    assert "hunter2" not in line + ended.stdout
    assert line in ended.stdout
