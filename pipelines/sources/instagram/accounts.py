"""An account's own posts, as Instagram shows those of businesses and creators to others."""

import re

from pipelines.sources.http import Fetcher
from pipelines.sources.instagram.graph import GraphAccess, ask_graph, read_id, read_user_id
from pipelines.sources.instagram.media import FIELDS, read_posts
from pipelines.sources.instagram.tags import MOST_POSTS
from pipelines.sources.metadata import dig
from pipelines.sources.values import parse_count, parse_username
from schemas.crawls import FoundAccount, FoundPost, Page, Usage
from schemas.errors import FetchError, NotFoundError, UsageError

# It is written between parentheses, where anything else could ask for something else.
_CURSOR = re.compile(r"[A-Za-z0-9_.~%=+/|:-]{1,1000}", re.ASCII)


async def read_account_page(
    fetcher: Fetcher,
    access: GraphAccess,
    username: str,
    *,
    after: str | None = None,
    limit: int = MOST_POSTS,
) -> tuple[FoundAccount, Page[FoundPost], Usage]:
    """Ask for an account and a page of its posts; ``after`` is the ``next`` of the page before.

    The list has no other end than an empty page: some answers give a cursor on the last one.

    Raises:
        UsageError: ``username`` is none.
        NotFoundError: there is no such account, or it is no business or creator account.
        ThrottledError, SourceBlockedError, FetchError: as ``ask_graph``.
    """
    name = _read_name(username)
    number = min(max(limit, 1), MOST_POSTS)
    start = "" if after is None else f".after({_read_cursor(after)})"
    posts = f"media.limit({number}){start}{{{FIELDS}}}"
    asked = (
        f"business_discovery.username({name}){{id,username,followers_count,media_count,{posts}}}"
    )
    try:
        value, usage = await ask_graph(fetcher, access, read_user_id(access), {"fields": asked})
    except NotFoundError as error:
        raise NotFoundError(
            f"{name} cannot be looked at: only accounts of businesses and creators can. {error}"
        ) from None
    account, page = parse_account_page(value, name)
    return account, page, usage


def parse_account_page(value: object, username: str) -> tuple[FoundAccount, Page[FoundPost]]:
    """Read the parsed JSON of a business discovery.

    Raises:
        FetchError: ``broken-answer``.
    """
    found = dig(value, "business_discovery")
    if not isinstance(found, dict):
        raise FetchError("broken-answer", f"Instagram answered without the account {username}.")
    account = FoundAccount(
        username=username,
        external_id=read_id(dig(found, "id"), username),
        followers=_count(dig(found, "followers_count")),
        posts=_count(dig(found, "media_count")),
    )
    data = dig(found, "media", "data")
    after = dig(found, "media", "paging", "cursors", "after")
    more = bool(data) and isinstance(after, str) and bool(after)
    page = read_posts(
        data,
        next_page=_read_cursor(after) if more else None,
        total=account.posts,
        username=username,
    )
    return account, page


def _read_name(username: str) -> str:
    try:
        return parse_username(username)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _read_cursor(value: object) -> str:
    if not isinstance(value, str) or not _CURSOR.fullmatch(value):
        raise FetchError("broken-answer", "Instagram named a next page that cannot be asked for.")
    return value


def _count(value: object) -> int | None:
    try:
        return parse_count(value)
    except ValueError:
        return None
