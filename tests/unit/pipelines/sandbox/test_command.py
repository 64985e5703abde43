import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox import ask

ROOT = Path(__file__).parents[4]
PROGRAM = """
import sys
import typer
from cli.sandbox import sandbox
from schemas.errors import AfinError
try:
    app = typer.Typer()
    app.command()(sandbox)
    app(standalone_mode=False)
except AfinError as error:
    sys.exit(f"{error.exit_code} {error}")
"""


@contextmanager
def running(*options: str) -> Iterator[tuple["subprocess.Popen[str]", Any]]:
    """Start the command, read its JSON document, and end it by Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "--json", *options],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        yield process, read_document(process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def read_document(process: "subprocess.Popen[str]") -> Any:
    assert process.stdout
    text = ""
    for line in process.stdout:
        text += line
        if line == "}\n":
            return json.loads(text)
    assert process.stderr
    raise AssertionError(process.stderr.read())


def test_it_says_where_everything_is_and_serves_until_ctrl_c(tmp_path: Path) -> None:
    with running("--files", str(tmp_path), "--urls-per-synset", "3") as (process, told):
        listed = ask(f"{told['servers']['imagenet']}/archive/words.txt").body
        assert listed == (tmp_path / "words.txt").read_bytes()
        assert told["environment"]["AFIN_PEXELS_URL"] == told["servers"]["pexels"]
        assert [Path(path).name for path in told["files"]] == [
            "words.txt", "wordnet.is_a.txt", "fall11_urls.txt",
        ]  # fmt: skip
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0


def test_it_misbehaves_as_told() -> None:
    with running("--misbehave", "pexels.challenge") as (_process, told):
        assert ask(f"{told['servers']['pexels']}/search/cooking/").status == 403


@pytest.mark.parametrize("options", [("--misbehave", "nonsense"), ("--photos", "does/not/exist")])
def test_wrong_use_is_told(options: tuple[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *options],
        cwd=ROOT, text=True, capture_output=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ended.returncode != 0
    assert ended.stderr.startswith("2 ")
    assert ended.stdout == ""
