"""Every link of the documentation leads somewhere, and the site can be built from it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.settings import Settings
from tests.unit.docs.pages import PAGES, ROOT, anchors, links

ELSEWHERE = ("http://", "https://")
NO_SETTINGS = {"AFIN_TEST_SEED", "AFIN_TOKEN", "AFIN_TEST_FUZZ_EXAMPLES", "AFIN_"}
"""Names that look like settings: what examples keep in the shell, and what tests read."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    lost = []
    for link in links(page):
        if link.startswith(ELSEWHERE):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


def test_there_are_links_to_check() -> None:
    assert sum(len(links(page)) for page in PAGES) > 40


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_is_named_exists(page: Path) -> None:
    named = set(re.findall(r"\bAFIN_[A-Z_]*", page.read_text("utf-8")))
    known = {f"AFIN_{name.upper()}" for name in Settings.model_fields}
    assert (
        named - NO_SETTINGS - known == {name for name in named if name.endswith("_")} - NO_SETTINGS
    )


def test_the_site_is_built_without_a_warning_and_asks_for_nothing_elsewhere(
    tmp_path: Path,
) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: make install brings it.")
    command = f"-m mkdocs build --quiet --strict -f deploy/mkdocs.yml -d {tmp_path}"
    ended = subprocess.run(
        [sys.executable, *command.split()],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    built = {path.name: path.read_text("utf-8") for path in tmp_path.glob("*.html")}
    assert {page.stem for page in PAGES if page.parent.name == "docs"} <= {
        name.removesuffix(".html") for name in built
    }
    asked = re.compile(r"<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=[\"']?(?:https?:)?//")
    assert [name for name, text in built.items() if asked.search(text)] == []
