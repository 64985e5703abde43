"""Pexels' photos and its API: search by term, with a key, pages, and a budget of requests."""

import math
import re
import unicodedata
from dataclasses import dataclass

from aiohttp import web
from yarl import URL

from pipelines.sources.sandbox.library import Subject
from pipelines.sources.sandbox.misbehaviours import Server
from pipelines.sources.sandbox.plan import MOST, PEXELS_KEY
from pipelines.sources.sandbox.vocabulary import Term, find_term, list_terms
from pipelines.sources.sandbox.window import Window
from pipelines.sources.sandbox.world import KIND, World

FIRST_ID = 1_000_000
PER_PAGE, MOST_PER_PAGE = 15, 80
HOUR_S, MONTH_S = 3600.0, 30 * 24 * 3600.0

PHOTOGRAPHERS = (
    "Ana Ríos", "Bruno Salas", "Camila Vera", "Diego Luna", "Elisa Prado", "Fabián Soto",
    "Greta O'Higgins", "Hugo Mena", "Inés Cruz", "Julián Toro", "Karen Díaz & Co.", "Lucas Peña",
)  # fmt: skip
_TITLES = ("Photo of", "Close-up of", "A quiet day with", "Woman and", "Selective focus of")
_PHOTO = re.compile(r"/photos/([0-9]{7,12})/[^/]*\Z")

# What the CDN is asked for besides the original, in the order of the API's answer.
_VARIANTS = {
    "original": "",
    "large2x": "?auto=compress&cs=tinysrgb&dpr=2&h=650&w=940",
    "large": "?auto=compress&cs=tinysrgb&h=650&w=940",
    "medium": "?auto=compress&cs=tinysrgb&h=350",
    "small": "?auto=compress&cs=tinysrgb&h=130",
    "portrait": "?auto=compress&cs=tinysrgb&fit=crop&h=1200&w=800",
    "landscape": "?auto=compress&cs=tinysrgb&fit=crop&h=627&w=1200",
    "tiny": "?auto=compress&cs=tinysrgb&fit=crop&h=200&w=280",
}


@dataclass(frozen=True)
class PexelsPhoto:
    """A photo as Pexels knows it; its id tells the term and its place there."""

    id: int
    width: int
    height: int
    title: str
    photographer: str
    photographer_id: int

    @property
    def slug(self) -> str:
        """Its title as addresses have it."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower())

    @property
    def page(self) -> str:
        """The last part of its page's address."""
        return f"{self.slug}-{self.id}"

    @property
    def handle(self) -> str:
        """The photographer's name in addresses."""
        plain = unicodedata.normalize("NFKD", self.photographer.lower())
        return "@" + re.sub(r"[^a-z]+", "", plain)


async def find_photos(world: World, term: Term, start: int, count: int) -> list[PexelsPhoto]:
    """The photos of a term from place ``start`` (from 0) on."""
    places = range(start, min(start + count, world.content.photos_per_term))
    return [await _find_photo(world, term, place) for place in places]


async def _find_photo(world: World, term: Term, place: int) -> PexelsPhoto:
    number = FIRST_ID + term.number * MOST + place
    width, height = await world.library.size(Subject(term.category, _series(term), place))
    who = int(world.draw("photographer", number) * len(PHOTOGRAPHERS))
    words = _TITLES[int(world.draw("title", number) * len(_TITLES))]
    return PexelsPhoto(number, width, height, f"{words} {term.text}", PHOTOGRAPHERS[who], 680 + who)


def _series(term: Term) -> str:
    return f"pexels/{term.text}"


def find_subject(_world: World, path: str) -> Subject | None:
    """What the photo at a path of the CDN shows."""
    match = _PHOTO.search(path)
    if match is None:
        return None
    number, place = divmod(int(match[1]) - FIRST_ID, MOST)
    terms = list_terms()
    if not 0 <= number < len(terms):
        return None
    return Subject(terms[number].category, _series(terms[number]), place)


def name_file(world: World, photo: PexelsPhoto) -> str:
    """The address of a photo's original on the CDN."""
    base = world.bases[Server.PEXELS_PHOTOS]
    return f"{base}/photos/{photo.id}/pexels-photo-{photo.id}.jpeg"


def describe_photo(world: World, photo: PexelsPhoto) -> dict[str, object]:
    """A photo as the API writes it."""
    site, file = world.bases[Server.PEXELS], name_file(world, photo)
    return {
        "id": photo.id,
        "width": photo.width,
        "height": photo.height,
        "url": f"{site}/photo/{photo.page}/",
        "photographer": photo.photographer,
        "photographer_url": f"{site}/{photo.handle}",
        "photographer_id": photo.photographer_id,
        "src": {name: f"{file}{query}" for name, query in _VARIANTS.items()},
    }


class PexelsApi:
    """``/v1/search``, with the budget of the one key."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._hour = Window(HOUR_S, world.clock)
        self._month = Window(MONTH_S, world.clock)

    async def search(self, request: web.Request) -> web.Response:
        """Answer a search, or refuse it."""
        plan = self._world.plan
        if not request.headers.get("User-Agent"):
            return _refuse(request, 403, "error code: 1010")
        if request.headers.get("Authorization") != PEXELS_KEY:
            return _refuse(request, 401, "A valid API key is required in the header Authorization.")
        if self._hour.used >= plan.pexels_hourly or self._month.used >= plan.pexels_monthly:
            return _refuse(request, 429, "Rate limit exceeded.")
        query = request.query.get("query", "").strip()
        page = _read_number(request, "page", 1)
        per_page = _read_number(request, "per_page", PER_PAGE)
        if not query or page is None or per_page is None:
            return _refuse(request, 400, "query, page or per_page is missing or wrong.")
        self._hour.add()
        self._month.add()
        request[KIND] = "search"
        per_page = min(per_page, MOST_PER_PAGE)
        term = find_term(query)
        document = await self._find(term, query, page, per_page)
        return web.json_response(document, headers=self._describe_budget())

    async def _find(
        self, term: Term | None, query: str, page: int, per_page: int
    ) -> dict[str, object]:
        world = self._world
        total = world.content.photos_per_term if term else 0
        start = (page - 1) * per_page
        photos = await find_photos(world, term, start, per_page) if term else []
        document: dict[str, object] = {
            "total_results": total,
            "page": page,
            "per_page": per_page,
            "photos": [describe_photo(world, photo) for photo in photos],
        }
        search = URL(world.bases[Server.PEXELS]) / "v1/search/"
        if start + per_page < total:
            next_page = search.with_query(page=page + 1, per_page=per_page, query=query)
            document["next_page"] = str(next_page)
        if page > 1:
            prev_page = search.with_query(page=page - 1, per_page=per_page, query=query)
            document["prev_page"] = str(prev_page)
        return document

    def _describe_budget(self) -> dict[str, str]:
        limit = self._world.plan.pexels_monthly
        return {
            "X-Ratelimit-Limit": str(limit),
            "X-Ratelimit-Remaining": str(max(0, limit - self._month.used)),
            "X-Ratelimit-Reset": str(math.ceil(self._month.free_at())),
        }


def _refuse(request: web.Request, status: int, why: str) -> web.Response:
    request[KIND] = f"http-{status}"
    return web.json_response({"error": why}, status=status)


def _read_number(request: web.Request, name: str, default: int) -> int | None:
    text = request.query.get(name, str(default))
    return int(text) if text.isascii() and text.isdecimal() and 1 <= int(text) <= MOST else None
