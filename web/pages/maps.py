"""The map: posts laid out in the plane, so that people see what the model takes for alike."""

from datetime import UTC, datetime, timedelta
from typing import get_args

from aiohttp import web
from sqlalchemy import Connection

from schemas.base import Frozen
from schemas.bundles import BundleInfo, BundleState
from schemas.errors import UsageError
from schemas.maps import DEFAULT_POSTS, MAX_POSTS, MapPoint, MapState, View
from schemas.users import Role
from storage.bundles import list_bundles
from storage.maps import PATIENCE, list_points, read_map_state
from tasks.maps import start_map, views_of
from web.marks import shape_of
from web.render import render
from web.security import needs
from web.site import site_of

COUNTS = (1000, DEFAULT_POSTS, MAX_POSTS)
ROWS = 25


class Asked(Frozen):
    """Which map an address asks for, of which there are."""

    bundles: tuple[BundleInfo, ...]
    info: BundleInfo | None
    view: View
    state: MapState | None

    @property
    def views(self) -> tuple[View, ...]:
        """By which vectors this bundle's posts can be laid out."""
        return views_of(self.info) if self.info else ()

    @property
    def making(self) -> bool:
        """Whether a worker is at it, or was asked so lately that it may be."""
        asked = self.state.asked_at if self.state else None
        return asked is not None and datetime.now(UTC) - asked < PATIENCE

    @property
    def age_s(self) -> float | None:
        """How old the map is."""
        return self._since(self.state.made_at if self.state else None)

    @property
    def waited_s(self) -> float | None:
        """How long ago it was asked for."""
        return self._since(self.state.asked_at if self.state else None)

    def _since(self, moment: datetime | None) -> float | None:
        left = datetime.now(UTC) - moment if moment else None
        return None if left is None else max(left, timedelta()).total_seconds()


def routes() -> list[web.AbstractRouteDef]:
    """Return the addresses of the map."""
    return [
        web.get("/map", show),
        web.post("/map", ask),
        web.get("/map/state", show_state),
        web.get("/map/posts", show_posts),
    ]


async def show(request: web.Request) -> web.StreamResponse:
    """Show a map, or how to get one."""
    site = site_of(request)
    asked = await site.read(_find, request)
    points: list[MapPoint] = []
    if asked.info and asked.state and asked.state.made_at:
        points = await site.read(list_points, asked.info.id, asked.view, after=0, limit=ROWS)
    return render(
        request,
        "map.html",
        asked=asked,
        counts=COUNTS,
        shape=shape_of,
        points=points,
        more=_more(asked, points),
    )


async def show_state(request: web.Request) -> web.StreamResponse:
    """Say how a map that is being made stands; once it has ended the page is loaded again."""
    asked = await site_of(request).read(_find, request)
    response = render(request, "_map_state.html", asked=asked)
    if not asked.making:
        response.headers["HX-Refresh"] = "true"
    return response


async def show_posts(request: web.Request) -> web.StreamResponse:
    """Show more rows of the table of posts."""
    site = site_of(request)
    asked = await site.read(_find, request)
    if asked.info is None:
        raise web.HTTPNotFound
    after = request.query.get("after", "")
    if not after.isdigit() or len(after) > 18:  # noqa: PLR2004
        raise UsageError("after is a post's number.")
    points = await site.read(list_points, asked.info.id, asked.view, after=int(after), limit=ROWS)
    return render(request, "_map_posts.html", points=points, more=_more(asked, points))


@needs(Role.OPERATOR)
async def ask(request: web.Request) -> web.StreamResponse:
    """Ask a worker for a map."""
    form = await request.post()
    view, posts = read_view(str(form.get("view", ""))), str(form.get("posts", ""))
    if not posts.isdigit() or len(posts) > 9:  # noqa: PLR2004
        raise UsageError("Say how many posts the map shall show.")
    site = site_of(request)
    state = await site.call(
        start_map, site.resources, str(form.get("bundle", "")) or None, view, int(posts)
    )
    raise web.HTTPSeeOther(f"/map?bundle={state.bundle_id}&view={view}")


def read_view(text: str) -> View:
    """Return a view from an address.

    Raises:
        UsageError: there is none of that name.
    """
    for view in get_args(View):
        if view == text:
            found: View = view
            return found
    raise UsageError(f"Unknown view {text[:20]!r}: use one of {', '.join(get_args(View))}.")


def _find(connection: Connection, request: web.Request) -> Asked:
    """Return the bundle and view of an address; the active bundle and its photos else."""
    known = list_bundles(connection)
    named = request.query.get("bundle", "")
    if named:
        info = next((one for one in known if one.id == named), None)
        if info is None:
            raise web.HTTPNotFound(reason="There is no such bundle")
    else:
        active = (one for one in known if one.state is BundleState.ACTIVE)
        info = next(active, known[0] if known else None)
    view = read_view(request.query.get("view") or (views_of(info)[0] if info else "image"))
    state = read_map_state(connection, info.id, view) if info else None
    return Asked(bundles=tuple(known), info=info, view=view, state=state)


def _more(asked: Asked, points: list[MapPoint]) -> str | None:
    if asked.info is None or len(points) < ROWS:
        return None
    return f"/map/posts?bundle={asked.info.id}&view={asked.view}&after={points[-1].post}"
