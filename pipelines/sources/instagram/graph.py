"""One call to the Graph API: the token kept out of every address and message, errors by code."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NoReturn
from urllib.parse import urlencode

from pydantic import Field, SecretStr

from pipelines.sources.http import (
    Fetched,
    Fetcher,
    PassingError,
    ThrottledError,
    read_json,
    refusal,
)
from pipelines.sources.instagram.usage import HOUR_S, parse_usage
from pipelines.sources.metadata import dig
from pipelines.sources.values import clean_text
from schemas.base import Frozen
from schemas.crawls import Usage
from schemas.errors import BudgetError, FetchError, NotFoundError, SourceBlockedError

TOKEN_SETTING = "AFIN_INSTAGRAM_TOKEN"  # noqa: S105 (its name)
USER_SETTING = "AFIN_INSTAGRAM_USER_ID"

# Meta's "Handling Errors" and "Rate Limits"; 80002 is Instagram's own limit.
_THROTTLED = frozenset({4, 17, 32, 341, 613, 80002})
_DEAD_TOKEN = frozenset({102, 104, 190})
_BARRED = frozenset({10, 368, *range(200, 300)})
_MISSING = frozenset({24, 100, 110, 803})
_PASSING = frozenset({1, 2})
_TAG_BUDGET, _TAG_BUDGET_SUBCODE = 18, 2207034

# 429 and 5xx stay with the fetch core, which waits and tries again.
_EXPLAINED = (400, 401, 403, 404)
# Our own records tell the moment; this is for tags that others asked for with the same account.
_TAGS_AGAIN_AFTER = timedelta(days=1)
_ID = re.compile(r"\d{1,40}", re.ASCII)
# A token is one long word; so is much else, which is no loss.
_LONG_WORD = re.compile(r"[^\s\"'<>(),;]{24,}")
_MAX_MESSAGE_CHARS = 200


class GraphAccess(Frozen):
    """Where the API is and on whose behalf it is asked."""

    base_url: str = Field(description="with the version, as in https://graph.facebook.com/v23.0")
    user_id: str = Field(description="the id of the business account that asks")
    token: SecretStr = Field(description="sent as a header, so that no address ever holds it")


async def ask_graph(
    fetcher: Fetcher, access: GraphAccess, path: str, query: Mapping[str, str]
) -> tuple[object, Usage]:
    """Ask for ``path`` below the base URL; return the parsed answer and what calls are used up.

    Raises:
        ThrottledError: too many calls; it says how long to wait.
        BudgetError: too many different tags.
        SourceBlockedError: the token is dead or lacks a permission: stop.
        NotFoundError: there is no such thing, or not for this token.
        FetchError: no usable answer came.
    """
    answer = await fetcher.fetch(
        f"{access.base_url.rstrip('/')}/{path}?{urlencode(query, errors='replace')}",
        kind="api",
        headers={"Authorization": f"Bearer {_read_token(access)}"},
        accept_status=_EXPLAINED,
    )
    now = datetime.now(UTC)
    usage = parse_usage(answer.headers, now)
    value = _read_value(answer)
    error = dig(value, "error")
    if isinstance(error, dict):
        _fail(error, usage, now, access)
    if answer.status in _EXPLAINED:
        raise refusal(answer.status, answer.final_url, None)
    return value, usage


def read_user_id(access: GraphAccess) -> str:
    """The id of the account that asks.

    Raises:
        SourceBlockedError: it is none.
    """
    user_id = access.user_id.strip()
    if not _ID.fullmatch(user_id):
        raise SourceBlockedError(
            f"{USER_SETTING} is not the id of an Instagram business account: it has digits only, "
            "such as 17841400000000001.",
            USER_SETTING,
        )
    return user_id


def read_id(value: object, what: str) -> str:
    """An id that the API answered with, or that it gave earlier; it becomes part of an address.

    Raises:
        FetchError: ``broken-answer``.
    """
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise FetchError("broken-answer", f"Instagram answered without the id of {what}.")
    return value


def _read_token(access: GraphAccess) -> str:
    token = access.token.get_secret_value().strip()
    if not token or not token.isascii() or not token.isprintable():
        raise SourceBlockedError(
            f"{TOKEN_SETTING} is empty or holds characters that no token has: copy it again.",
            TOKEN_SETTING,
        )
    return token


def _read_value(answer: Fetched) -> object:
    try:
        return read_json(answer)
    except FetchError:
        if answer.status in _EXPLAINED:
            raise refusal(answer.status, answer.final_url, None) from None
        raise


def _fail(
    error: Mapping[str, object], usage: Usage, now: datetime, access: GraphAccess
) -> NoReturn:
    code = _read_code(error.get("code"))
    what = f"Instagram says: {_read_message(error.get('message'), access)} (code {code})"
    if code == _TAG_BUDGET or _read_code(error.get("error_subcode")) == _TAG_BUDGET_SUBCODE:
        raise BudgetError(
            f"{what}. The account has asked for 30 different tags in 7 days: ask for one of them "
            "again, or later for others.",
            now + _TAGS_AGAIN_AFTER,
        )
    if code in _THROTTLED:
        wait_s = (usage.regain_at - now).total_seconds() if usage.regain_at else HOUR_S
        raise ThrottledError(f"{what}. Ask again in {wait_s / 60:.0f} minutes.", wait_s)
    if code in _DEAD_TOKEN:
        raise SourceBlockedError(
            f"Instagram no longer takes the token in {TOKEN_SETTING} (code {code}): make a new "
            "one. It lives for 60 days at most.",
            TOKEN_SETTING,
        )
    if code in _BARRED:
        raise SourceBlockedError(
            f"{what}: the token in {TOKEN_SETTING} lacks a permission, or its application is "
            "barred.",
            TOKEN_SETTING,
        )
    if code in _MISSING:
        raise NotFoundError(f"{what}: it does not exist, or the token may not see it.")
    if code in _PASSING:
        raise PassingError(f"api-{code}", f"{what}: a passing fault; ask again.")
    raise FetchError("api-error" if code is None else f"api-{code}", f"{what}.")


def _read_code(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9:
        return value
    return None


def _read_message(value: object, access: GraphAccess) -> str:
    """Instagram's own words without anything that may be a token: some messages quote it."""
    text = clean_text(value) if isinstance(value, str) else "an error without words"
    text = " ".join(text.split()).replace(access.token.get_secret_value().strip(), "…")
    return _LONG_WORD.sub("…", text)[:_MAX_MESSAGE_CHARS].rstrip(". ")
