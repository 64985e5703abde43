"""A map of posts: which lies where in the plane, and what lies beside what."""

from datetime import datetime
from typing import Literal, get_args

from pydantic import Field

from schemas.base import Frozen

View = Literal["image", "text", "both"]
"""By which of a post's vectors a map lays it out."""

VIEWS: tuple[View, ...] = get_args(View)
DEFAULT_POSTS = 3000
MIN_POSTS = 10
MAX_POSTS = 7000
"""As many as in the thesis' figures."""


class MapPoint(Frozen):
    """A post on the map: ``x`` and ``y`` lie within 0 and 1, ``x`` to the right, ``y`` down.

    ``category`` is the model's with its probability; where it is None (unknown) that is the
    likeliest class's. ``photo`` names the first photo by its sha256.
    """

    post: int
    username: str
    x: float
    y: float
    category: str | None
    probability: float
    photo: str | None


class MapGroup(Frozen):
    """One category on the map (None: unknown): ``shown`` of its ``posts`` are drawn.

    ``alike`` is the part of the nearest neighbours, in the plane, that have the same category;
    ``beside`` is the other one that is met most among them, and ``beside_part`` its part.
    """

    category: str | None
    shown: int
    posts: int
    alike: float
    beside: str | None
    beside_part: float


class MapState(Frozen):
    """How a map stands: asked for since, made at, or why it could not be made; None: never."""

    bundle_id: str
    view: View
    asked_at: datetime | None = None
    made_at: datetime | None = None
    seconds: float | None = None
    posts: int = Field(0, description="posts that could have been drawn")
    groups: tuple[MapGroup, ...] = ()
    problem: str | None = None


class PostMap(Frozen):
    """A map as it was made."""

    state: MapState
    points: tuple[MapPoint, ...]
