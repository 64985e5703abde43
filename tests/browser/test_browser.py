"""What people do with the pages, done by a browser."""

from typing import TYPE_CHECKING

import pytest

from schemas.runs import RunKind
from schemas.users import Role
from storage.runs import create_run
from storage.users import add_user
from tasks.context import Context, context
from tests.adopted import adopted
from tests.browser.conftest import AXE
from tests.pages import Visitor, World, populate, serving
from web.sign_in import hash_password

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

PASSWORD = "correct horse battery"
SERIOUS = ("serious", "critical")


def test_an_account_is_found_and_its_verdict_opened(page: "Page") -> None:
    page.goto("/")
    page.get_by_label("Search").fill("gol")
    page.locator("article.account").nth(1).wait_for(state="detached")
    page.get_by_role("link", name="beto_gol").click()
    page.get_by_role("heading", name="What it is about").wait_for()
    assert page.locator("article.post").count() == 4
    loaded = "[...document.images].every(one => one.loading === 'lazy' || one.naturalWidth > 0)"
    page.wait_for_function(loaded)


def test_a_result_pressed_slowly_right_after_searching_is_opened(page: "Page") -> None:
    page.goto("/")
    page.get_by_label("Search").fill("gol")
    page.locator("article.account").nth(1).wait_for(state="detached")
    page.get_by_role("link", name="beto_gol").hover()
    page.mouse.down()  # Leaves the search field: that must not exchange what is under the finger.
    page.wait_for_timeout(500)
    page.mouse.up()
    page.get_by_role("heading", name="What it is about").wait_for()


def test_each_filter_narrows_the_list_without_a_button(page: "Page") -> None:
    page.goto("/")
    for name, value in (("category", "deporte"), ("min_share", "0.3"), ("order", "share")):
        page.locator(f"select[name={name}]").select_option(value)
        page.wait_for_url(f"**/*{name}={value}*")
    page.get_by_label("Followers").fill("1000000000")
    page.get_by_label("Followers").press("Tab")
    page.wait_for_url("**/*min_followers=1000000000*")
    page.get_by_text("No account").wait_for()


def test_a_post_is_corrected_with_the_keyboard_and_becomes_a_label(page: "Page") -> None:
    page.goto("/review")
    page.get_by_text("The model says").wait_for()
    page.keyboard.press("3")
    page.get_by_text("the next training learns from it").wait_for()
    label = page.locator("#labels tbody tr").first.inner_text()
    assert "Art" in label
    assert "local" in label


def test_enter_on_a_link_follows_it_and_settles_nothing(page: "Page", base: str) -> None:
    page.goto("/review")
    page.get_by_text("The model says").wait_for()
    page.get_by_role("link", name="Campaigns").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Campaigns", exact=True).wait_for()
    assert Visitor(base).get("/api/v1/reviews").json == []


def test_on_a_narrow_screen_every_page_is_in_sight_and_nothing_is_cut_off(
    browser: "Browser", base: str, world: World
) -> None:
    window = browser.new_context(
        base_url=base, locale="es-CL", viewport={"width": 380, "height": 800}
    )
    tab = window.new_page()
    too_wide = []
    for path in ("/", "/accounts/ana.cocina", "/campaigns", "/review", "/runs", "/models", "/map"):
        tab.goto(path)
        root = "document.documentElement"
        if tab.evaluate(f"{root}.scrollWidth > {root}.clientWidth"):
            too_wide.append(path)
    links = tab.locator("nav a")
    boxes = [links.nth(place).bounding_box() for place in range(links.count())]
    window.close()
    assert too_wide == []
    assert all(box and box["x"] >= 0 and box["x"] + box["width"] <= 380 for box in boxes)


def test_a_run_is_paused_resumed_and_cancelled(
    page: "Page", resources: Context, world: World
) -> None:
    with resources.database.write() as connection:
        run_id = create_run(connection, RunKind.CLASSIFY, params={}, bundle_id=world.bundle_id)
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(f"/runs/{run_id}")
    for button, state in (("Pause", "paused"), ("Resume", "running"), ("Cancel", "cancelled")):
        page.get_by_role("button", name=button).click()
        page.locator("#state", has_text=state).wait_for()


def test_progress_moves_without_loading_the_page_again(
    page: "Page", resources: Context, world: World
) -> None:
    from storage.members import add_members, finish_members

    with resources.database.write() as connection:
        run_id = create_run(connection, RunKind.CLASSIFY, params={}, bundle_id=world.bundle_id)
        add_members(connection, run_id, world.ids.values())
    page.goto(f"/runs/{run_id}")
    page.get_by_text("0 of 3").wait_for()
    with resources.database.write() as connection:
        finish_members(connection, run_id, list(world.ids.values())[:2])
    page.get_by_text("2 of 3").wait_for()


def test_a_run_pressed_while_the_list_renews_itself_is_opened(
    page: "Page", resources: Context, world: World
) -> None:
    with resources.database.write() as connection:
        run_id = create_run(connection, RunKind.CLASSIFY, params={}, bundle_id=world.bundle_id)
    page.goto("/runs")
    page.locator(f"a[href='/runs/{run_id}']").hover()
    with page.expect_response("**/runs"):
        page.mouse.down()
    page.wait_for_timeout(200)
    page.mouse.up()
    page.wait_for_url(f"**/runs/{run_id}")


def test_a_moved_threshold_shows_what_it_would_change(page: "Page", base: str) -> None:
    accounts = Visitor(base).get("/api/v1/accounts?category=comida").json["accounts"]
    page.goto("/models")
    slider = page.locator("input[type=range]")
    slider.evaluate(
        "one => { one.value = 0.98; one.dispatchEvent(new Event('input', {bubbles: true})) }"
    )
    shares = [s for one in accounts for s in one["shares"] if s["category"] == "comida"]
    lost = sum(0.28 <= share["share"] < 0.98 for share in shares)
    page.get_by_text(f"{lost} would lose it").wait_for()
    assert page.locator("#shown").inner_text().startswith("98")


def test_the_theme_is_kept_and_the_language_too(page: "Page") -> None:
    page.goto("/")
    page.get_by_role("button", name="Dark theme").click()
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    page.get_by_role("button", name="Español").click()
    page.get_by_role("heading", name="Cuentas").wait_for()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_only_who_knows_the_password_gets_in(browser: "Browser", tmp_path: "Path") -> None:
    settings = {
        "AFIN_DATA_DIR": str(tmp_path / "closed"),
        "AFIN_BROKER_URL": "memory://",
        "AFIN_RESULT_URL": "cache+memory://",
        "AFIN_WEB_SIGN_IN": "true",
    }
    with adopted(settings):
        resources = context()
        populate(resources, tmp_path)
        with resources.database.write() as connection:
            add_user(connection, "vera", hash_password(PASSWORD), Role.VIEWER)
        with serving(resources) as base:
            window = browser.new_context(base_url=base, locale="en-GB")
            tab = window.new_page()
            tab.goto("/runs")
            tab.get_by_label("Name").fill("vera")
            tab.get_by_label("Password").fill("not this one")
            tab.get_by_role("button", name="Sign in").click()
            tab.get_by_text("Name or password are wrong").wait_for()
            tab.get_by_label("Name").fill("vera")
            tab.get_by_label("Password").fill(PASSWORD)
            tab.get_by_role("button", name="Sign in").click()
            tab.get_by_role("heading", name="Runs").wait_for()
            assert tab.get_by_role("button", name="Classify all").count() == 0
            assert tab.goto("/review").status == 403  # type: ignore[union-attr]
            window.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_barrier(
    browser: "Browser", base: str, world: World, scheme: "str"
) -> None:
    paths = ("/", "/accounts/ana.cocina", "/review", "/runs", "/runs/1", "/models", "/map")
    more = (f"/models/{world.bundle_id}", "/campaigns", "/api", "/sign-in")
    window = browser.new_context(
        base_url=base, color_scheme="dark" if scheme == "dark" else "light"
    )
    tab = window.new_page()
    found = []
    for path in (*paths, *more):
        tab.goto(path)
        # Through the debugger: the pages' own policy lets no foreign script in.
        tab.evaluate(AXE.read_text("utf-8"))
        result = tab.evaluate("axe.run()")
        found += [
            (path, one["id"], [node["html"][:160] for node in one["nodes"][:3]])
            for one in result["violations"]
            if one["impact"] in SERIOUS
        ]
    window.close()
    assert found == []
