"""Every command explains itself and can speak JSON."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from cli.commands import app
from tests.unit.cli.conftest import Afin


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        here = (*path, name)
        if hasattr(command, "commands"):
            yield from commands(command, here)
        else:
            yield here, command


EVERY = dict(commands(typer.main.get_command(app)))
GROUPS = sorted({path[:-1] for path in EVERY})

NAMED_IN_THE_ISSUE = [
    "up", "worker", "doctor", "import photos", "import accounts", "import labels",
    "accounts list", "accounts show", "accounts delete", "train", "models list", "models show",
    "models promote", "classify", "reclassify", "verdicts export", "demo",
]  # fmt: skip


def test_every_command_that_was_asked_for_exists() -> None:
    assert {tuple(name.split()) for name in NAMED_IN_THE_ISSUE} <= set(EVERY)


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_a_command_explains_itself_and_its_options(afin: Afin, path: tuple[str, ...]) -> None:
    answer = afin(*path, "--help")
    assert answer.code == 0
    assert answer.err == ""
    assert f"Usage: afin {' '.join(path)}" in answer.out
    options = [one for one in EVERY[path].params if one.param_type_name == "option"]
    assert [one.name for one in options if not one.help] == []


@pytest.mark.parametrize("path", GROUPS, ids=" ".join)
def test_a_group_lists_its_commands(afin: Afin, path: tuple[str, ...]) -> None:
    answer = afin(*path, "--help")
    assert answer.code == 0
    for name in {one[len(path)] for one in EVERY if one[: len(path)] == path}:
        assert f" {name} " in answer.out


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_every_command_takes_json(path: tuple[str, ...]) -> None:
    options = {option for parameter in EVERY[path].params for option in parameter.opts}
    assert "--json" in options


@pytest.mark.parametrize(
    "arguments",
    [
        ("fly",),
        ("accounts", "fly"),
        ("accounts", "list", "--colour"),
        ("accounts", "list", "--limit", "many"),
        ("accounts", "list", "--limit", "0"),
        ("accounts", "show"),
        ("import", "photos", "here"),
        ("verdicts", "export", "--format", "xml"),
        ("classify",),
        ("demo", "--photos", "1"),
    ],
    ids=" ".join,
)
def test_wrong_use_is_one_sentence_and_exit_code_2(afin: Afin, arguments: tuple[str, ...]) -> None:
    answer = afin(*arguments)
    assert answer.code == 2
    assert answer.sentence
    assert answer.out == ""


def test_wrong_use_with_json_says_so_in_one_document(afin: Afin) -> None:
    answer = afin("accounts", "show", "--json")
    assert answer.code == 2
    assert answer.document == {"error": answer.sentence}
