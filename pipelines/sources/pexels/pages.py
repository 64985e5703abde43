"""Pexels' search pages, as laid out in 2020 and since 2021; read only where that is switched on."""

from urllib.parse import quote

from pipelines.sources.http import Fetched, Fetcher, refusal
from pipelines.sources.pexels.challenge import challenged, is_challenge, refuse_challenge
from pipelines.sources.pexels.layout_2020 import read_layout_2020
from pipelines.sources.pexels.layout_next import read_layout_next
from pipelines.sources.pexels.markup import iter_markup
from pipelines.sources.pexels.photos import SITE
from schemas.crawls import FoundPhoto, Page
from schemas.errors import FetchError, SourceBlockedError

MAX_PAGE_CHARS = 2 * 2**20
"""Real pages have some 250,000."""

FORBIDDEN, UNAVAILABLE, SUCCESS = 403, 503, 200


async def read_search_page(
    fetcher: Fetcher, term: str, page: int = 1, *, base_url: str = SITE
) -> Page[FoundPhoto]:
    """Fetch and read one page of a search, held against robots.txt.

    Raises:
        SourceBlockedError: a challenge page or a refusal came: stop.
        FetchError: no usable answer came; ``unknown-layout`` if the pages look different now.
    """
    base_url = base_url.rstrip("/")
    address = f"{base_url}/search/{quote(term, safe='', errors='replace')}/?page={page}"
    answer = await fetcher.fetch(address, kind="page", accept_status=(FORBIDDEN, UNAVAILABLE))
    _refuse(answer)
    found = parse_search_page(answer.body.decode("utf-8", "replace"), base_url=base_url)
    if found.next is not None and int(found.next) <= page:
        # A link back would lead in a circle.
        return found.model_copy(update={"next": None})
    return found


def parse_search_page(html: str, *, base_url: str = SITE) -> Page[FoundPhoto]:
    """Read a search page of either layout; ``next`` is the number of the page after it.

    Links are made whole with ``base_url``. Photos of an unknown shape are ``problems``.

    Raises:
        SourceBlockedError: it is a challenge page.
        FetchError: ``unknown-layout`` or ``too-big``.
    """
    if is_challenge(html):
        raise challenged()
    if len(html) > MAX_PAGE_CHARS:
        raise FetchError("too-big", "A search page of Pexels is larger than any real one.")
    found = read_layout_next(html, base_url) or read_layout_2020(iter_markup(html), base_url)
    if found is None:
        raise FetchError(
            "unknown-layout",
            "A page of Pexels holds neither photos nor data where its known layouts have them: "
            "use the API (AFIN_PEXELS_KEY).",
        )
    return found


def _refuse(answer: Fetched) -> None:
    if answer.status == SUCCESS:
        return
    refuse_challenge(answer)
    if answer.status == FORBIDDEN:
        raise SourceBlockedError(
            "Pexels refuses to show its pages (403): stop, and use the API (AFIN_PEXELS_KEY)."
        )
    if answer.status == UNAVAILABLE:
        raise refusal(answer.status, answer.final_url, None)
