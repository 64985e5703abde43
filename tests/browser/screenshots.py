"""Screenshots for the documentation, from the data that the demo leaves: ``make screenshots``."""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from schemas.errors import UsageError
from storage.listing import Filter, list_page
from storage.standings import catch_up
from tasks.context import adopt_settings, context
from tasks.explain import explain_words
from tasks.maps import make_map
from tests.browser.conftest import BROWSERS
from tests.pages import serving

DOCS = Path(__file__).parents[2] / "docs"
WIDTH, HEIGHT = 1280, 860
LARGEST_BYTES = 200_000
"""Of a kept screenshot: they are part of every clone."""

SETTLE_MS = 700


def main(folder: str) -> None:
    """Take every screenshot, in light and dark, from a data folder."""
    chromium = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if chromium is None:
        raise UsageError("Screenshots need Chromium: apt-get install chromium.")
    if not (Path(folder) / "afin.db").exists():
        raise UsageError(f"{folder} holds no data: run 'make demo' first.")
    adopt_settings({"AFIN_DATA_DIR": str(Path(folder).absolute())})
    account = _prepare()
    pages = {"accounts": "/", "account": f"/accounts/{account}", "review": "/review"}
    pages |= {"runs": "/runs", "models": "/models", "map": "/map"}
    with serving(context()) as base, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            window = browser.new_context(
                base_url=base,
                color_scheme="dark" if scheme == "dark" else "light",
                viewport={"width": WIDTH, "height": HEIGHT},
            )
            tab = window.new_page()
            for name, path in pages.items():
                tab.goto(path)
                _keep(tab, DOCS / f"{name}-{scheme}.webp")
            window.close()
        browser.close()
    context().database.close()


def _prepare() -> str:
    """Bring standings up to date and return the account with the most to show."""
    resources = context()
    with resources.database.write() as connection:
        while catch_up(connection):
            pass
    make_map(resources, None, "image")
    with resources.database.read() as connection:
        listed = list_page(connection, Filter(), "certain", after=None, limit=50).accounts
    shown = max(listed, key=lambda one: (len(one.categories), one.standing and one.standing.usable))
    if shown.standing is not None:
        explain_words(shown.id, shown.standing.bundle_id)
    return shown.username


def _keep(tab: Page, path: Path) -> None:
    tab.wait_for_timeout(SETTLE_MS)
    shot = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
    for quality in (90, 80, 65, 50):
        shot.save(path, "WEBP", quality=quality, method=6)
        if path.stat().st_size <= LARGEST_BYTES:
            return


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "demo-data")
