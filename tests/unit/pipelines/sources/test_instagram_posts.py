import copy
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.instagram import to_source_post
from pipelines.sources.instagram.accounts import parse_account_page
from pipelines.sources.instagram.media import read_post
from pipelines.sources.instagram.tags import parse_tag_page
from schemas.crawls import FoundPhoto, FoundPost
from schemas.errors import AfinError, FetchError
from schemas.posts import SourcePhoto, SourcePost
from tests.unit.pipelines.http.stand_in import always, reply
from tests.unit.pipelines.sources.graph_answers import (
    ACCESS,
    ALBUM,
    DISCOVERED,
    POST,
    TAGGED,
    TOKEN,
    tag_page,
)
from tests.unit.pipelines.sources.junk import json_values, spoiled_copies


def post(entry: object, username: str | None = None) -> FoundPost:
    found = read_post(entry, where="post 1", username=username)
    assert isinstance(found, FoundPost)
    return found


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
