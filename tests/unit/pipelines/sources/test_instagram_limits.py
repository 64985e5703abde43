import asyncio
import json
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from pipelines.sources.http import Fetcher, PassingError, ThrottledError
from pipelines.sources.instagram import (
    GraphAccess,
    choose_pause_s,
    count_tags,
    next_free_tag_slot,
    normalise_tag,
    read_asked_tags,
)
from pipelines.sources.instagram.usage import parse_usage
from schemas.crawls import Usage
from schemas.errors import (
    AfinError,
    BudgetError,
    FetchError,
    NotFoundError,
    SourceBlockedError,
    UsageError,
)
from tests.unit.pipelines.http.stand_in import always, policy, reply, serve
from tests.unit.pipelines.sources.junk import json_values

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY, WEEK = timedelta(days=1), timedelta(days=7)


def fail(error: object, status: str = "400 Bad Request", **headers: str) -> AfinError:
    """What comes of an error of the Graph API."""

    async def play() -> AfinError:
        answer = reply(json.dumps({"error": error}).encode(), status, **headers)
        async with serve(always(answer)) as server, Fetcher(policy()) as fetcher:
            access = GraphAccess(base_url=server.url(""), user_id="1", token=SecretStr("S3CRET"))
            with pytest.raises(AfinError) as caught:
                await read_asked_tags(fetcher, access)
        assert [request.path[:3] for request in server.requests] == ["/1/"]
        return caught.value

    return asyncio.run(play())


# Errors


@pytest.mark.parametrize("code", [4, 17, 32, 341, 613, 80002])
def test_too_many_calls_ask_for_an_hour_of_quiet(code: int) -> None:
    error = fail({"code": code, "message": "(#4) Application request limit reached"})
    assert isinstance(error, ThrottledError)
    assert error.retry_after_s == 3600
    assert "Application request limit reached" in str(error)


def test_too_many_calls_wait_for_as_long_as_the_headers_say() -> None:
    usage = '{"1": [{"type": "instagram", "estimated_time_to_regain_access": 19}]}'
    error = fail({"code": 4}, X_Business_Use_Case_Usage=usage)
    assert isinstance(error, ThrottledError)
    assert error.retry_after_s == pytest.approx(19 * 60, abs=1)


@pytest.mark.parametrize("code", [102, 104, 190])
def test_a_dead_token_stops_the_source_and_names_the_setting(code: int) -> None:
    error = fail({"code": code, "error_subcode": 463})
    assert isinstance(error, SourceBlockedError)
    assert error.credential == "AFIN_INSTAGRAM_TOKEN"
    assert "AFIN_INSTAGRAM_TOKEN" in str(error)


@pytest.mark.parametrize("code", [10, 200, 299, 368])
def test_a_missing_permission_stops_the_source(code: int) -> None:
    error = fail({"code": code})
    assert isinstance(error, SourceBlockedError)
    assert error.credential == "AFIN_INSTAGRAM_TOKEN"


@pytest.mark.parametrize("found", [{"code": 18}, {"code": 100, "error_subcode": 2207034}])
def test_a_spent_budget_of_tags_says_when_to_come_back(found: dict[str, int]) -> None:
    error = fail(found)
    assert isinstance(error, BudgetError)
    assert abs(error.free_at - datetime.now(UTC) - DAY) < timedelta(minutes=1)


@pytest.mark.parametrize("found", [{"code": 100}, {"code": 100, "error_subcode": 2207024}])
def test_what_does_not_exist_is_not_found(found: dict[str, int]) -> None:
    assert isinstance(fail(found), NotFoundError)


@pytest.mark.parametrize("code", [1, 2])
def test_a_passing_fault_may_be_asked_again(code: int) -> None:
    assert isinstance(fail({"code": code}), PassingError)


@pytest.mark.parametrize(
    ("code", "reason"), [(9007, "api-9007"), (None, "api-error"), ("x", "api-error")]
)
def test_an_unknown_error_is_told_by_its_code(code: object, reason: str) -> None:
    error = fail({"code": code})
    assert isinstance(error, FetchError)
    assert error.reason == reason


def test_an_error_counts_whatever_its_status() -> None:
    assert isinstance(fail({"code": 190}, "200 OK"), SourceBlockedError)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_an_error_without_words_of_the_api_is_told_by_its_status(status: int) -> None:
    error = fail(None, f"{status} No")
    assert isinstance(error, FetchError)
    assert error.reason == f"http-{status}"


@given(st.dictionaries(st.sampled_from(["code", "error_subcode", "message"]), json_values))
def test_any_error_is_told_in_our_words(error: dict[str, object]) -> None:
    fail(error)


# Usage


def test_the_most_used_allowance_counts() -> None:
    headers = {
        "x-app-usage": '{"call_count": 28, "total_time": 25, "total_cputime": 95.5}',
        "x-business-use-case-usage": '{"1": [{"call_count": 40, "total_time": 3}], "2": []}',
    }
    assert parse_usage(headers, NOW) == Usage(percent=95.5)


def test_the_latest_time_to_regain_access_counts() -> None:
    cases = [{"estimated_time_to_regain_access": minutes} for minutes in (0, 19, 5)]
    headers = {"x-business-use-case-usage": json.dumps({"1": cases})}
    assert parse_usage(headers, NOW).regain_at == NOW + timedelta(minutes=19)


@given(json_values)
def test_headers_that_make_no_sense_say_little(value: object) -> None:
    text = json.dumps(value)
    usage = parse_usage({"x-app-usage": text, "x-business-use-case-usage": text}, NOW)
    assert 0 <= usage.percent <= 10_000
    assert 0 <= choose_pause_s(usage, NOW) <= 31 * 24 * 3600


@given(st.text(max_size=50))
def test_headers_that_are_no_json_say_nothing(text: str) -> None:
    usage = parse_usage({"x-app-usage": text, "x-business-use-case-usage": "{" + text}, NOW)
    assert usage == Usage()


@pytest.mark.parametrize(
    ("percent", "seconds"),
    [(0, 0), (80, 0), (85, 14), (90, 225), (95, 1139), (100, 3600), (300, 3600)],
)
def test_calls_slow_down_before_the_allowance_is_spent(percent: float, seconds: float) -> None:
    assert choose_pause_s(Usage(percent=percent), NOW) == pytest.approx(seconds, abs=0.5)


def test_barred_access_is_waited_for() -> None:
    usage = Usage(percent=100, regain_at=NOW + timedelta(minutes=7))
    assert choose_pause_s(usage, NOW) == 420


# Tags


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("maraton", "maraton"),
        (" #Maraton ", "maraton"),
        ("##montaña", "montaña"),
        ("monta\u006e\u0303a", "montaña"),
        ("UÑAS_2", "uñas_2"),
        ("नमस्ते", "नमस्ते"),
        ("\uff03東京", "東京"),
    ],
)
def test_a_tag_has_one_form(text: str, tag: str) -> None:
    assert normalise_tag(text) == tag


@pytest.mark.parametrize(
    "text", ["", "#", "a b", "a-b", "a.b", "a#b", "🐶", "a\0", "x" * 101, "\ud800"]
)
def test_what_is_no_tag_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        normalise_tag(text)


@given(st.text(max_size=20))
def test_the_form_of_a_tag_is_stable(text: str) -> None:
    try:
        tag = normalise_tag(text)
    except UsageError:
        return
    assert normalise_tag(tag) == normalise_tag(f"#{tag}") == tag
    assert unicodedata.is_normalized("NFC", tag)


def test_thirty_tags_are_free() -> None:
    asked = [(f"t{n}", NOW) for n in range(29)]
    assert next_free_tag_slot(asked, "new", NOW) is None
    assert next_free_tag_slot([*asked, ("t29", NOW)], "new", NOW) == NOW + WEEK


def test_a_tag_that_counts_may_be_asked_again_in_any_form() -> None:
    asked = [(f"t{n}", NOW) for n in range(30)]
    assert next_free_tag_slot(asked, "#T7", NOW) is None


def test_asking_again_does_not_prolong_a_tags_week() -> None:
    asked = [("a", NOW - 6 * DAY), ("a", NOW - DAY)]
    assert next_free_tag_slot(asked, "new", NOW, most=1) == NOW + DAY


def test_asking_after_the_week_begins_another() -> None:
    asked = [("a", NOW - 8 * DAY), ("a", NOW - DAY)]
    assert next_free_tag_slot(asked, "new", NOW, most=1) == NOW + 6 * DAY


def test_the_tag_that_runs_out_first_makes_room() -> None:
    asked = [("a", NOW - 2 * DAY), ("b", NOW - 5 * DAY), ("c", NOW - DAY)]
    assert next_free_tag_slot(asked, "new", NOW, most=3) == NOW + 2 * DAY


def test_a_budget_overdrawn_by_others_waits_for_all_that_are_too_many() -> None:
    asked = [(f"t{n}", NOW - n * DAY) for n in range(5)]
    assert next_free_tag_slot(asked, "new", NOW, most=3) == NOW + 5 * DAY


HOURS = st.integers(0, 24 * 20).map(lambda hours: NOW - timedelta(hours=hours))
asked_lists = st.lists(st.tuples(st.sampled_from("abcdefgh"), HOURS), max_size=40)


@given(asked_lists, st.sampled_from("abcdefghij"), st.integers(1, 6))
def test_the_told_time_is_the_first_free_one(
    asked: list[tuple[str, datetime]], tag: str, most: int
) -> None:
    free_at = next_free_tag_slot(asked, tag, NOW, most=most)
    if free_at is None:
        return
    assert NOW < free_at <= NOW + WEEK
    before = free_at - timedelta(microseconds=1)
    assert next_free_tag_slot(asked, tag, free_at, most=most) is None
    assert next_free_tag_slot(asked, tag, before, most=most) == free_at


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 80)), max_size=60))
def test_whoever_asks_when_told_never_counts_more_tags_than_allowed(
    wishes: list[tuple[str, int]],
) -> None:
    asked: list[tuple[str, datetime]] = []
    now = NOW
    for tag, hours in wishes:
        now += timedelta(hours=hours)
        free_at = next_free_tag_slot(asked, tag, now, most=3)
        now = now if free_at is None else free_at
        asked.append((tag, now))
        assert count_tags(asked, now) <= 3
