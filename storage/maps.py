"""Maps of posts: asked for, made by a worker, read by pages."""

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import Connection, delete, insert, select

from schemas.base import Frozen
from schemas.maps import MapGroup, MapPoint, MapState, PostMap, View
from schemas.verdicts import Halves
from storage.accounts import PhotoPlace, PostRow, existing_posts, make_post
from storage.database import in_parts, insert_or_update
from storage.map_tables import map_points, maps
from storage.tables import influencers, outcomes, post_photos, posts

PATIENCE = timedelta(minutes=15)
"""Whoever asks again sooner is told that it is being made."""

ROWS_READ = 10_000

KEY = ("bundle_id", "view")
POINT = ("post", "username", "x", "y", "category", "probability", "photo")


class NewPoint(Frozen):
    """A post with its place on a map that was just made."""

    post_id: int
    x: float
    y: float
    category: str | None
    probability: float
    photo_sha256: str | None


def read_map_state(connection: Connection, bundle_id: str, view: View) -> MapState:
    """Return how a map stands; one that nobody asked for yet has neither moment."""
    row = connection.execute(
        select(maps).where(maps.c.bundle_id == bundle_id, maps.c.view == view)
    ).one_or_none()
    if row is None:
        return MapState(bundle_id=bundle_id, view=view)
    return MapState.model_validate(dict(row._mapping))


def read_map(connection: Connection, bundle_id: str, view: View) -> PostMap | None:
    """Return a map as it was last made, without posts erased since; None: never made."""
    state = read_map_state(connection, bundle_id, view)
    if state.made_at is None:
        return None
    return PostMap(state=state, points=tuple(list_points(connection, bundle_id, view)))


def list_points(
    connection: Connection, bundle_id: str, view: View, *, after: int = 0, limit: int | None = None
) -> list[MapPoint]:
    """Return the posts of a map by their ids, those after ``after`` first."""
    columns = map_points.c
    query = (
        select(
            columns.post_id,
            influencers.c.username,
            columns.x,
            columns.y,
            columns.category,
            columns.probability,
            columns.photo_sha256,
        )
        .join(posts, posts.c.id == columns.post_id)
        .join(influencers, influencers.c.id == posts.c.influencer_id)
        .where(columns.bundle_id == bundle_id, columns.view == view, columns.post_id > after)
        .order_by(columns.post_id)
        .limit(limit)
    )
    # By place: a row's mapping costs three times as much, and these are thousands.
    return [MapPoint(**dict(zip(POINT, row, strict=True))) for row in connection.execute(query)]


def ask_for_map(connection: Connection, bundle_id: str, view: View) -> bool:
    """Note that somebody wants a map; False where it is being made already."""
    now = datetime.now(UTC)
    state = read_map_state(connection, bundle_id, view)
    if state.asked_at is not None and now - state.asked_at < PATIENCE:
        return False
    row = {"bundle_id": bundle_id, "view": view, "asked_at": now, "groups": [], "posts": 0}
    insert_or_update(connection, maps, [row], key=KEY, update=["asked_at"])
    return True


def fail_map(connection: Connection, bundle_id: str, view: View, problem: str) -> None:
    """Note why a map could not be made; one made before stays."""
    row = {"bundle_id": bundle_id, "view": view, "groups": [], "posts": 0}
    row |= {"asked_at": None, "problem": problem[:1000]}
    insert_or_update(connection, maps, [row], key=KEY, update=["asked_at", "problem"])


def save_map(
    connection: Connection,
    bundle_id: str,
    view: View,
    points: Sequence[NewPoint],
    *,
    groups: Sequence[MapGroup],
    posts_count: int,
    seconds: float,
) -> int:
    """Keep a map in place of the one before; return how many of its posts were not erased."""
    alive = existing_posts(connection, [point.post_id for point in points])
    own = (map_points.c.bundle_id == bundle_id, map_points.c.view == view)
    connection.execute(delete(map_points).where(*own))
    rows = [
        {"bundle_id": bundle_id, "view": view, **dict(point)}
        for point in points
        if point.post_id in alive
    ]
    if rows:
        connection.execute(insert(map_points), rows)
    row = {
        "bundle_id": bundle_id,
        "view": view,
        "asked_at": None,
        "made_at": datetime.now(UTC),
        "seconds": seconds,
        "posts": posts_count,
        "groups": [group.model_dump(mode="json") for group in groups],
        "problem": None,
    }
    insert_or_update(
        connection, maps, [row], key=KEY, update=[key for key in row if key not in KEY]
    )
    return len(rows)


def judged_posts(
    connection: Connection, bundle_id: str, method: str, halves: Collection[Halves]
) -> Iterator[tuple[int, str | None]]:
    """Return each post that a bundle judged by these halves, with its category, by id."""
    query = (
        select(outcomes.c.post_id, outcomes.c.category)
        .where(
            outcomes.c.bundle_id == bundle_id,
            outcomes.c.method == method,
            outcomes.c.halves.in_(halves),
        )
        .order_by(outcomes.c.post_id)
    )
    streamed = connection.execution_options(stream_results=True, yield_per=ROWS_READ)
    for row in streamed.execute(query):
        yield row.post_id, row.category


def read_probabilities(
    connection: Connection, bundle_id: str, method: str, post_ids: Collection[int]
) -> dict[int, float]:
    """Return the largest probability of each post."""
    found: dict[int, float] = {}
    for part in in_parts(post_ids):
        query = select(outcomes.c.post_id, outcomes.c.probabilities).where(
            outcomes.c.bundle_id == bundle_id,
            outcomes.c.method == method,
            outcomes.c.post_id.in_(part),
        )
        for row in connection.execute(query):
            values = np.frombuffer(row.probabilities, "<f4")
            found[row.post_id] = round(float(values.max()), 4) if len(values) else 0.0
    return found


def read_posts(connection: Connection, post_ids: Collection[int]) -> list[PostRow]:
    """Return some posts with their photos, by id; those erased meanwhile are absent."""
    found: list[PostRow] = []
    for part in in_parts(post_ids):
        places: dict[int, list[PhotoPlace]] = {}
        query = select(post_photos).where(post_photos.c.post_id.in_(part))
        for row in connection.execute(
            query.order_by(post_photos.c.post_id, post_photos.c.position)
        ):
            place = PhotoPlace(sha256=row.photo_sha256, url=row.url, problem=row.problem)
            places.setdefault(row.post_id, []).append(place)
        chosen = select(posts).where(posts.c.id.in_(part)).order_by(posts.c.id)
        found += [make_post(row, places.get(row.id, ())) for row in connection.execute(chosen)]
    return found
