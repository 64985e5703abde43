"""What the documentation tells people to type is there: commands, options, targets of make."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from cli.commands import app
from tests.unit.docs.pages import PAGES, ROOT, SHELL, blocks, inline_code

COMMAND = re.compile(r"(?:^|[\s($])afin((?: +[^\s#|&;()<>`]+(?:\|[^\s#&;()<>`]+)*)+)", re.MULTILINE)

ROOT_COMMAND: Any = get_command(app)


def check(arguments: str) -> str | None:
    """Say what is wrong with the arguments of an afin command, if something is."""
    words = shlex.split(arguments.replace("…", "X"))
    for first in words[0].split("|"):
        if wrong := _check_words([first, *words[1:]]):
            return wrong
    return None


def _check_words(words: list[str]) -> str | None:
    command, said = ROOT_COMMAND, "afin"
    while hasattr(command, "commands"):
        if not words or words[0].startswith("-"):
            return None if words in ([], ["--help"]) else f"{said} takes no {words[0]}"
        names = words.pop(0).split("|")
        if lost := [name for name in names if name not in command.commands]:
            return f"{said} has no {lost[0]}"
        command, said = command.commands[names[0]], f"{said} {names[0]}"
    known = {"--help"} | {
        name for one in command.params for name in (*one.opts, *one.secondary_opts)
    }
    for word in words:
        for option in word.split("|"):
            if option.startswith("-") and option.partition("=")[0] not in known:
                return f"{said} has no {option}"
    return None


def typed(text: str) -> list[str]:
    """The arguments of every afin command in a piece of shell."""
    whole = re.sub(r"\\\n\s*", " ", text)
    return [found[1].strip() for found in COMMAND.finditer(re.sub(r"(^|\s)#.*", "", whole))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_exists_with_its_options(page: Path) -> None:
    pieces = [one.text for one in blocks(page) if one.language in SHELL] + [
        code for code in inline_code(page) if code.startswith("afin ")
    ]
    found = [(line, check(line)) for piece in pieces for line in typed(piece)]
    assert [wrong for _line, wrong in found if wrong] == []


def test_there_are_commands_to_check_and_wrong_ones_would_be_found() -> None:
    pieces = [one.text for page in PAGES for one in blocks(page) if one.language in SHELL]
    assert sum(len(typed(piece)) for piece in pieces) > 50
    assert typed(
        'A=1 afin up &\nx="$(afin events secret)" # afin no\ndocker exec c afin doctor'
    ) == [
        "up",
        "events secret",
        "doctor",
    ]
    assert check("scrape imagenet|pexels --limit 3") is None
    assert check("runs list|show") is None
    assert check("runs list|fly") == "afin runs has no fly"
    assert check("train --categories five --bakcbone x") == "afin train has no --bakcbone"
    assert check("classify USERNAME --wait") is None


def test_every_target_of_make_that_is_named_exists() -> None:
    named = {
        name
        for page in PAGES
        for text in (*inline_code(page), *(one.text for one in blocks(page)))
        for name in re.findall(r"(?:^|\n)make ([a-z]+)", text)
    }
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "docs"} <= named <= targets
