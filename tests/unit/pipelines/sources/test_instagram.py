import copy
import json
import logging
import traceback
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from pipelines.sources.instagram import find_tag, read_account_page, read_asked_tags, read_tag_page
from pipelines.sources.instagram.accounts import parse_account_page
from pipelines.sources.instagram.tags import parse_tag_page
from schemas.crawls import FoundAccount, Usage
from schemas.errors import AfinError, FetchError, NotFoundError, SourceBlockedError, UsageError
from tests.unit.pipelines.http.stand_in import always, reply
from tests.unit.pipelines.sources.graph_answers import (
    ACCESS,
    DISCOVERED,
    NEXT,
    POST,
    TAG_ID,
    TAGGED,
    TOKEN,
    USER,
    ask,
    says,
    tag_page,
)

# Asking


def test_the_token_travels_as_a_header_only() -> None:
    _, server = tag_page(says(TAGGED))
    (request,) = server.requests
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in request.path


def test_the_id_of_a_tag_is_asked_for_in_its_normal_form() -> None:
    (tag_id, usage), server = ask(
        says({"data": [{"id": TAG_ID}]}, X_App_Usage='{"call_count": 28}'),
        lambda fetcher, access: find_tag(fetcher, access, "#Montaña"),
    )
    assert tag_id == TAG_ID
    assert usage == Usage(percent=28)
    assert server.paths == [f"/v23.0/ig_hashtag_search?user_id={USER}&q=monta%C3%B1a"]


def test_a_tag_that_nobody_uses_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="maraton"):
        ask(says({"data": []}), lambda fetcher, access: find_tag(fetcher, access, "maraton"))


@pytest.mark.parametrize("value", [{}, [], {"data": [{}]}, {"data": [{"id": "../x"}]}, None])
def test_an_answer_without_the_id_of_a_tag_is_broken(value: object) -> None:
    with pytest.raises(FetchError) as caught:
        ask(says(value), lambda fetcher, access: find_tag(fetcher, access, "maraton"))
    assert caught.value.reason == "broken-answer"


def test_a_tags_posts_are_asked_for_with_their_fields() -> None:
    _, server = ask(
        says(TAGGED),
        lambda fetcher, access: read_tag_page(fetcher, access, TAG_ID, edge="top_media", limit=500),
    )
    path, _, query = server.paths[0].partition("?")
    assert path == f"/v23.0/{TAG_ID}/top_media"
    assert parse_qs(query) == {
        "user_id": [USER],
        "limit": ["50"],
        "fields": [
            "id,caption,media_type,media_url,permalink,timestamp,like_count,comments_count,"
            "children{media_url,media_type}"
        ],
    }


def test_the_tags_that_count_are_asked_for() -> None:
    value = {"data": [{"id": "1", "name": "developers"}, {"id": "2"}, {"id": "3", "name": "x"}]}
    (names, _), server = ask(says(value), read_asked_tags)
    assert names == ["developers", "x"]
    assert server.paths[0].startswith(f"/v23.0/{USER}/recently_searched_hashtags?")


def test_an_account_is_asked_for_through_the_one_that_asks() -> None:
    (account, page, _), server = ask(
        says(DISCOVERED),
        lambda fetcher, access: read_account_page(
            fetcher, access, "@JanSport_cl", after="QVFI==", limit=10
        ),
    )
    path, _, query = server.paths[0].partition("?")
    assert path == f"/v23.0/{USER}"
    assert parse_qs(query)["fields"] == [
        "business_discovery.username(jansport_cl){id,username,followers_count,media_count,"
        "media.limit(10).after(QVFI==){id,caption,media_type,media_url,permalink,timestamp,"
        "like_count,comments_count,children{media_url,media_type}}}"
    ]
    assert account == FoundAccount(
        username="jansport_cl", external_id="17841407673135339", followers=64976, posts=436
    )
    assert (page.next, page.total, len(page.items)) == ("QVFI==", 436, 1)


@pytest.mark.parametrize("name", ["", "a b", "x){id}", "ñandú", "a" * 31])
def test_what_is_no_user_name_is_never_asked_for(name: str) -> None:
    with pytest.raises(UsageError):
        ask(says(DISCOVERED), lambda fetcher, access: read_account_page(fetcher, access, name))


@pytest.mark.parametrize("cursor", ["", "a)b", "a{b}", "a b", "ñ", "a" * 1001])
def test_a_cursor_cannot_ask_for_something_else(cursor: str) -> None:
    with pytest.raises(FetchError):
        ask(
            says(DISCOVERED),
            lambda fetcher, access: read_account_page(fetcher, access, "x", after=cursor),
        )


@pytest.mark.parametrize("tag_id", ["", "../me", "1/2", "x", "1" * 41])
def test_an_id_cannot_lead_to_another_address(tag_id: str) -> None:
    with pytest.raises(FetchError):
        ask(says(TAGGED), lambda fetcher, access: read_tag_page(fetcher, access, tag_id))


@pytest.mark.parametrize("user_id", ["", "me", "1/2"])
def test_a_user_id_that_cannot_be_one_is_told_by_its_setting(user_id: str) -> None:
    with pytest.raises(SourceBlockedError) as caught:
        ask(says({}), read_asked_tags, user_id=user_id)
    assert caught.value.credential == "AFIN_INSTAGRAM_USER_ID"


@pytest.mark.parametrize("token", ["", " ", "a\nb", "ключ"])
def test_a_token_that_cannot_be_one_is_not_sent(token: str) -> None:
    with pytest.raises(SourceBlockedError) as caught:
        ask(says({}), read_asked_tags, token=token)
    assert caught.value.credential == "AFIN_INSTAGRAM_TOKEN"


# Paging


def test_the_next_page_is_asked_for_without_keeping_the_token() -> None:
    page, _ = tag_page(says(TAGGED))
    assert page.next == "after=QVFI"
    _, server = tag_page(says(TAGGED), after=page.next)
    assert dict(parse_qsl(urlsplit(server.paths[0]).query))["after"] == "QVFI"


def test_what_the_next_address_has_of_its_own_is_kept() -> None:
    value = {"data": [], "paging": {"next": f"{NEXT}&after=a&__paging_id=7&client_secret=x"}}
    page = parse_tag_page(value, ACCESS)
    assert page.next == "after=a&__paging_id=7"


def test_a_cursor_that_the_next_address_lacks_is_added() -> None:
    paging = {"cursors": {"after": "QVFI"}, "next": NEXT}
    assert parse_tag_page({"data": [], "paging": paging}, ACCESS).next == "after=QVFI"


def test_an_empty_page_that_names_a_next_one_is_not_the_last() -> None:
    assert parse_tag_page(TAGGED | {"data": []}, ACCESS).next == "after=QVFI"


@pytest.mark.parametrize("paging", [{}, {"cursors": {"after": "QVFI"}}, {"next": ""}, None])
def test_a_page_that_names_no_next_one_is_the_last(paging: object) -> None:
    assert parse_tag_page({"data": [POST], "paging": paging}, ACCESS).next is None


@pytest.mark.parametrize(
    "following", [NEXT, "http://[", f"{NEXT}&after={TOKEN}", f"{NEXT}&after={'a' * 3000}"]
)
def test_a_next_page_that_cannot_be_asked_for_is_a_broken_answer(following: str) -> None:
    with pytest.raises(FetchError) as caught:
        parse_tag_page({"data": [], "paging": {"next": following}}, ACCESS)
    assert caught.value.reason == "broken-answer"
    assert TOKEN not in str(caught.value)


def test_an_account_ends_with_an_empty_page_or_without_a_cursor() -> None:
    found = copy.deepcopy(DISCOVERED["business_discovery"])
    assert isinstance(found, dict)
    for media in ({"data": [], "paging": {"cursors": {"after": "a"}}}, {"data": [POST]}, None):
        _, page = parse_account_page({"business_discovery": found | {"media": media}}, "x")
        assert page.next is None


# Secrets


QUOTING = {"message": f"Malformed access token {TOKEN} or {'EAAB' * 20}", "type": "x"}


@pytest.mark.parametrize("code", [None, 1, 4, 10, 18, 100, 190, 368, 12345])
@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
def test_no_error_and_no_log_tells_the_token(
    code: int | None, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body = json.dumps({"error": QUOTING | {"code": code}}).encode()
    with pytest.raises(AfinError) as caught:
        tag_page(always(reply(body, status)))
    told = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(ACCESS)
    assert TOKEN not in told
    assert "EAABEAAB" not in told
