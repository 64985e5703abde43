import asyncio
import copy
import json
import logging
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from pipelines.sources.http import Fetcher
from pipelines.sources.instagram import (
    GraphAccess,
    find_tag,
    read_account_page,
    read_asked_tags,
    read_tag_page,
    to_source_post,
)
from pipelines.sources.instagram.accounts import parse_account_page
from pipelines.sources.instagram.media import read_post
from pipelines.sources.instagram.tags import parse_tag_page
from schemas.crawls import FoundAccount, FoundPhoto, FoundPost, Page, Usage
from schemas.errors import AfinError, FetchError, NotFoundError, SourceBlockedError, UsageError
from schemas.posts import SourcePhoto, SourcePost
from tests.unit.pipelines.http.stand_in import Handler, StandIn, always, policy, reply, serve
from tests.unit.pipelines.sources.junk import json_values, spoiled_copies

FORMATS = Path(__file__).parents[4] / "../shared/formats/instagram"
needs_formats = pytest.mark.skipif(
    not FORMATS.is_dir(), reason="the excerpts of real answers (../shared/formats) are absent"
)
TOKEN, USER, TAG_ID = "S3CRET", "17841400000000001", "17843826142012701"
ACCESS = GraphAccess(base_url="http://e.test", user_id=USER, token=SecretStr(TOKEN))
NEXT = (
    f"https://graph.test/v4.0/1/top_media?access_token={TOKEN}&pretty=0&fields=id&user_id=1&limit=5"
)

POST: dict[str, object] = {
    "id": "18088158883149835",
    "caption": "Mi perro #perro 🐶",
    "media_type": "IMAGE",
    "media_url": "https://cdn.test/a.heic?stp=dst-jpg&oe=1",
    "permalink": "https://www.instagram.com/p/B8g/",
    "timestamp": "2021-08-17T19:00:42+0000",
    "like_count": 87,
    "comments_count": 11,
}
ALBUM: dict[str, object] = {
    "id": "1",
    "media_type": "CAROUSEL_ALBUM",
    "children": {
        "data": [
            {"id": "11", "media_type": "IMAGE", "media_url": "https://cdn.test/11.jpg"},
            {"id": "12", "media_type": "VIDEO", "media_url": "https://cdn.test/12.mp4"},
            {"media_type": "IMAGE", "media_url": "https://cdn.test/13.jpg"},
        ]
    },
}
TAGGED: dict[str, object] = {
    "data": [POST, ALBUM],
    "paging": {"cursors": {"after": "QVFI"}, "next": f"{NEXT}&after=QVFI"},
}
DISCOVERED: dict[str, object] = {
    "business_discovery": {
        "id": "17841407673135339",
        "username": "jansport_cl",
        "followers_count": 64976,
        "media_count": 436,
        "media": {"data": [POST], "paging": {"cursors": {"after": "QVFI=="}}},
    },
    "id": USER,
}

T = TypeVar("T")


def ask(
    handler: Handler,
    call: Callable[[Fetcher, GraphAccess], Awaitable[T]],
    *,
    token: str = TOKEN,
    user_id: str = USER,
) -> tuple[T, StandIn]:
    async def play() -> tuple[T, StandIn]:
        async with serve(handler) as server, Fetcher(policy()) as fetcher:
            base_url = server.url("/v23.0/")
            access = GraphAccess(base_url=base_url, user_id=user_id, token=SecretStr(token))
            return await call(fetcher, access), server

    return asyncio.run(play())


def says(value: object, **headers: str) -> Handler:
    return always(reply(json.dumps(value).encode(), **headers))


def tag_page(handler: Handler, after: str | None = None) -> tuple[Page[FoundPost], StandIn]:
    (page, _), server = ask(
        handler, lambda fetcher, access: read_tag_page(fetcher, access, TAG_ID, after=after)
    )
    return page, server


def post(entry: object, username: str | None = None) -> FoundPost:
    found = read_post(entry, where="post 1", username=username)
    assert isinstance(found, FoundPost)
    return found


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


# Posts


def test_a_photo_comes_with_what_is_known_of_it() -> None:
    assert post(POST) == FoundPost(
        external_id="18088158883149835",
        kind="photo",
        caption="Mi perro #perro 🐶",
        permalink="https://www.instagram.com/p/B8g/",
        posted_at=datetime(2021, 8, 17, 19, 0, 42, tzinfo=UTC),
        likes=87,
        comments=11,
        photos=(
            FoundPhoto(
                source="instagram",
                external_id="18088158883149835",
                url="https://cdn.test/a.heic?stp=dst-jpg&oe=1",
                page="https://www.instagram.com/p/B8g/",
            ),
        ),
    )


def test_the_author_of_a_tagged_post_stays_unknown() -> None:
    assert post(POST).username is None


def test_the_author_of_an_accounts_post_is_credited() -> None:
    found = post(POST, "jansport_cl")
    assert found.username == "jansport_cl"
    assert found.photos[0].photographer == "jansport_cl"
    assert found.photos[0].photographer_url == "https://www.instagram.com/jansport_cl/"


def test_an_album_has_the_photos_of_its_children_and_not_their_videos() -> None:
    found = post(ALBUM)
    assert (found.kind, found.problems) == ("album", ())
    assert [(photo.external_id, photo.url) for photo in found.photos] == [
        ("11", "https://cdn.test/11.jpg"),
        ("1_3", "https://cdn.test/13.jpg"),
    ]


def test_a_video_has_no_photo() -> None:
    found = post(POST | {"media_type": "VIDEO", "media_url": "https://cdn.test/a.mp4"})
    assert (found.kind, found.photos, found.problems) == ("video", (), ())


def test_the_thumbnail_of_a_video_is_its_photo() -> None:
    found = post(POST | {"media_type": "VIDEO", "thumbnail_url": "https://cdn.test/t.jpg"})
    assert [photo.url for photo in found.photos] == ["https://cdn.test/t.jpg"]


@pytest.mark.parametrize("url", [None, "", 7, "data:image/png;base64,AAAA", "file:///x"])
def test_a_photo_without_an_address_leaves_its_post_with_a_problem(url: object) -> None:
    found = post(POST | {"media_url": url})
    assert (found.photos, found.caption) == ((), "Mi perro #perro 🐶")
    assert [problem.reason for problem in found.problems] == ["missing-url"]


@pytest.mark.parametrize("field", ["like_count", "comments_count"])
@pytest.mark.parametrize("value", [-1, None])
def test_a_hidden_count_is_unknown(field: str, value: object) -> None:
    found = post(POST | {field: value})
    assert (found.likes, found.comments) in ((None, 11), (87, None))
    assert found.problems == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"timestamp": "yesterday"}, "invalid-date"),
        ({"like_count": "many"}, "invalid-likes"),
        ({"comments_count": 10**30}, "invalid-comments"),
    ],
)
def test_a_value_that_cannot_be_used_is_noted(change: dict[str, object], reason: str) -> None:
    assert [problem.reason for problem in post(POST | change).problems] == [reason]


@pytest.mark.parametrize("entry", [{}, None, 7, {"id": ""}, {"id": ["x"]}, {"id": "x" * 201}])
def test_an_entry_without_an_id_is_a_problem_of_the_page(entry: object) -> None:
    page = parse_tag_page({"data": [entry, POST]}, ACCESS)
    assert [problem.reason for problem in page.problems] == ["invalid-post"]
    assert len(page.items) == 1


def test_a_post_that_comes_twice_counts_once() -> None:
    assert len(parse_tag_page({"data": [POST, POST]}, ACCESS).items) == 1


@pytest.mark.parametrize("value", [{}, [], None, {"data": {}}, {"data": "x"}])
def test_an_answer_without_posts_is_broken(value: object) -> None:
    with pytest.raises(FetchError):
        parse_tag_page(value, ACCESS)


def test_a_found_post_becomes_the_post_of_saved_dumps() -> None:
    assert to_source_post(post(POST)) == SourcePost(
        external_id="18088158883149835",
        caption="Mi perro #perro 🐶",
        photos=(SourcePhoto(url="https://cdn.test/a.heic?stp=dst-jpg&oe=1"),),
        posted_at=datetime(2021, 8, 17, 19, 0, 42, tzinfo=UTC),
        likes=87,
        comments=11,
    )


def test_problems_stay_with_the_post_and_long_captions_are_cut() -> None:
    found = post(POST | {"media_url": None, "caption": "x" * 50})
    source = to_source_post(found, max_caption_chars=10)
    assert source.caption == "x" * 10
    assert [problem.reason for problem in source.problems] == ["missing-url", "caption-cut"]


@given(json_values | spoiled_copies(copy.deepcopy(TAGGED)))
def test_any_page_of_a_tag_is_read_or_refused_in_our_words(value: object) -> None:
    try:
        page = parse_tag_page(value, ACCESS)
    except AfinError:
        return
    assert TOKEN not in (page.next or "")
    for found in page.items:
        to_source_post(found).model_dump_json()


@given(json_values | spoiled_copies(copy.deepcopy(DISCOVERED)))
def test_any_account_is_read_or_refused_in_our_words(value: object) -> None:
    try:
        account, page = parse_account_page(value, "jansport_cl")
    except AfinError:
        return
    account.model_dump_json()
    page.model_dump_json()


@given(st.binary(max_size=60))
def test_any_answer_is_read_or_refused_in_our_words(body: bytes) -> None:
    with pytest.raises(AfinError):
        tag_page(always(reply(body)))


# Real answers


def load(name: str) -> object:
    value: object = json.loads((FORMATS / name).read_text("utf-8"))
    return value


@needs_formats
def test_real_tagged_posts_are_read() -> None:
    page = parse_tag_page(load("hashtags__hashtag_top_medias_p1.json"), ACCESS)
    assert (len(page.items), page.next, page.problems) == (25, "after=after", ())
    kinds = [found.kind for found in page.items]
    assert (kinds.count("photo"), kinds.count("album")) == (24, 1)
    album = next(found for found in page.items if found.kind == "album")
    assert all(".mp4" not in photo.url for photo in album.photos)
    assert all(found.photos and found.caption for found in page.items if found.kind == "photo")


@needs_formats
@pytest.mark.parametrize(("number", "following"), [(1, "after=after"), (2, None)])
def test_real_pages_of_bare_posts_are_read(number: int, following: str | None) -> None:
    page = parse_tag_page(load(f"hashtags__hashtag_recent_medias_p{number}.json"), ACCESS)
    assert (len(page.items), page.next) == (5, following)
    assert all(found.likes is not None for found in page.items)


@needs_formats
def test_a_real_accounts_posts_are_read() -> None:
    account, page = parse_account_page(load("discovery__medias_p1.json"), "x")
    assert account.external_id == "17841407673135339"
    assert (len(page.items), page.next, page.problems) == (2, "after", ())
    assert all(len(found.photos) == 1 and not found.problems for found in page.items)


@needs_formats
def test_a_real_profile_is_read() -> None:
    account, page = parse_account_page(load("discovery__user_fields.json"), "x")
    assert (account.followers, account.posts, page.total) == (64976, 436, 436)
    assert (page.items, page.next) == ((), None)


@needs_formats
def test_a_real_tag_and_the_real_list_of_tags_are_read() -> None:
    tag = says(load("users__hashtag_search.json"))
    (tag_id, _), _ = ask(tag, lambda fetcher, access: find_tag(fetcher, access, "developers"))
    assert tag_id == "17841562426109234"
    (names, _), _ = ask(says(load("users__recently_searched_hashtags.json")), read_asked_tags)
    assert names == ["developers", "facebook"]


@needs_formats
@pytest.mark.parametrize("name", ["error.json", "base__error_data.json"])
def test_real_errors_are_not_found(name: str) -> None:
    body = (FORMATS / name).read_bytes()
    with pytest.raises(NotFoundError, match=r"\(#100\)"):
        tag_page(always(reply(body, "400 Bad Request")))


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
