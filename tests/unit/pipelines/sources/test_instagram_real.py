"""The excerpts of real answers are read whole."""

import json
from pathlib import Path

import pytest

from pipelines.sources.instagram import find_tag, read_asked_tags
from pipelines.sources.instagram.accounts import parse_account_page
from pipelines.sources.instagram.tags import parse_tag_page
from schemas.errors import NotFoundError
from tests.unit.pipelines.http.stand_in import always, reply
from tests.unit.pipelines.sources.graph_answers import ACCESS, ask, says, tag_page

FORMATS = Path(__file__).parents[4] / "../shared/formats/instagram"

pytestmark = pytest.mark.skipif(
    not FORMATS.is_dir(), reason="the excerpts of real answers (../shared/formats) are absent"
)


def load(name: str) -> object:
    value: object = json.loads((FORMATS / name).read_text("utf-8"))
    return value


def test_real_tagged_posts_are_read() -> None:
    page = parse_tag_page(load("hashtags__hashtag_top_medias_p1.json"), ACCESS)
    assert (len(page.items), page.next, page.problems) == (25, "after=after", ())
    kinds = [found.kind for found in page.items]
    assert (kinds.count("photo"), kinds.count("album")) == (24, 1)
    album = next(found for found in page.items if found.kind == "album")
    assert all(".mp4" not in photo.url for photo in album.photos)
    assert all(found.photos and found.caption for found in page.items if found.kind == "photo")


@pytest.mark.parametrize(("number", "following"), [(1, "after=after"), (2, None)])
def test_real_pages_of_bare_posts_are_read(number: int, following: str | None) -> None:
    page = parse_tag_page(load(f"hashtags__hashtag_recent_medias_p{number}.json"), ACCESS)
    assert (len(page.items), page.next) == (5, following)
    assert all(found.likes is not None for found in page.items)


def test_a_real_accounts_posts_are_read() -> None:
    account, page = parse_account_page(load("discovery__medias_p1.json"), "x")
    assert account.external_id == "17841407673135339"
    assert (len(page.items), page.next, page.problems) == (2, "after", ())
    assert all(len(found.photos) == 1 and not found.problems for found in page.items)


def test_a_real_profile_is_read() -> None:
    account, page = parse_account_page(load("discovery__user_fields.json"), "x")
    assert (account.followers, account.posts, page.total) == (64976, 436, 436)
    assert (page.items, page.next) == ((), None)


def test_a_real_tag_and_the_real_list_of_tags_are_read() -> None:
    tag = says(load("users__hashtag_search.json"))
    (tag_id, _), _ = ask(tag, lambda fetcher, access: find_tag(fetcher, access, "developers"))
    assert tag_id == "17841562426109234"
    (names, _), _ = ask(says(load("users__recently_searched_hashtags.json")), read_asked_tags)
    assert names == ["developers", "facebook"]


@pytest.mark.parametrize("name", ["error.json", "base__error_data.json"])
def test_real_errors_are_not_found(name: str) -> None:
    body = (FORMATS / name).read_bytes()
    with pytest.raises(NotFoundError, match=r"\(#100\)"):
        tag_page(always(reply(body, "400 Bad Request")))
