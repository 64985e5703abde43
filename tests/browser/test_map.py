"""What people do with the map, done by a browser: pointing, zooming, keys, its marks."""

from typing import TYPE_CHECKING

import pytest

from tasks.context import Context
from tasks.maps import make_map
from tests.browser.conftest import AXE
from tests.pages import ACCOUNTS, POSTS_EACH, World

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

POSTS = len(ACCOUNTS) * POSTS_EACH


@pytest.fixture
def shown(page: "Page", resources: Context, world: World) -> "Page":
    """The map, drawn."""
    make_map(resources, None, "image")
    page.goto("/map")
    page.locator(f"#map[data-shown='{POSTS}']").wait_for()
    return page


def point_at(page: "Page", username: str, world: World) -> tuple[float, float, int]:
    """Where a post of an account is on the screen, while nothing is zoomed; and its number."""
    answer = page.request.get(f"/api/v1/models/{world.bundle_id}/map?view=image").json()
    point = next(one for one in answer["points"] if one["username"] == username)
    box = page.locator("#map").bounding_box()
    assert box is not None
    side = min(box["width"], box["height"]) * 0.94
    return (
        box["x"] + (box["width"] - side) / 2 + point["x"] * side,
        box["y"] + (box["height"] - side) / 2 + point["y"] * side,
        point["post"],
    )


def test_pointing_at_a_post_tells_of_it_and_a_click_keeps_it(shown: "Page", world: World) -> None:
    x, y, post = point_at(shown, "beto_gol", world)
    shown.mouse.move(x, y)
    card = shown.locator("#map-card")
    card.get_by_text("beto_gol").wait_for()
    assert card.locator("img").get_attribute("src", timeout=1000) is not None
    shown.mouse.move(5, 5)
    card.wait_for(state="hidden")
    shown.mouse.click(x, y)
    shown.mouse.move(5, 5)
    card.get_by_role("link", name="Open the post").click()
    shown.wait_for_url(f"**/accounts/beto_gol?all=1#post-{post}")
    assert shown.locator(f"#post-{post}").is_visible()


def test_the_keyboard_zooms_goes_from_post_to_post_and_opens_one(shown: "Page") -> None:
    shown.locator("#map").focus()
    shown.keyboard.press("n")
    name = shown.locator(".map-account").inner_text()
    shown.keyboard.press("n")
    shown.keyboard.press("p")
    assert shown.locator(".map-account").inner_text() == name
    shown.keyboard.press("Escape")
    shown.locator("#map-card").wait_for(state="hidden")
    for _turn in range(4):
        shown.keyboard.press("+")
    shown.locator("#map.zoomed").wait_for()
    shown.keyboard.press("0")
    shown.locator(f"#map[data-shown='{POSTS}']:not(.zoomed)").wait_for()
    shown.keyboard.press("n")
    shown.keyboard.press("Enter")
    shown.wait_for_url(f"**/accounts/{name}?all=1#post-*")


def test_wheel_and_buttons_zoom_and_photos_appear(shown: "Page", world: World) -> None:
    x, y, _post = point_at(shown, "ana.cocina", world)
    shown.mouse.move(x, y)
    shown.mouse.wheel(0, -1200)
    shown.wait_for_function("Number(document.getElementById('map').dataset.photos) > 0")
    near = int(shown.locator("#map").get_attribute("data-shown") or 0)
    assert 0 < near < POSTS
    shown.get_by_role("button", name="Whole map").click()
    shown.locator(f"#map[data-shown='{POSTS}']").wait_for()
    shown.get_by_role("button", name="Zoom in").click()
    shown.locator("#map.zoomed").wait_for()


def test_the_legend_hides_and_shows_categories(shown: "Page") -> None:
    first = shown.locator(".toggle").first
    count = int(first.locator("small").inner_text())
    first.click()
    shown.locator(f"#map[data-shown='{POSTS - count}']").wait_for()
    assert first.get_attribute("aria-pressed") == "false"
    shown.get_by_role("button", name="None", exact=True).click()
    shown.locator("#map[data-shown='0']").wait_for()
    shown.get_by_role("button", name="All", exact=True).click()
    shown.locator(f"#map[data-shown='{POSTS}']").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_map_has_no_serious_barrier(
    browser: "Browser", base: str, resources: Context, scheme: str
) -> None:
    make_map(resources, None, "image")
    window = browser.new_context(
        base_url=base, color_scheme="dark" if scheme == "dark" else "light"
    )
    tab = window.new_page()
    tab.goto("/map")
    tab.locator(f"#map[data-shown='{POSTS}']").wait_for()
    tab.locator("#map").focus()
    tab.keyboard.press("n")
    tab.locator("details summary").click()
    tab.evaluate(AXE.read_text("utf-8"))
    found = [
        (one["id"], [node["html"][:160] for node in one["nodes"][:3]])
        for one in tab.evaluate("axe.run()")["violations"]
        if one["impact"] in ("serious", "critical", "moderate")
    ]
    window.close()
    assert found == []
