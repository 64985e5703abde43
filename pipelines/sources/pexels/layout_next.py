"""Pexels' search page since 2021: everything in the JSON that its scripts start from."""

from pipelines.sources.metadata import dig, first_of
from pipelines.sources.pexels.markup import Tag, iter_markup
from pipelines.sources.pexels.photos import build_photo, read_or_none, read_text
from pipelines.sources.records import parse_json
from pipelines.sources.values import make_problem, parse_count, parse_name
from schemas.crawls import FoundPhoto, Page
from schemas.errors import FetchError

_SCRIPT_ID = "__NEXT_DATA__"
# Smaller copies first: "download_link" leads to the original.
_SIZES = ("large", "medium", "small", "download_link")


def read_layout_next(html: str, base_url: str) -> Page[FoundPhoto] | None:
    """Read a page of this layout; None where it is none.

    Raises:
        FetchError: ``broken-answer``: the page has data, but not whole.
    """
    script = _find_script(html)
    if script is None:
        return None
    try:
        data = dig(parse_json(script), "props", "pageProps", "initialData")
    except ValueError:
        raise FetchError("broken-answer", "The data of a page of Pexels is no JSON.") from None
    entries = dig(data, "data")
    if not isinstance(entries, list):
        return None
    wanted = [entry for entry in entries if first_of(dig(entry, "type"), "photo") == "photo"]
    photos = [_read_photo(entry, base_url) for entry in wanted]
    detail = "A photo without an id, or without an address that can be fetched."
    return Page[FoundPhoto](
        items=tuple({photo.external_id: photo for photo in photos if photo}.values()),
        next=_find_next(data) if entries else None,
        total=_count(data, "total_results"),
        problems=tuple(
            make_problem(f"photo {number}", "invalid-photo", detail)
            for number, photo in enumerate(photos, 1)
            if photo is None
        ),
    )


def _find_script(html: str) -> str | None:
    if _SCRIPT_ID not in html:
        return None
    within = False
    for item in iter_markup(html):
        if within:
            return item if isinstance(item, str) else None
        within = (
            isinstance(item, Tag)
            and item.name == "script"
            and item.attributes.get("id") == _SCRIPT_ID
        )
    return None


def _find_next(data: object) -> str | None:
    current, last = _count(data, "current_page"), _count(data, "total_pages")
    if current is None or last is None or current >= last:
        return None
    return str(current + 1)


def _count(data: object, name: str) -> int | None:
    return read_or_none(parse_count, dig(data, "pagination", name))


def _read_photo(entry: object, base_url: str) -> FoundPhoto | None:
    attributes = dig(entry, "attributes")
    user = dig(attributes, "user")
    name = " ".join(
        filter(None, (read_text(dig(user, f"{part}_name")) for part in ("first", "last")))
    )
    return build_photo(
        external_id=dig(entry, "id"),
        urls=(dig(attributes, "image", size) for size in _SIZES),
        page=_find_page(entry),
        photographer=first_of(name or None, dig(user, "username")),
        photographer_url=_find_profile(user),
        size=(dig(attributes, "width"), dig(attributes, "height")),
        site=base_url,
    )


def _find_page(entry: object) -> str | None:
    number = read_or_none(parse_name, dig(entry, "id"))
    slug = read_text(dig(entry, "attributes", "slug"))
    return None if number is None else f"/photo/{f'{slug}-' if slug else ''}{number}/"


def _find_profile(user: object) -> str | None:
    slug = read_text(first_of(dig(user, "slug"), dig(user, "username")))
    return f"/@{slug}" if slug else None
