"""CI installs a browser where it can, and goes on where it cannot."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.deploy.compose import ROOT

TOOLS = ("bash", "env", "timeout")


def install(folder: Path, **commands: str) -> tuple[int, str, list[str]]:
    """Run it where there are only these commands; return exit code, words, what apt-get did."""
    for name in TOOLS:
        path = shutil.which(name)
        assert path
        (folder / name).symlink_to(path)
    done = folder / "done"
    for name, script in commands.items():
        file = folder / name.replace("_", "-")
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
    ended = subprocess.run(
        [ROOT / ".ci" / "install-browser"],
        env={"PATH": str(folder), "DONE": str(done), "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    steps = done.read_text().splitlines() if done.exists() else []
    return ended.returncode, ended.stderr, steps


ROOT_USER, USER = "echo 0", "echo 1000"
APT = 'echo "$2" >> "$DONE"'


def test_where_there_is_a_browser_nothing_is_done(tmp_path: Path) -> None:
    assert install(tmp_path, chromium="", apt_get=APT, id=ROOT_USER) == (0, "", [])


@pytest.mark.parametrize(
    "who", [{"id": ROOT_USER}, {"id": USER, "sudo": 'shift; "$@"'}], ids=["root", "sudo"]
)
def test_it_is_installed_by_root_or_without_a_password(tmp_path: Path, who: dict[str, str]) -> None:
    code, _said, steps = install(tmp_path, apt_get=APT, true="", **who)
    assert (code, steps) == (0, ["update", "install"])


@pytest.mark.parametrize(
    ("commands", "why"),
    [
        ({"id": ROOT_USER}, "no apt-get"),
        ({"id": USER, "apt_get": APT}, "only root"),
        ({"id": USER, "apt_get": APT, "sudo": "exit 1"}, "only root"),
        ({"id": ROOT_USER, "apt_get": "exit 100"}, "'apt-get update' failed"),
    ],
    ids=["no apt-get", "no sudo", "sudo asks", "no network"],
)
def test_where_it_cannot_be_installed_that_is_said_and_ci_goes_on(
    tmp_path: Path, commands: dict[str, str], why: str
) -> None:
    code, said, _steps = install(tmp_path, **commands)
    assert code == 0
    assert why in said
    assert "skipped" in said


def test_ci_asks_for_it_first() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines.index(".ci/install-browser") < lines.index("make lint") < lines.index("make test")
