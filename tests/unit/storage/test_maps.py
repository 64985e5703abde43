"""Maps are asked for once, replaced whole, and forget erased posts."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from schemas.maps import MapGroup
from schemas.verdicts import PostOutcome
from storage.accounts import PhotoPlace, delete_account
from storage.database import Database
from storage.map_tables import maps
from storage.maps import (
    PATIENCE,
    NewPoint,
    ask_for_map,
    fail_map,
    judged_posts,
    list_points,
    read_map,
    read_map_state,
    read_posts,
    read_probabilities,
    save_map,
)
from storage.tables import posts
from storage.verdicts import save_outcomes
from tests.unit.storage import builders as rows

GROUP = MapGroup(category="comida", shown=2, posts=5, alike=1, beside=None, beside_part=0)


@pytest.fixture
def ids(database: Database) -> list[int]:
    """Two posts of ana, one of beto."""
    with database.write() as connection:
        rows.add_some_bundle(connection)
        rows.add_account(connection, "ana", [rows.new_post("a1"), rows.new_post("a2")])
        rows.add_account(connection, "beto", [rows.new_post("b1")])
        return list(connection.scalars(select(posts.c.id).order_by(posts.c.id)))


def point(post_id: int, category: str | None = "comida") -> NewPoint:
    return NewPoint(
        post_id=post_id, x=0.25, y=0.5, category=category, probability=0.75, photo_sha256=None
    )


def keep(database: Database, post_ids: list[int]) -> int:
    with database.write() as connection:
        made = [point(post_id) for post_id in post_ids]
        return save_map(connection, "b0", "image", made, groups=[GROUP], posts_count=5, seconds=1.5)


def test_a_map_is_read_as_it_was_kept(database: Database, ids: list[int]) -> None:
    with database.read() as connection:
        assert read_map(connection, "b0", "image") is None
    assert keep(database, ids) == 3
    with database.read() as connection:
        found = read_map(connection, "b0", "image")
        other = read_map(connection, "b0", "text")
    assert other is None
    assert found is not None
    assert [one.username for one in found.points] == ["ana", "ana", "beto"]
    assert (found.points[0].x, found.points[0].y, found.points[0].probability) == (0.25, 0.5, 0.75)
    assert (found.state.posts, found.state.seconds, found.state.groups) == (5, 1.5, (GROUP,))


def test_a_new_map_takes_the_place_of_the_old_one(database: Database, ids: list[int]) -> None:
    keep(database, ids)
    keep(database, ids[:1])
    with database.read() as connection:
        assert [one.post for one in list_points(connection, "b0", "image")] == ids[:1]


def test_an_erased_account_leaves_the_map(database: Database, ids: list[int]) -> None:
    keep(database, ids)
    with database.write() as connection:
        delete_account(connection, "ana")
    with database.read() as connection:
        assert [one.username for one in list_points(connection, "b0", "image")] == ["beto"]


def test_a_post_erased_while_the_map_was_made_is_left_out(
    database: Database, ids: list[int]
) -> None:
    assert keep(database, [*ids, 10**6]) == 3


def test_points_come_in_parts(database: Database, ids: list[int]) -> None:
    keep(database, ids)
    with database.read() as connection:
        first = list_points(connection, "b0", "image", limit=2)
        rest = list_points(connection, "b0", "image", after=first[-1].post, limit=2)
    assert [one.post for one in (*first, *rest)] == ids


def test_a_map_is_asked_for_once_until_it_is_there_or_nobody_answered(
    database: Database, ids: list[int]
) -> None:
    with database.write() as connection:
        assert ask_for_map(connection, "b0", "image")
        assert not ask_for_map(connection, "b0", "image")
        assert ask_for_map(connection, "b0", "text")
    keep(database, ids)
    with database.write() as connection:
        assert ask_for_map(connection, "b0", "image")
        long_ago = datetime.now(UTC) - PATIENCE - timedelta(seconds=1)
        connection.execute(update(maps).values(asked_at=long_ago))
        assert ask_for_map(connection, "b0", "image")


def test_why_it_could_not_be_made_is_told_beside_the_last_one(
    database: Database, ids: list[int]
) -> None:
    keep(database, ids)
    with database.write() as connection:
        ask_for_map(connection, "b0", "image")
        fail_map(connection, "b0", "image", "no vectors")
        state = read_map_state(connection, "b0", "image")
    assert (state.problem, state.asked_at) == ("no vectors", None)
    assert state.made_at is not None
    keep(database, ids)
    with database.read() as connection:
        assert read_map_state(connection, "b0", "image").problem is None


def test_judged_posts_are_those_of_the_halves_asked_for(database: Database, ids: list[int]) -> None:
    outcomes = [
        PostOutcome(post_id=ids[0], halves="both", probabilities=(0.2, 0.7), category="deporte"),
        PostOutcome(post_id=ids[1], halves="text", probabilities=(0.4, 0.4), category=None),
        PostOutcome(post_id=ids[2], halves="none", probabilities=(), category=None),
    ]
    with database.write() as connection:
        save_outcomes(connection, "b0", "nn", outcomes)
        save_outcomes(connection, "b0", "svm", outcomes)
    with database.read() as connection:
        found = list(judged_posts(connection, "b0", "nn", ("both", "text")))
        sure = read_probabilities(connection, "b0", "nn", ids)
    assert found == [(ids[0], "deporte"), (ids[1], None)]
    assert sure == pytest.approx({ids[0]: 0.7, ids[1]: 0.4, ids[2]: 0.0})


def test_posts_are_read_with_their_photos(database: Database) -> None:
    with database.write() as connection:
        rows.add_photo(connection, "x")
        place = PhotoPlace(sha256=rows.photo("x"))
        rows.add_account(connection, "carla", [rows.new_post("c1", photos=[place])])
        (post_id,) = connection.scalars(select(posts.c.id)).all()
        (found,) = read_posts(connection, [post_id, 999])
    assert (found.external_id, found.photos) == ("c1", (place,))
