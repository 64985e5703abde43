"""What crawlers find: photos and posts with where they come from, and how much may be asked yet."""

from datetime import datetime
from typing import Generic, Literal, TypeVar

from pydantic import Field

from schemas.base import Frozen
from schemas.posts import Problem
from schemas.runs import RunState

Source = Literal["imagenet", "pexels", "instagram"]
PartKind = Literal["synset", "files", "search", "pages", "tag", "account"]
MediaKind = Literal["photo", "album", "video"]
Item = TypeVar("Item")


class FoundPhoto(Frozen):
    """A photo that a source names; where its terms ask for a credit, the credit comes with it.

    ``page`` is where a person looks at the photo, ``photographer_url`` where at its maker's others.
    ``width`` and ``height`` (pixels) are the original's; ``url`` may lead to a smaller copy.
    """

    source: Source
    external_id: str
    url: str
    page: str | None = None
    photographer: str = ""
    photographer_url: str | None = None
    width: int | None = None
    height: int | None = None


class FoundPost(Frozen):
    """A post that a source names; ``username`` is None where the source hides its author.

    The addresses of its photos expire within days: fetch them at once.
    """

    external_id: str
    kind: MediaKind = "photo"
    caption: str = ""
    username: str | None = None
    permalink: str | None = None
    posted_at: datetime | None = None
    likes: int | None = None
    comments: int | None = None
    photos: tuple[FoundPhoto, ...] = ()
    problems: tuple[Problem, ...] = ()


class FoundAccount(Frozen):
    """What a source tells of an account besides its posts."""

    username: str
    external_id: str
    followers: int | None = None
    posts: int | None = None


class Page(Frozen, Generic[Item]):
    """One page of what a source found; ``problems`` are its entries that could not be used.

    ``next`` is handed back as it is to ask for the next page, and holds no secret; None on the
    last one. ``total`` is how many items all pages hold together, if the source says so.
    """

    items: tuple[Item, ...]
    next: str | None = None
    total: int | None = None
    problems: tuple[Problem, ...] = ()


class RateState(Frozen):
    """What a source said last about its budget of requests."""

    limit: int | None = None
    remaining: int | None = None
    reset_at: datetime | None = None


class Usage(Frozen):
    """How much of its allowance of calls an application has used up."""

    percent: float = Field(0.0, ge=0, description="the most used of all allowances; 100: throttled")
    regain_at: datetime | None = Field(None, description="when a throttled one is let in again")


class HostReport(Frozen):
    """How many addresses one host had in a crawl, and what became of them."""

    host: str
    found: int
    stored: int
    dead: int


class CrawlReport(Frozen):
    """What became of a crawl.

    ``found`` addresses are ``stored`` now, ``known`` from an earlier crawl, ``waiting``, beyond the
    limit asked for, duplicates (of content or looks), placeholders, ``refused`` for what they
    are, or ``dead`` for a reason that may pass. ``hosts`` are those with the most addresses.
    """

    run: int
    state: RunState
    error: str | None
    found: int
    stored: int
    known: int
    waiting: int
    duplicates: int
    placeholders: int
    beyond_limit: int
    dead: dict[str, int]
    refused: dict[str, int]
    size_bytes: int
    lists: int
    pages: int
    lists_failed: dict[str, str]
    remarks: dict[str, str]
    hosts: list[HostReport]
