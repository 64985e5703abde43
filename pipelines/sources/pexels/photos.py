"""A photo of Pexels from loosely typed values, with the credit that is due."""

from collections.abc import Callable, Iterable
from typing import TypeVar
from urllib.parse import urljoin

from pipelines.sources.http import looks_fetchable
from pipelines.sources.values import clean_text, parse_count, parse_name
from schemas.crawls import FoundPhoto

SITE = "https://www.pexels.com"
MAX_CREDIT_CHARS = 200

_T = TypeVar("_T")


def build_photo(
    *,
    external_id: object,
    urls: Iterable[object],
    page: object,
    photographer: object,
    photographer_url: object,
    size: tuple[object, object],
    site: str = SITE,
) -> FoundPhoto | None:
    """Build a photo from the first of ``urls`` that can be fetched; None without id or address.

    ``page`` and ``photographer_url`` may be relative to ``site``; ``size`` is width and height.
    """
    name = read_or_none(parse_name, external_id)
    url = next((link for link in map(_read_link, urls) if link is not None), None)
    if name is None or url is None:
        return None
    return FoundPhoto(
        source="pexels",
        external_id=name,
        url=url,
        page=_read_link(page, site),
        photographer=read_text(photographer),
        photographer_url=_read_link(photographer_url, site),
        width=read_or_none(parse_count, size[0]),
        height=read_or_none(parse_count, size[1]),
    )


def read_or_none(parse: Callable[[object], _T], value: object) -> _T | None:
    """Parse a value; None where it cannot be used."""
    try:
        return parse(value)
    except ValueError:
        return None


def read_text(value: object) -> str:
    """A short text without what no database takes."""
    return clean_text(value).strip()[:MAX_CREDIT_CHARS] if isinstance(value, str) else ""


def _read_link(value: object, base: str = "") -> str | None:
    text = clean_text(value).strip() if isinstance(value, str) else ""
    if not text:
        return None
    try:
        link = urljoin(base, text)
    except ValueError:
        return None
    return link if looks_fetchable(link) else None
