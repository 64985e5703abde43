"""One page of whatever a crawl lists: asked for within its budget, and brought to one form."""

import asyncio
import json
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic import SecretStr

from pipelines.sources.http import Fetcher, ThrottledError
from pipelines.sources.imagenet import read_hyponyms, read_synset_urls, read_url_page
from pipelines.sources.instagram import (
    TOKEN_SETTING,
    USER_SETTING,
    Edge,
    GraphAccess,
    choose_pause_s,
    find_tag,
    read_account_page,
    read_tag_page,
)
from pipelines.sources.pexels.api import KEY_SETTING, search_page
from pipelines.sources.pexels.pages import read_search_page
from schemas.base import Frozen
from schemas.crawls import FoundAccount, FoundPhoto, FoundPost, Usage
from schemas.errors import SourceBlockedError
from schemas.posts import Problem
from schemas.settings import Settings
from storage.crawl_parts import Part
from tasks.context import Context
from tasks.crawl_budgets import heed_pause, keep_rate, slow_down, spend_request, spend_tag

Answer = TypeVar("Answer")

EDGES: tuple[Edge, ...] = ("top_media", "recent_media")
"""What Instagram lists of a tag: the most popular posts, then those of the last 24 hours."""


POSTED = frozenset({"tag", "account"})
"""Kinds of parts that list posts; the others list photos."""


class Place(Frozen):
    """How far a list of posts is: where its next page begins, and which pages it had (hashed)."""

    at: str
    seen: tuple[str, ...] = ()


class Listing(Frozen):
    """One page of a part: photos of lists, or posts, perhaps of an account.

    ``cursor`` is where the next page begins, None on the last one; ``below`` are synsets to list
    as well.
    """

    photos: tuple[FoundPhoto, ...] = ()
    posts: tuple[FoundPost, ...] = ()
    account: FoundAccount | None = None
    cursor: str | None = None
    below: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


async def list_page(
    resources: Context, fetcher: Fetcher, part: Part, params: Mapping[str, Any]
) -> Listing:
    """Ask for the next page of a part.

    Raises:
        BudgetError, ThrottledError: not now; they say when.
        SourceBlockedError: not until a person has seen to it.
        NotFoundError, UsageError: there is no such thing.
        SourceError, FetchError: no usable answer came.
    """
    match part.kind:
        case "synset":
            return await _list_synset(resources.settings, fetcher, part, params)
        case "files":
            return await asyncio.to_thread(_read_files, resources.settings, part, params)
        case "search":
            return await _search(resources, fetcher, part)
        case "pages":
            return await _read_pages(resources.settings, fetcher, part)
        case "tag":
            return await _list_tag(resources, fetcher, part)
        case "account":
            return await _list_account(resources, fetcher, part)


async def _list_synset(
    settings: Settings, fetcher: Fetcher, part: Part, params: Mapping[str, Any]
) -> Listing:
    base_url = settings.imagenet_url
    if not base_url:
        raise SourceBlockedError(
            "The scrape worker knows no AFIN_IMAGENET_URL: set it where the workers run.",
            "AFIN_IMAGENET_URL",
        )
    page = await read_synset_urls(fetcher, base_url, part.name)
    below: tuple[str, ...] = ()
    if params.get("recursive"):
        below = tuple(await read_hyponyms(fetcher, base_url, part.name))
    return Listing(photos=page.items, below=below, problems=page.problems)


def _read_files(settings: Settings, part: Part, params: Mapping[str, Any]) -> Listing:
    if settings.imagenet_files is None:
        raise SourceBlockedError(
            "The scrape worker knows no AFIN_IMAGENET_FILES: set it where the workers run.",
            "AFIN_IMAGENET_FILES",
        )
    page = read_url_page(
        settings.imagenet_files,
        params["wnids"],
        start=int(part.cursor or 0),
        most=settings.crawl_window,
    )
    return Listing(photos=page.items, cursor=page.next, problems=page.problems)


async def _search(resources: Context, fetcher: Fetcher, part: Part) -> Listing:
    settings = resources.settings
    key = settings.pexels_key
    if key is None:
        raise SourceBlockedError(
            f"Pexels' API needs a key: set {KEY_SETTING} where the workers run, or crawl its pages "
            "with --pages.",
            KEY_SETTING,
        )
    secret = key.get_secret_value()
    last = await asyncio.to_thread(spend_request, resources, secret)
    number = int(part.cursor or 1)
    page, rate = await search_page(fetcher, settings.pexels_url, key, part.name, number, last=last)
    await asyncio.to_thread(keep_rate, resources, secret, rate)
    return Listing(photos=page.items, cursor=page.next, problems=page.problems)


async def _read_pages(settings: Settings, fetcher: Fetcher, part: Part) -> Listing:
    number = int(part.cursor or 1)
    page = await read_search_page(fetcher, part.name, number, base_url=settings.pexels_site)
    return Listing(photos=page.items, cursor=page.next, problems=page.problems)


async def _list_tag(resources: Context, fetcher: Fetcher, part: Part) -> Listing:
    access = read_access(resources.settings)
    await asyncio.to_thread(spend_tag, resources, access.user_id, part.name)
    place = read_place(part)
    if place is None:
        tag_id, usage = await _heed_throttle(
            resources, access, find_tag(fetcher, access, part.name)
        )
        await _heed(resources, access, usage)
        return Listing(cursor=_write_cursor(tag_id, 0, None))
    where = json.loads(place.at)
    number = int(where["edge"])
    asked = read_tag_page(
        fetcher, access, where["tag_id"], edge=EDGES[number], after=where["after"]
    )
    page, usage = await _heed_throttle(resources, access, asked)
    await _heed(resources, access, usage)
    cursor = None
    if page.next is not None:
        cursor = _write_cursor(where["tag_id"], number, page.next)
    elif number + 1 < len(EDGES):
        cursor = _write_cursor(where["tag_id"], number + 1, None)
    return Listing(posts=page.items, cursor=cursor, problems=page.problems)


async def _list_account(resources: Context, fetcher: Fetcher, part: Part) -> Listing:
    access = read_access(resources.settings)
    await asyncio.to_thread(heed_pause, resources, access.user_id)
    place = read_place(part)
    asked = read_account_page(fetcher, access, part.name, after=place.at if place else None)
    account, page, usage = await _heed_throttle(resources, access, asked)
    await _heed(resources, access, usage)
    return Listing(posts=page.items, account=account, cursor=page.next, problems=page.problems)


def read_place(part: Part) -> Place | None:
    """Return how far a list of posts is; None before its first page."""
    return None if part.cursor is None else Place.model_validate_json(part.cursor)


def read_access(settings: Settings) -> GraphAccess:
    """Return how Instagram is asked.

    Raises:
        SourceBlockedError: a setting is missing.
    """
    for name, value in (
        (TOKEN_SETTING, settings.instagram_token),
        (USER_SETTING, settings.instagram_user_id),
    ):
        if value is None:
            raise SourceBlockedError(
                f"Instagram's Graph API needs {name}: set it where the workers run.", name
            )
    return GraphAccess(
        base_url=settings.instagram_url,
        user_id=settings.instagram_user_id or "",
        token=settings.instagram_token or SecretStr(""),
    )


async def _heed_throttle(
    resources: Context, access: GraphAccess, asked: Coroutine[Any, Any, Answer]
) -> Answer:
    """Let every worker leave Instagram alone once it has told one of them to slow down."""
    try:
        return await asked
    except ThrottledError as error:
        if error.retry_after_s is not None:
            until = datetime.now(UTC) + timedelta(seconds=error.retry_after_s)
            await asyncio.to_thread(slow_down, resources, "instagram", access.user_id, until)
        raise


async def _heed(resources: Context, access: GraphAccess, usage: Usage) -> None:
    """Ask more slowly when the application's allowance of calls runs out."""
    pause_s = choose_pause_s(usage, datetime.now(UTC))
    if pause_s > 0:
        until = datetime.now(UTC) + timedelta(seconds=pause_s)
        await asyncio.to_thread(slow_down, resources, "instagram", access.user_id, until)


def _write_cursor(tag_id: str, edge: int, after: str | None) -> str:
    return json.dumps({"tag_id": tag_id, "edge": edge, "after": after})
