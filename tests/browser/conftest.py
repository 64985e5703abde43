"""A real browser on real pages: Debian's Chromium, driven by playwright."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kombu.transport.memory import Channel

from tasks.context import Context, context
from tests.adopted import adopted
from tests.pages import World, populate, serving

playwright = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed: pip install playwright."
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

AXE = Path(__file__).parent / "axe.min.js"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


# A module: while the driver lives its loop runs in this thread, and no test may run its own.
@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Chromium; tests are skipped aloud where it is not installed."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("No Chromium is installed: apt-get install chromium.")
    with playwright.sync_playwright() as driver:
        # As root, as in containers, Chromium has no sandbox of its own.
        opened = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def resources(tmp_path: Path) -> Iterator[Context]:
    with adopted(
        {"AFIN_DATA_DIR": str(tmp_path / "data"), "AFIN_BROKER_URL": "memory://"}
        | {"AFIN_RESULT_URL": "cache+memory://"}
    ):
        yield context()
        Channel.queues.clear()


@pytest.fixture
def world(resources: Context, tmp_path: Path) -> World:
    return populate(resources, tmp_path)


@pytest.fixture
def base(resources: Context, world: World) -> Iterator[str]:
    with serving(resources) as url:
        yield url


@pytest.fixture
def page(browser: "Browser", base: str) -> Iterator["Page"]:
    """A tab of a fresh browser; whatever its console says against us fails the test."""
    window = browser.new_context(base_url=base, locale="en-GB")
    tab = window.new_page()
    tab.set_default_timeout(15_000)
    said: list[str] = []
    tab.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
    tab.on("pageerror", lambda error: said.append(str(error)))
    yield tab
    window.close()
    assert said == []
