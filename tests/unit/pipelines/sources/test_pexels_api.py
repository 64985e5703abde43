import asyncio
import copy
import json
import logging
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from pipelines.sources.http import Fetcher
from pipelines.sources.pexels import next_free_request, parse_answer, search_page
from pipelines.sources.pexels.budget import parse_rate
from schemas.crawls import FoundPhoto, Page, RateState
from schemas.errors import AfinError, BudgetError, FetchError, SourceBlockedError
from tests.unit.pipelines.http.stand_in import Handler, StandIn, always, policy, reply, serve
from tests.unit.pipelines.sources.junk import json_values, spoiled_copies

FORMATS = Path(__file__).parents[4] / "../shared/formats/pexels"
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEY = SecretStr("S3CRET")
QUOTING = b'{"error": "your key S3CRET is bad"}'

PHOTO: dict[str, object] = {
    "id": 1181292,
    "width": 3756,
    "height": 5627,
    "url": "https://www.pexels.com/photo/a-woman-1181292/",
    "photographer": "Christina Morillo",
    "photographer_url": "https://www.pexels.com/@divinetechygirl",
    "src": {"original": "https://i.test/p.jpeg", "large": "https://i.test/p.jpeg?h=650&w=940"},
}
ANSWER: dict[str, object] = {
    "total_results": 8000,
    "page": 1,
    "per_page": 80,
    "photos": [PHOTO],
    "next_page": "https://api.pexels.com/v1/search/?page=2&per_page=80&query=chef",
}


def found(**headers: str) -> Handler:
    return always(reply(json.dumps(ANSWER).encode(), **headers))


def search(
    handler: Handler, *, key: SecretStr = KEY, last: RateState | None = None, per_page: int = 80
) -> tuple[Page[FoundPhoto], RateState, StandIn]:
    async def play() -> tuple[Page[FoundPhoto], RateState, StandIn]:
        async with serve(handler) as server, Fetcher(policy(retries=2)) as fetcher:
            page, rate = await search_page(
                fetcher, server.url("/"), key, "ein köch/x", 3, last=last, per_page=per_page
            )
            return page, rate, server

    return asyncio.run(play())


def blocked(handler: Handler, *, key: SecretStr = KEY) -> SourceBlockedError:
    with pytest.raises(SourceBlockedError) as caught:
        search(handler, key=key)
    return caught.value


# Asking


def test_a_search_is_asked_with_key_and_user_agent() -> None:
    _, _, server = search(found())
    (request,) = server.requests
    assert request.path == "/v1/search?query=ein+k%C3%B6ch/x&page=3&per_page=80"
    assert request.headers["authorization"] == "S3CRET"
    assert request.headers["user-agent"]


@pytest.mark.parametrize(("asked", "sent"), [(0, 1), (15, 15), (500, 80)])
def test_no_more_photos_are_asked_for_than_a_page_may_hold(asked: int, sent: int) -> None:
    _, _, server = search(found(), per_page=asked)
    assert server.paths[0].endswith(f"per_page={sent}")


def test_what_is_left_of_the_month_comes_with_the_page() -> None:
    headers = {
        "X_Ratelimit_Limit": "20000",
        "X_Ratelimit_Remaining": "19684",
        "X_Ratelimit_Reset": "1590529646",
    }
    _, rate, _ = search(found(**headers))
    reset_at = datetime(2020, 5, 26, 21, 47, 26, tzinfo=UTC)
    assert rate == RateState(limit=20000, remaining=19684, reset_at=reset_at)


@pytest.mark.parametrize("value", ["", "soon", "-1", "nan", "9" * 400, "\0"])
def test_headers_that_make_no_sense_say_nothing(value: str) -> None:
    names = ("limit", "remaining", "reset")
    assert parse_rate({f"x-ratelimit-{name}": value for name in names}) == RateState()


# Reading


def test_a_photo_comes_with_its_credit() -> None:
    page, _, _ = search(found())
    assert page.items == (
        FoundPhoto(
            source="pexels",
            external_id="1181292",
            url="https://i.test/p.jpeg?h=650&w=940",
            page="https://www.pexels.com/photo/a-woman-1181292/",
            photographer="Christina Morillo",
            photographer_url="https://www.pexels.com/@divinetechygirl",
            width=3756,
            height=5627,
        ),
    )


def test_the_next_page_is_the_number_after_this_one() -> None:
    page, _, _ = search(found())
    assert (page.next, page.total) == ("4", 8000)


@pytest.mark.parametrize("change", [{"next_page": None}, {"photos": []}])
def test_the_last_page_names_no_other(change: dict[str, object]) -> None:
    assert parse_answer(ANSWER | change, 1).next is None


def test_the_original_serves_where_nothing_smaller_is_named() -> None:
    photo = PHOTO | {"src": {"original": "https://i.test/p.jpeg", "large": "nonsense"}}
    (item,) = parse_answer(ANSWER | {"photos": [photo]}, 1).items
    assert item.url == "https://i.test/p.jpeg"


@pytest.mark.parametrize(
    "change", [{"id": None}, {"id": ""}, {"src": {}}, {"src": {"large": "file:///etc/passwd"}}]
)
def test_an_unusable_photo_is_a_problem_and_the_others_stay(change: dict[str, object]) -> None:
    page = parse_answer(ANSWER | {"photos": [PHOTO | change, PHOTO]}, 1)
    assert len(page.items) == 1
    assert [(problem.where, problem.reason) for problem in page.problems] == [
        ("page 1, photo 1", "invalid-photo")
    ]


def test_a_photo_that_comes_twice_counts_once() -> None:
    assert len(parse_answer(ANSWER | {"photos": [PHOTO, PHOTO]}, 1).items) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"photos": {}}', b"null"])
def test_an_answer_without_photos_is_broken(body: bytes) -> None:
    with pytest.raises(FetchError) as caught:
        search(always(reply(body)))
    assert caught.value.reason == "broken-answer"


@given(json_values | spoiled_copies(copy.deepcopy(ANSWER)))
def test_any_answer_is_read_or_refused_in_our_words(value: object) -> None:
    try:
        page = parse_answer(value, 1)
    except AfinError:
        return
    assert all(photo.url.startswith(("http", "HTTP")) for photo in page.items)
    page.model_dump_json()


@pytest.mark.skipif(
    not (FORMATS / "api_search.json").exists(),
    reason="the excerpts of real answers (../shared/formats) are absent",
)
def test_the_real_answer_is_read() -> None:
    page = parse_answer(json.loads((FORMATS / "api_search.json").read_text("utf-8")), 1)
    (photo,) = page.items
    assert (page.next, page.total, page.problems) == (None, 6, ())
    assert photo.url.endswith("1181292.jpeg?auto=compress&cs=tinysrgb&h=650&w=940")
    assert photo.photographer == "Christina Morillo"
    assert photo.page == "https://www.pexels.com/photo/photography-of-a-woman-using-laptop-1181292/"


# Budget


def test_a_spent_budget_says_when_to_come_back_and_is_not_asked_twice() -> None:
    seen = []

    async def handle(request: object, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        writer.write(reply(b"", "429 Too Many Requests"))

    with pytest.raises(BudgetError) as caught:
        search(handle)
    assert len(seen) == 1
    assert abs(caught.value.free_at - datetime.now(UTC) - HOUR) < timedelta(minutes=1)


def test_a_host_that_says_how_long_to_wait_is_believed() -> None:
    with pytest.raises(BudgetError) as caught:
        search(always(reply(b"", "429 Slow", Retry_After="20")))
    assert abs((caught.value.free_at - datetime.now(UTC)).total_seconds() - 20) < 15


def test_a_spent_month_is_not_asked_at_all() -> None:
    reset_at = datetime.now(UTC) + timedelta(days=3)
    with pytest.raises(BudgetError) as caught:
        search(found(), last=RateState(limit=20000, remaining=0, reset_at=reset_at))
    assert caught.value.free_at == reset_at


def test_a_new_month_is_asked_again() -> None:
    over = RateState(remaining=0, reset_at=datetime.now(UTC) - HOUR)
    page, _, _ = search(found(), last=over)
    assert page.items


def test_requests_are_free_until_the_hour_is_full() -> None:
    assert next_free_request([NOW] * 199, None, NOW) is None


def test_a_full_hour_frees_a_request_when_its_first_is_an_hour_old() -> None:
    asked = [NOW - timedelta(minutes=n) for n in range(59)]
    assert next_free_request(asked, None, NOW, hourly=59) == NOW + timedelta(minutes=2)


def test_the_later_of_hour_and_month_counts() -> None:
    month = RateState(remaining=0, reset_at=NOW + 5 * HOUR)
    assert next_free_request([NOW] * 200, month, NOW) == NOW + 5 * HOUR


moments = st.lists(
    st.integers(0, 7200).map(lambda seconds: NOW - timedelta(seconds=seconds)), max_size=30
)


@given(moments, st.integers(1, 8))
def test_the_told_time_is_the_first_free_one(asked: list[datetime], hourly: int) -> None:
    free_at = next_free_request(asked, None, NOW, hourly=hourly)
    if free_at is None:
        assert sum(moment > NOW - HOUR for moment in asked) < hourly
        return
    before = free_at - timedelta(microseconds=1)
    assert next_free_request(asked, None, free_at, hourly=hourly) is None
    assert next_free_request(asked, None, before, hourly=hourly) == free_at


# Refusals and secrets


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_a_refused_key_stops_the_source_and_is_named(status: str) -> None:
    error = blocked(always(reply(b'{"error": "S3CRET"}', status)))
    assert error.credential == "AFIN_PEXELS_KEY"
    assert "AFIN_PEXELS_KEY" in str(error)


def test_a_challenge_page_stops_the_source_without_blaming_the_key() -> None:
    page = reply(b"<script>window._cf_chl_opt = {}</script>", "403 Forbidden")
    assert blocked(always(page)).credential is None


def test_the_mark_of_a_challenge_in_the_headers_is_enough() -> None:
    page = reply(b"", "403 Forbidden", Cf_Mitigated="challenge")
    assert blocked(always(page)).credential is None


@pytest.mark.parametrize("key", ["", "  ", "a\nb", "ключ", "a\0b"])
def test_a_key_that_cannot_be_one_is_not_sent(key: str) -> None:
    assert blocked(found(), key=SecretStr(key)).credential == "AFIN_PEXELS_KEY"


def test_a_key_is_taken_without_the_blanks_around_it() -> None:
    _, _, server = search(found(), key=SecretStr(" S3CRET\n"))
    assert server.requests[0].headers["authorization"] == "S3CRET"


@pytest.mark.parametrize("status", ["400 No", "401 No", "403 No", "404 No", "429 No", "500 No"])
def test_no_error_and_no_log_tells_the_key(status: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(AfinError) as caught:
        search(always(reply(QUOTING, status)))
    assert "S3CRET" not in "".join(traceback.format_exception(caught.value))
    assert "S3CRET" not in caplog.text
