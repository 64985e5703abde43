"""Instagram's tags: their names, their ids, and the posts that bear them."""

import unicodedata
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from pipelines.sources.http import Fetcher
from pipelines.sources.instagram.graph import GraphAccess, ask_graph, read_id, read_user_id
from pipelines.sources.instagram.media import FIELDS, read_posts
from pipelines.sources.metadata import dig
from schemas.crawls import FoundPost, Page, Usage
from schemas.errors import FetchError, NotFoundError, UsageError

Edge = Literal["recent_media", "top_media"]

MOST_POSTS = 50
MOST_ASKED_TAGS = 30
MAX_TAG_CHARS = 100
MAX_CURSOR_CHARS = 2_000

# What we send ourselves, and what must never be kept.
_OWN_PARAMETERS = frozenset({"fields", "limit", "pretty", "user_id"})
_SECRETS = ("access_token", "secret", "appsecret_proof")


def normalise_tag(text: str) -> str:
    """Bring a tag to the one form it is asked and counted by: lower case, no ``#``, accents kept.

    Raises:
        UsageError: it holds something else than letters, digits and underscores (the API takes no
            emoji), or nothing, or more than 100 characters.
    """
    bare = text.strip().lstrip("#\uff03")
    tag = unicodedata.normalize("NFC", unicodedata.normalize("NFC", bare).lower())
    if not 0 < len(tag) <= MAX_TAG_CHARS or not all(map(_fits_tag, tag)):
        raise UsageError(
            f"{text[:40]!r} is no tag: write letters, digits and underscores, as in maraton."
        )
    return tag


async def find_tag(fetcher: Fetcher, access: GraphAccess, tag: str) -> tuple[str, Usage]:
    """Ask for the id of a tag; this is what counts towards the budget of tags.

    Raises:
        NotFoundError: nobody uses the tag, or Instagram hides it.
        UsageError: it is no tag.
        ThrottledError, BudgetError, SourceBlockedError, FetchError: as ``ask_graph``.
    """
    name = normalise_tag(tag)
    query = {"user_id": read_user_id(access), "q": name}
    value, usage = await ask_graph(fetcher, access, "ig_hashtag_search", query)
    found = dig(value, "data", 0, "id")
    if found is None and dig(value, "data") == []:
        raise NotFoundError(f"Instagram knows no tag #{name}, or hides it.")
    return read_id(found, f"the tag #{name}"), usage


async def read_tag_page(
    fetcher: Fetcher,
    access: GraphAccess,
    tag_id: str,
    *,
    edge: Edge = "recent_media",
    after: str | None = None,
    limit: int = MOST_POSTS,
) -> tuple[Page[FoundPost], Usage]:
    """Ask for a page of a tag's posts; ``after`` is the ``next`` of the page before.

    Their authors stay unknown. ``recent_media`` reaches back 24 hours. A page may be empty and
    not the last, and the same ``next`` may come again and again: only its absence ends the list.

    Raises:
        NotFoundError: there is no such tag.
        ThrottledError, BudgetError, SourceBlockedError, FetchError: as ``ask_graph``.
    """
    path = f"{read_id(tag_id, 'the tag')}/{edge}"
    query = dict(parse_qsl(after or ""))
    query |= {"user_id": read_user_id(access), "fields": FIELDS, "limit": _bound(limit)}
    value, usage = await ask_graph(fetcher, access, path, query)
    return parse_tag_page(value, access), usage


def parse_tag_page(value: object, access: GraphAccess) -> Page[FoundPost]:
    """Read the parsed JSON of a tag's page.

    Raises:
        FetchError: ``broken-answer``.
    """
    data = dig(value, "data")
    if not isinstance(data, list):
        raise FetchError("broken-answer", "Instagram answered without a list of posts.")
    return read_posts(data, next_page=_read_next(value, access))


async def read_asked_tags(fetcher: Fetcher, access: GraphAccess) -> tuple[list[str], Usage]:
    """Ask which tags count towards the budget, whoever asked for them with this account.

    Raises:
        ThrottledError, SourceBlockedError, NotFoundError, FetchError: as ``ask_graph``.
    """
    path = f"{read_user_id(access)}/recently_searched_hashtags"
    query = {"fields": "id,name", "limit": str(MOST_ASKED_TAGS)}
    value, usage = await ask_graph(fetcher, access, path, query)
    data = dig(value, "data")
    if not isinstance(data, list):
        raise FetchError("broken-answer", "Instagram answered without a list of tags.")
    names = [dig(entry, "name") for entry in data]
    return [name for name in names if isinstance(name, str)], usage


def _fits_tag(char: str) -> bool:
    return char == "_" or unicodedata.category(char)[0] in "LMN"


def _bound(limit: int) -> str:
    return str(min(max(limit, 1), MOST_POSTS))


def _read_next(value: object, access: GraphAccess) -> str | None:
    """What the address of the next page has beyond our own parameters, without the token."""
    following = dig(value, "paging", "next")
    if not isinstance(following, str) or not following:
        return None
    try:
        pairs = parse_qsl(urlsplit(following).query, keep_blank_values=False)
    except ValueError:
        pairs = []
    after = dig(value, "paging", "cursors", "after")
    kept = {name: text for name, text in pairs if not _is_ours(name)}
    if isinstance(after, str) and after:
        kept["after"] = after
    cursor = urlencode(kept, errors="replace")
    token = access.token.get_secret_value().strip()
    secret = bool(token) and any(token in text for text in kept.values())
    if not kept or secret or len(cursor) > MAX_CURSOR_CHARS:
        raise FetchError("broken-answer", "Instagram named a next page that cannot be asked for.")
    return cursor


def _is_ours(name: str) -> bool:
    return name in _OWN_PARAMETERS or any(part in name.lower() for part in _SECRETS)
