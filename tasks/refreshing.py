"""Asking Instagram for accounts: those an event only named, and known ones for new posts."""

from collections.abc import Collection

from pydantic import SecretStr

from pipelines.sources.http import Fetcher
from pipelines.sources.instagram import (
    TOKEN_SETTING,
    USER_SETTING,
    GraphAccess,
    read_account_page,
    to_source_post,
)
from schemas.crawls import FoundAccount, FoundPost
from schemas.errors import SourceBlockedError
from schemas.settings import Settings
from storage.accounts import NewPost, PhotoPlace
from tasks.context import Context
from tasks.fetching import fetching
from tasks.ingest import hash_caption

ACCOUNT_DEADLINE_S = 240.0
"""Longest time that one account may take, all its pages together."""

PAGE_POSTS = 50


def has_access(settings: Settings) -> bool:
    """Whether somebody may ask Instagram on our behalf."""
    return settings.instagram_token is not None and settings.instagram_user_id is not None


def read_access(settings: Settings) -> GraphAccess:
    """Return how to ask Instagram.

    Raises:
        SourceBlockedError: token or user id are not set.
    """
    if settings.instagram_token is None or settings.instagram_user_id is None:
        missing = TOKEN_SETTING if settings.instagram_token is None else USER_SETTING
        raise SourceBlockedError(
            f"Instagram cannot be asked for accounts: set {missing}, or import their posts.",
            missing,
        )
    return GraphAccess(
        base_url=settings.instagram_url,
        user_id=settings.instagram_user_id,
        token=SecretStr(settings.instagram_token.get_secret_value()),
    )


def fetch_account(
    resources: Context, username: str, known: Collection[str] = ()
) -> tuple[FoundAccount, list[NewPost]]:
    """Ask for an account and its newest posts, page by page until one holds only known posts.

    Raises:
        NotFoundError: there is no such account, or it is no business or creator account.
        ThrottledError, SourceBlockedError, FetchError: as ``ask_graph``.
        TimeoutError: it took longer than ``ACCOUNT_DEADLINE_S``.
    """
    settings = resources.settings
    access = read_access(settings)
    loop, fetcher = fetching()
    found = _read_pages(fetcher, access, username, settings.refresh_posts, frozenset(known))
    account, posts = loop.run(found, timeout_s=ACCOUNT_DEADLINE_S)
    return account, [_new_post(post, settings.max_caption_chars) for post in posts]


async def _read_pages(
    fetcher: Fetcher, access: GraphAccess, username: str, most: int, known: frozenset[str]
) -> tuple[FoundAccount, list[FoundPost]]:
    posts: list[FoundPost] = []
    after = None
    while True:
        account, page, _usage = await read_account_page(
            fetcher, access, username, after=after, limit=min(PAGE_POSTS, most - len(posts))
        )
        posts += page.items
        after = page.next
        seen = all(post.external_id in known for post in page.items)
        if after is None or not page.items or len(posts) >= most or (known and seen):
            return account, posts[:most]


def _new_post(post: FoundPost, max_caption_chars: int) -> NewPost:
    made = to_source_post(post, max_caption_chars=max_caption_chars)
    return NewPost(
        external_id=made.external_id,
        caption=made.caption,
        caption_sha256=hash_caption(made.caption),
        posted_at=made.posted_at,
        likes=made.likes,
        comments=made.comments,
        photos=tuple(PhotoPlace(url=photo.url) for photo in made.photos if photo.url),
    )
