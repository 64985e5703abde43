"""Pexels' search page as laid out in 2020: an ``article`` a photo, told by its data attributes."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from pipelines.sources.pexels.markup import Tag
from pipelines.sources.pexels.photos import build_photo, read_or_none
from pipelines.sources.values import make_problem, parse_count
from schemas.crawls import FoundPhoto, Page

_MODAL = "data-photo-modal-"
_SIZE = re.compile(r"(\d{1,6})\s*x\s*(\d{1,6})", re.ASCII)
_PROFILE = "/@"
# What a page of this layout has even where nothing was found.
_LANDMARKS = frozenset({"js-pagination", "js-search-value", "search__grid", "search__header"})


@dataclass
class _Article:
    """What was seen of a photo so far: its own attributes, and those of what it holds."""

    attributes: dict[str, str]
    image: dict[str, str] = field(default_factory=dict)
    page: str = ""
    profile: str = ""
    names: list[str] = field(default_factory=list)

    def modal(self, name: str) -> str:
        return self.attributes.get(_MODAL + name, "")


@dataclass
class _Seen:
    """What was seen of a page besides its photos."""

    next: str | None = None
    known: bool = False


def read_layout_2020(markup: Iterable[Tag | str], base_url: str) -> Page[FoundPhoto] | None:
    """Read a page of this layout; None where it is none."""
    seen = _Seen()
    photos: dict[str, FoundPhoto] = {}
    problems = []
    for number, article in enumerate(_gather(markup, seen), 1):
        if (article.modal("type") or "Photo") != "Photo":
            continue
        photo = _build(article, base_url)
        if photo is None:
            detail = "A photo without an id, or without an address that can be fetched."
            problems.append(make_problem(f"photo {number}", "invalid-photo", detail))
        else:
            photos.setdefault(photo.external_id, photo)
    if not (photos or problems or seen.known):
        return None
    return Page[FoundPhoto](items=tuple(photos.values()), next=seen.next, problems=tuple(problems))


def _gather(markup: Iterable[Tag | str], seen: _Seen) -> Iterator[_Article]:
    article: _Article | None = None
    in_profile = False
    for item in markup:
        if isinstance(item, str):
            if article is not None and in_profile:
                article.names.append(item)
            continue
        if item.name == "article":
            if article is not None:
                yield article
            article = None if item.closing else _open(item)
            in_profile = False
        elif item.name == "a" and item.closing:
            in_profile = False
        elif article is not None:
            in_profile = _look_inside(article, item) or in_profile
        else:
            _look_outside(seen, item)
    if article is not None:
        yield article


def _open(tag: Tag) -> _Article | None:
    known = tag.has_class("photo-item") or f"{_MODAL}medium-id" in tag.attributes
    return _Article(tag.attributes) if known else None


def _look_inside(article: _Article, tag: Tag) -> bool:
    """Note what a tag within an article tells; True where the photographer's name follows."""
    link = tag.attributes.get("href", "")
    if tag.name == "a" and tag.has_class("js-photo-link"):
        article.page = article.page or link
    elif tag.name == "img" and not article.image and "data-big-src" in tag.attributes:
        article.image = tag.attributes
    elif tag.name == "a" and link.startswith(_PROFILE):
        article.profile = article.profile or link
        return not "".join(article.names).strip()
    return False


def _look_outside(seen: _Seen, tag: Tag) -> None:
    if not _LANDMARKS.isdisjoint(tag.attributes.get("class", "").split()):
        seen.known = True
    if tag.name == "a" and "next" in tag.attributes.get("rel", "").split():
        seen.known = True
        seen.next = seen.next or _read_page_number(tag.attributes.get("href", ""))


def _read_page_number(link: str) -> str | None:
    try:
        values = parse_qs(urlsplit(link).query).get("page", [])
    except ValueError:
        return None
    number = read_or_none(parse_count, values[0]) if values else None
    return str(number) if number else None


def _build(article: _Article, base_url: str) -> FoundPhoto | None:
    image = article.image
    size = _SIZE.fullmatch(article.modal("download-value-original").strip())
    width, height = size.groups() if size else ("", "")
    return build_photo(
        external_id=article.modal("medium-id"),
        urls=(
            image.get("data-large-src"),
            image.get("data-big-src"),
            article.modal("image-src"),
            image.get("src"),
            article.modal("image-download-link"),
        ),
        page=article.page,
        photographer=article.modal("user-profile-full-name") or " ".join(article.names).strip(),
        photographer_url=article.modal("user-profile-link") or article.profile,
        size=(
            width or article.modal("width") or image.get("data-image-width"),
            height or article.modal("height") or image.get("data-image-height"),
        ),
        site=base_url,
    )
