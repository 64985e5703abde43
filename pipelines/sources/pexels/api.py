"""Pexels' API: a search term's photos, page by page, with what is left of the budget."""

from datetime import UTC, datetime
from urllib.parse import urlencode

from pydantic import SecretStr

from pipelines.sources.http import Fetched, Fetcher, read_json
from pipelines.sources.metadata import dig
from pipelines.sources.pexels.budget import guess_free_at, next_free_request, parse_rate
from pipelines.sources.pexels.challenge import refuse_challenge
from pipelines.sources.pexels.photos import build_photo, read_or_none
from pipelines.sources.values import make_problem, parse_count
from schemas.crawls import FoundPhoto, Page, RateState
from schemas.errors import BudgetError, FetchError, SourceBlockedError
from schemas.posts import Problem

KEY_SETTING = "AFIN_PEXELS_KEY"
MOST_PER_PAGE = 80
# The original may have 30 MB; "large" has 650 x 940 pixels at most, and 224 are looked at.
_SIZES = ("large", "large2x", "medium", "original")

UNAUTHORISED, FORBIDDEN, TOO_MANY = 401, 403, 429


async def search_page(
    fetcher: Fetcher,
    base_url: str,
    key: SecretStr,
    query: str,
    page: int = 1,
    *,
    per_page: int = MOST_PER_PAGE,
    last: RateState | None = None,
) -> tuple[Page[FoundPhoto], RateState]:
    """Ask for one page of a search; the second value is what is left of the month's requests.

    ``last`` is what the last answer said of it: a 429 does not.

    Raises:
        BudgetError: the requests of the hour or month are spent; it says when to come back.
        SourceBlockedError: the key is missing or refused, or a challenge page came.
        FetchError: no usable answer came.
    """
    now = datetime.now(UTC)
    free_at = next_free_request((), last, now)
    if free_at is not None:
        raise _spent(free_at)
    wanted = {"query": query, "page": page, "per_page": min(max(per_page, 1), MOST_PER_PAGE)}
    answer = await fetcher.fetch(
        f"{base_url.rstrip('/')}/v1/search?{urlencode(wanted, errors='replace')}",
        kind="api",
        headers={"Authorization": _read_key(key)},
        accept_status=(UNAUTHORISED, FORBIDDEN, TOO_MANY),
    )
    _refuse(answer, last, now)
    return parse_answer(read_json(answer), page), parse_rate(answer.headers)


def parse_answer(value: object, page: int) -> Page[FoundPhoto]:
    """Read the parsed JSON of page number ``page`` of a search.

    Raises:
        FetchError: ``broken-answer``: it is no page of photos.
    """
    entries = dig(value, "photos")
    if not isinstance(entries, list):
        raise FetchError("broken-answer", "Pexels' API answered without a list of photos.")
    photos = [_read_photo(entry) for entry in entries]
    found = {photo.external_id: photo for photo in photos if photo is not None}
    more = bool(dig(value, "next_page")) and bool(entries)
    return Page[FoundPhoto](
        items=tuple(found.values()),
        next=str(page + 1) if more else None,
        total=read_or_none(parse_count, dig(value, "total_results")),
        problems=tuple(_unusable(page, n) for n, photo in enumerate(photos, 1) if photo is None),
    )


def _read_photo(entry: object) -> FoundPhoto | None:
    return build_photo(
        external_id=dig(entry, "id"),
        urls=(dig(entry, "src", size) for size in _SIZES),
        page=dig(entry, "url"),
        photographer=dig(entry, "photographer"),
        photographer_url=dig(entry, "photographer_url"),
        size=(dig(entry, "width"), dig(entry, "height")),
    )


def _unusable(page: int, number: int) -> Problem:
    detail = "A photo without an id, or without an address that can be fetched."
    return make_problem(f"page {page}, photo {number}", "invalid-photo", detail)


def _read_key(key: SecretStr) -> str:
    text = key.get_secret_value().strip()
    if not text or not text.isascii() or not text.isprintable():
        raise SourceBlockedError(
            f"{KEY_SETTING} is empty or holds characters that no key has: copy it again from your "
            "account at Pexels.",
            KEY_SETTING,
        )
    return text


def _refuse(answer: Fetched, last: RateState | None, now: datetime) -> None:
    if answer.status == TOO_MANY:
        raise _spent(guess_free_at(last, now, answer.headers.get("retry-after")))
    if answer.status == FORBIDDEN:
        refuse_challenge(answer)
    if answer.status in (UNAUTHORISED, FORBIDDEN):
        raise SourceBlockedError(
            f"Pexels refuses the key in {KEY_SETTING} ({answer.status}): check it, or ask for "
            "another in your account at Pexels.",
            KEY_SETTING,
        )


def _spent(free_at: datetime) -> BudgetError:
    return BudgetError(
        f"The requests that Pexels allows are spent; the next may be sent at {free_at:%F %T %Z}.",
        free_at,
    )
