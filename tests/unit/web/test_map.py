"""The map: how to get one, who may ask, what it shows, and marks that every eye tells apart."""

import itertools
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import update

from schemas.categories import known_categories
from storage.map_tables import maps
from storage.maps import ask_for_map
from tasks.context import Context
from tasks.maps import draw, make_map
from tests.pages import ACCOUNTS, POSTS_EACH, Visitor, World
from tests.unit.tasks.sent import sent_messages
from tests.unit.web.conftest import sign_in
from web.marks import UNKNOWN, shape_of
from web.statics import STATIC

POSTS = len(ACCOUNTS) * POSTS_EACH


def test_a_page_without_a_map_says_how_to_get_one(visitor: Visitor, world: World) -> None:
    text = visitor.get("/map").text
    assert f"afin map --bundle {world.bundle_id} --by image" in text
    assert 'id="map"' not in text


def test_a_map_is_asked_for_on_the_page_and_shown_once_it_is_there(
    visitor: Visitor, world: World
) -> None:
    fields = {"bundle": world.bundle_id, "view": "both", "posts": "1000"}
    asked = visitor.post("/map", fields)
    assert (asked.status, asked.headers["Location"]) == (
        303,
        f"/map?bundle={world.bundle_id}&view=both",
    )
    waiting = visitor.get(asked.headers["Location"]).text
    assert "A cpu worker is laying the posts out" in waiting
    state = visitor.get(f"/map/state?bundle={world.bundle_id}&view=both")
    assert state.headers["HX-Refresh"] is None
    (message,) = [one for one in sent_messages() if one.task == "maps.draw"]
    draw(*message.args)
    state = visitor.get(f"/map/state?bundle={world.bundle_id}&view=both")
    assert state.headers["HX-Refresh"] == "true"
    shown = visitor.get(asked.headers["Location"]).text
    assert f"{POSTS} of {POSTS} judged posts" in shown
    assert f'data-source="/api/v1/models/{world.bundle_id}/map?view=both"' in shown


def test_a_worker_that_never_answered_is_not_waited_for(
    visitor: Visitor, world: World, resources: Context
) -> None:
    with resources.database.write() as connection:
        ask_for_map(connection, world.bundle_id, "image")
        connection.execute(update(maps).values(asked_at=datetime.now(UTC) - timedelta(hours=1)))
    assert "laying the posts out" not in visitor.get("/map").text


def test_a_map_says_how_old_it_is(visitor: Visitor, resources: Context) -> None:
    make_map(resources, None, "image")
    with resources.database.write() as connection:
        made = datetime.now(UTC) - timedelta(days=3, hours=4, minutes=1)
        connection.execute(update(maps).values(made_at=made))
    assert "Made 3 d 4 h ago" in visitor.get("/map").text


def test_why_a_map_could_not_be_made_is_shown(visitor: Visitor, world: World) -> None:
    draw(world.bundle_id, "image", 5)
    assert "A map shows 10 to 7000 posts" in visitor.get("/map").text


def test_the_table_shows_every_post_once(visitor: Visitor, resources: Context) -> None:
    make_map(resources, None, "image")
    text = visitor.get("/map").text
    assert len(set(re.findall(r"\?all=1#post-(\d+)", text))) == POSTS


def test_rows_go_on_after_the_last_one(visitor: Visitor, world: World, resources: Context) -> None:
    make_map(resources, None, "image")
    points = visitor.get(f"/api/v1/models/{world.bundle_id}/map").json["points"]
    after = points[4]["post"]
    rows = visitor.get(f"/map/posts?bundle={world.bundle_id}&view=image&after={after}").text
    found = [int(one) for one in re.findall(r"#post-(\d+)", rows)]
    assert found == [one["post"] for one in points[5:]]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/map?view=smell", 400),
        ("/map?bundle=none", 404),
        ("/map/posts?after=x", 400),
        ("/map/posts?after=-1", 400),
    ],
)
def test_a_map_that_cannot_be_is_refused(visitor: Visitor, path: str, status: int) -> None:
    assert visitor.get(path).status == status


def test_the_api_gives_a_map_or_says_how_to_get_one(
    visitor: Visitor, world: World, resources: Context
) -> None:
    path = f"/api/v1/models/{world.bundle_id}/map"
    missing = visitor.get(path)
    assert missing.status == 404
    assert "afin map" in missing.json["detail"]
    make_map(resources, None, "image")
    found = visitor.get(path)
    assert len(found.json["points"]) == POSTS
    again = visitor.get(path, {"If-None-Match": found.headers["ETag"]})
    assert again.status == 304
    photo = found.json["points"][0]["photo"]
    assert visitor.get(f"/photos/{photo}/small").headers["Content-Type"] == "image/webp"


def test_the_api_takes_the_wish_for_a_map(visitor: Visitor, world: World) -> None:
    path = f"/api/v1/models/{world.bundle_id}/map"
    taken = visitor.send("POST", path, {"view": "text", "posts": 100})
    assert taken.status == 202
    assert taken.json["asked_at"]
    assert [one.args for one in sent_messages() if one.task == "maps.draw"] == [
        (world.bundle_id, "text", 100)
    ]
    assert visitor.send("POST", path, {"view": "text", "posts": 1}).status == 400


def test_only_operators_may_ask_for_a_map(stranger: Visitor) -> None:
    fields = {"view": "image", "posts": "1000"}
    sign_in(stranger, "reviewer")
    assert stranger.post("/map", fields).status == 403
    assert 'action="/map"' not in stranger.get("/map").text
    sign_in(stranger, "operator")
    assert stranger.post("/map", fields, csrf="wrong").status == 403
    assert stranger.post("/map", fields).status == 303


# How eyes without one kind of cone see linear RGB (Machado, Oliveira & Fernandes 2009).
EYES = (
    np.eye(3),
    np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
)
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
CONFUSED = 12.0
"""CIELAB distance below which small marks are taken for the same colour."""


def palette(theme: str) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
    """The marks' colours of a theme, 0 to 1, and the ground they lie on, as the sheet says."""
    sheet = (STATIC / "afin.css").read_text("utf-8")
    grounds = re.findall(r"--ground: (#[0-9a-f]{6})", sheet)
    mixed = re.findall(r"--dot: color-mix\(in srgb, var\(--hue\) (\d+)%, (black|white)\)", sheet)
    part, other = mixed[0] if theme == "light" else mixed[1]
    against = np.full(3, 0.0 if other == "black" else 1.0)
    kept = int(part) / 100
    hues = dict(re.findall(r"\.cat-([a-z-]+) \{ --hue: (#[0-9a-f]{6})", sheet))
    colours = {slug: rgb(hues[slug]) * kept + against * (1 - kept) for slug in known_categories()}
    return colours, rgb(grounds[0] if theme == "light" else grounds[1])


def rgb(text: str) -> NDArray[np.float64]:
    return np.array([int(text[place : place + 2], 16) for place in (1, 3, 5)]) / 255


def linear(colour: NDArray[np.float64]) -> NDArray[np.float64]:
    made: NDArray[np.float64] = np.where(
        colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4
    )
    return made


def lab(light: NDArray[np.float64]) -> NDArray[np.float64]:
    white = np.array([0.95047, 1.0, 1.08883])
    x, y, z = np.cbrt(np.maximum(TO_XYZ @ np.clip(light, 0, 1) / white, 0.0089))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_categories_whose_colours_some_eyes_confuse_have_different_shapes(theme: str) -> None:
    colours, _ground = palette(theme)
    alike = [
        (one, other)
        for one, other in itertools.combinations(colours, 2)
        if shape_of(one) == shape_of(other)
        for eye in EYES
        if np.linalg.norm(lab(eye @ linear(colours[one])) - lab(eye @ linear(colours[other])))
        < CONFUSED
    ]
    assert alike == []
    assert UNKNOWN not in {shape_of(slug) for slug in known_categories()}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_mark_stands_out_from_its_ground(theme: str) -> None:
    colours, ground = palette(theme)
    below = linear(ground) @ TO_XYZ[1] + 0.05
    contrast = {
        slug: max(own, below) / min(own, below)
        for slug, colour in colours.items()
        for own in [linear(colour) @ TO_XYZ[1] + 0.05]
    }
    assert {slug: round(float(one), 2) for slug, one in contrast.items() if one < 3} == {}
