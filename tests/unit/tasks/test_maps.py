"""A worker lays out what a bundle judged, and tells why where it cannot."""

from pathlib import Path

import pytest
from sqlalchemy import delete, update

from schemas.errors import BrokerError, UsageError
from schemas.maps import View
from storage.maps import read_map, read_map_state
from storage.tables import image_vectors, outcomes
from tasks.context import Context, context
from tasks.maps import draw, make_map, start_map
from tests.adopted import adopted
from tests.pages import ACCOUNTS, POSTS_EACH, World, populate
from tests.unit.tasks.builders import publish_toy_bundle
from tests.unit.tasks.sent import sent_messages

EVERY = len(ACCOUNTS) * POSTS_EACH


@pytest.fixture
def world(resources: Context, tmp_path: Path) -> World:
    return populate(resources, tmp_path)


@pytest.mark.parametrize("view", ["image", "text", "both"])
def test_every_post_gets_a_place_within_the_square(
    resources: Context, world: World, view: View
) -> None:
    state = make_map(resources, None, view)
    with resources.database.read() as connection:
        found = read_map(connection, world.bundle_id, view)
    assert found is not None
    assert found.state == state
    assert len({one.post for one in found.points}) == EVERY
    assert all(0 <= one.x <= 1 and 0 <= one.y <= 1 and one.photo for one in found.points)
    assert sum(group.posts for group in state.groups) == state.posts == EVERY
    for group in state.groups:
        named = [one for one in found.points if one.category == group.category]
        assert len(named) == group.shown


def test_the_same_posts_lie_in_the_same_places_again(resources: Context, world: World) -> None:
    found = []
    for _turn in range(2):
        make_map(resources, None, "both")
        with resources.database.read() as connection:
            one = read_map(connection, world.bundle_id, "both")
        found.append(one and one.points)
    assert found[0] == found[1]


def test_a_map_shows_no_more_posts_than_asked_for(resources: Context, world: World) -> None:
    state = make_map(resources, None, "image", 10)
    assert (sum(group.shown for group in state.groups), state.posts) == (10, EVERY)


def test_too_few_posts_are_no_map_and_the_reason_is_kept(resources: Context, world: World) -> None:
    with resources.database.write() as connection:
        connection.execute(delete(image_vectors))
    assert draw(world.bundle_id, "image", 3000) == "failed"
    with resources.database.read() as connection:
        state = read_map_state(connection, world.bundle_id, "image")
    assert state.made_at is None
    assert "afin reclassify" in (state.problem or "")


def test_posts_without_both_halves_are_on_the_map_of_the_half_they_have(
    resources: Context, world: World
) -> None:
    with resources.database.write() as connection:
        first = connection.scalar(outcomes.select().with_only_columns(outcomes.c.post_id))
        connection.execute(
            update(outcomes).where(outcomes.c.post_id == first).values(halves="image")
        )
    assert make_map(resources, None, "image").posts == EVERY
    assert make_map(resources, None, "text").posts == EVERY - 1
    assert make_map(resources, None, "both").posts == EVERY - 1


def test_a_map_that_is_asked_for_is_sent_to_a_cpu_worker_once(
    resources: Context, world: World
) -> None:
    for _turn in range(2):
        state = start_map(resources, None, "text", 50)
        assert state.asked_at is not None
    (message,) = [one for one in sent_messages() if one.task == "maps.draw"]
    assert (message.queue, message.args) == ("cpu", (world.bundle_id, "text", 50))
    assert draw(*message.args) == f"posts={EVERY} of={EVERY}"


@pytest.mark.parametrize("posts", [9, 7001])
def test_a_map_of_too_few_or_too_many_posts_is_refused(
    resources: Context, world: World, posts: int
) -> None:
    with pytest.raises(UsageError, match="10 to 7000"):
        start_map(resources, None, "image", posts)


def test_a_bundle_of_photos_has_no_map_of_texts(resources: Context, tmp_path: Path) -> None:
    publish_toy_bundle(resources, tmp_path, with_text=False)
    with pytest.raises(UsageError, match="image only"):
        start_map(resources, None, "text")


def test_without_a_broker_nobody_is_made_to_wait(tmp_path: Path) -> None:
    with adopted({"AFIN_DATA_DIR": str(tmp_path / "alone")}):
        resources = context()
        bundle_id = publish_toy_bundle(resources, tmp_path)
        with pytest.raises(BrokerError, match="afin up"):
            start_map(resources, None, "image")
        with resources.database.read() as connection:
            assert read_map_state(connection, bundle_id, "image").asked_at is None
