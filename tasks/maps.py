"""Maps of posts: a cpu worker lays a bundle's vectors out in the plane and keeps the places."""

import logging
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from kombu.exceptions import OperationalError
from numpy.typing import NDArray
from sqlalchemy import Connection

from pipelines.evaluation.maps import (
    choose_vectors,
    describe_groups,
    fit_square,
    lay_out,
    sample_by_group,
)
from pipelines.verdict import prepare_inputs
from schemas.bundles import BundleInfo
from schemas.errors import BrokerError, UsageError
from schemas.maps import DEFAULT_POSTS, MAX_POSTS, MIN_POSTS, VIEWS, MapState, View
from schemas.verdicts import Halves
from storage.accounts import PostRow
from storage.bundles import find_bundle
from storage.maps import (
    NewPoint,
    ask_for_map,
    fail_map,
    judged_posts,
    read_map_state,
    read_posts,
    read_probabilities,
    save_map,
)
from storage.standings import PRIMARY
from tasks.app import app, require_broker, task
from tasks.context import Context, context
from tasks.evidence import stack_posts

log = logging.getLogger(__name__)

HALVES_SEEN: dict[View, tuple[Halves, ...]] = {
    "image": ("image", "both"),
    "text": ("text", "both"),
    "both": ("both",),
}
"""By which halves a post must have been judged to be on a map."""

Tell = Callable[[str], None]


def views_of(info: BundleInfo) -> tuple[View, ...]:
    """Return by which vectors a bundle's posts can be laid out."""
    halves = info.manifest.halves
    return VIEWS if len(halves) > 1 else tuple(view for view in VIEWS if view in halves)


def start_map(
    resources: Context, bundle_id: str | None, view: View, posts: int = DEFAULT_POSTS
) -> MapState:
    """Ask a cpu worker for a map, unless it is being made; return how it stands.

    Raises:
        NotFoundError: there is no such bundle.
        UsageError: the bundle knows nothing of that half, or so few posts are no map.
        BrokerError: nobody would do it.
    """
    _check_count(posts)
    with resources.database.read() as connection:
        info = find_bundle(connection, bundle_id)
    _check_view(info, view)
    require_broker(resources.settings)
    with resources.database.write() as connection:
        new = ask_for_map(connection, info.id, view)
    if new:
        try:
            app.send_task("maps.draw", (info.id, view, posts))
        except OperationalError as error:
            with resources.database.write() as connection:
                fail_map(connection, info.id, view, "The broker could not be reached.")
            raise BrokerError(
                "The broker cannot be reached: start it, or correct AFIN_BROKER_URL."
            ) from error
    with resources.database.read() as connection:
        return read_map_state(connection, info.id, view)


@task("maps.draw", ignore_result=True)
def draw(bundle_id: str, view: View, posts: int) -> str:
    """Make a map and keep it; why it could not be made is kept too."""
    resources = context()
    try:
        state = make_map(resources, bundle_id, view, posts)
    except Exception as error:
        log.exception("the map of %s by %s could not be made", bundle_id, view)
        with resources.database.write() as connection:
            fail_map(connection, bundle_id, view, str(error) or type(error).__name__)
        return "failed"
    return f"posts={sum(group.shown for group in state.groups)} of={state.posts}"


def make_map(
    resources: Context,
    bundle_id: str | None,
    view: View,
    posts: int = DEFAULT_POSTS,
    *,
    tell: Tell = lambda _what: None,
) -> MapState:
    """Lay out posts that a bundle judged, as many of each category, in this process; keep the map.

    Raises:
        NotFoundError: there is no such bundle.
        UsageError: as ``start_map``, or the bundle judged too few posts.
    """
    started = time.monotonic()
    _check_count(posts)
    with resources.database.read() as connection:
        info = find_bundle(connection, bundle_id)
        _check_view(info, view)
        tell("Choosing posts")
        chosen = _choose(connection, info, view, posts)
    tell("Reading vectors")
    vectors, kept = _read_vectors(resources, info, view, chosen.rows)
    if len(kept) < MIN_POSTS:
        raise UsageError(
            f"{info.id} has judged only {len(kept)} posts whose vectors are there, and a map needs "
            f"{MIN_POSTS}: classify more accounts first, with 'afin reclassify'."
        )
    tell(f"Laying out {len(kept)} posts")
    places = fit_square(lay_out(vectors, seed=info.manifest.seed))
    points = [
        _point(chosen.rows[row], chosen, *place)
        for row, place in zip(kept, places.round(5).tolist(), strict=True)
    ]
    groups = describe_groups(places, [point.category for point in points], chosen.totals)
    with resources.database.write() as connection:
        save_map(
            connection,
            info.id,
            view,
            points,
            groups=groups,
            posts_count=sum(chosen.totals.values()),
            seconds=round(time.monotonic() - started, 1),
        )
        return read_map_state(connection, info.id, view)


@dataclass(frozen=True)
class _Chosen:
    """The posts to be drawn, what the bundle says of each, and how many there are by category."""

    rows: list[PostRow]
    category: dict[int, str | None]
    probability: dict[int, float]
    totals: dict[str | None, int]


def _choose(connection: Connection, info: BundleInfo, view: View, posts: int) -> _Chosen:
    methods = info.manifest.methods
    method = PRIMARY if PRIMARY in methods else methods[0]
    # Arrays: a database may hold millions of posts.
    ids, codes = array("q"), array("h")
    names: dict[str | None, int] = {}
    for post_id, name in judged_posts(connection, info.id, method, HALVES_SEEN[view]):
        ids.append(post_id)
        codes.append(names.setdefault(name, len(names)))
    groups = np.array(codes, np.int16)
    counts = np.bincount(groups, minlength=len(names)).tolist()
    drawn = sample_by_group(groups, posts, info.manifest.seed)
    named = list(names)
    category = {ids[row]: named[codes[row]] for row in drawn}
    return _Chosen(
        rows=read_posts(connection, list(category)),
        category=category,
        probability=read_probabilities(connection, info.id, method, list(category)),
        totals=dict(zip(names, counts, strict=True)),
    )


def _read_vectors(
    resources: Context, info: BundleInfo, view: View, rows: list[PostRow]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the vectors of those posts that have them all, and their places among ``rows``."""
    bundle = resources.bundle(info.id)
    posts = stack_posts(resources, bundle, rows)
    inputs = prepare_inputs(posts, info.manifest, bundle.reducer)
    vectors, whole = choose_vectors(inputs, bundle.network, view)
    kept = np.flatnonzero(whole)
    return vectors[kept], kept


def _point(post: PostRow, chosen: _Chosen, x: float, y: float) -> NewPoint:
    return NewPoint(
        post_id=post.id,
        x=x,
        y=y,
        category=chosen.category[post.id],
        probability=chosen.probability.get(post.id, 0.0),
        photo_sha256=next((place.sha256 for place in post.photos if place.sha256), None),
    )


def _check_count(posts: int) -> None:
    if not MIN_POSTS <= posts <= MAX_POSTS:
        raise UsageError(f"A map shows {MIN_POSTS} to {MAX_POSTS} posts, not {posts}.")


def _check_view(info: BundleInfo, view: View) -> None:
    if view not in views_of(info):
        raise UsageError(
            f"{info.id} judges by {' and '.join(info.manifest.halves)} only: ask for a map by "
            f"{' or '.join(views_of(info))}."
        )
