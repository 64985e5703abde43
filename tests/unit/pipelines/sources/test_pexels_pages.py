import asyncio
import copy
import json
from pathlib import Path

import pytest
from hypothesis import given

from pipelines.sources.http import Fetcher, ThrottledError
from pipelines.sources.pexels import parse_search_page, read_search_page
from schemas.crawls import FoundPhoto, Page
from schemas.errors import AfinError, FetchError, SourceBlockedError
from tests.unit.pipelines.http.stand_in import (
    Handler,
    StandIn,
    always,
    by_path,
    policy,
    reply,
    serve,
)
from tests.unit.pipelines.sources.junk import html_like, json_values, spoiled_copies

FORMATS = Path(__file__).parents[4] / "../shared/formats/pexels"
needs_formats = pytest.mark.skipif(
    not (FORMATS / "search_page_2020.html").exists(),
    reason="the excerpts of real answers (../shared/formats) are absent",
)
CHALLENGE = "<title>Just a moment...</title><script>window._cf_chl_opt = {}</script>"

FULL_ARTICLE = """
<article class='photo-item' data-photo-modal-medium-id='7' data-photo-modal-type='Photo'
  data-photo-modal-download-value-original='6000x4000' data-photo-modal-width='1'
  data-photo-modal-image-src='https://i.test/7?h=750&amp;w=1260'
  data-photo-modal-image-download-link='https://i.test/7?dl=7.jpg'
  data-photo-modal-user-profile-full-name='Sh&ouml;n' data-photo-modal-user-profile-link='/@shon'>
<a class="js-photo-link" title="a > b" href="/photo/a-7/"><img data-image-width="1"
  data-big-src="https://i.test/7?h=750&amp;w=1260" src="https://i.test/7?w=500"></a>
</article>
"""
LIGHT_ARTICLE = """
<article class='photo-item' data-photo-modal-medium-id='8'>
<a class="js-photo-link" href="/photo/b-8/"><img data-image-width="3456" data-image-height="5184"
  data-big-src="https://i.test/8?h=750"></a>
<a class="photo-item__photographer" href="/@reafon"><img src="https://i.test/avatar.png">
<span class='photo-item__name'>Reafon Gates</span></a><a href="/photo/8/download/">x</a>
</article>
"""
NEXT_LINK = '<div class="pagination"><a rel="next" href="/search/x/?page=2">2</a></div>'

ENTRY: dict[str, object] = {
    "id": "9",
    "type": "photo",
    "attributes": {
        "title": "c",
        "slug": "c-c",
        "width": 600,
        "height": 400,
        "image": {"small": "https://i.test/9?w=500", "download_link": "https://i.test/9?dl=9"},
        "user": {"first_name": "Ana", "last_name": "Díaz", "slug": "ana"},
    },
}
DOCUMENT: dict[str, object] = {
    "props": {
        "pageProps": {
            "initialData": {
                "data": [ENTRY],
                "pagination": {"current_page": 2, "total_pages": 5},
            }
        }
    }
}


def next_page(document: object) -> str:
    script = '<script id="__NEXT_DATA__" type="application/json">{}</script>'
    return f"<body><div class='x7Hq2'></div>{script.format(json.dumps(document))}</body>"


def data_page(*entries: object, current: object = 2, total: object = 5) -> str:
    pagination = {"current_page": current, "total_pages": total}
    data = {"data": list(entries), "pagination": pagination}
    return next_page({"props": {"pageProps": {"initialData": data}}})


def read(
    handler: Handler, page: int = 1, *, robots: bool = False
) -> tuple[Page[FoundPhoto], StandIn]:
    async def play() -> tuple[Page[FoundPhoto], StandIn]:
        limits = policy(honour_robots=robots)
        async with serve(handler) as server, Fetcher(limits) as fetcher:
            found = await read_search_page(fetcher, "a b/ñ", page, base_url=server.url("/"))
            return found, server

    return asyncio.run(play())


# The layout of 2020


def test_a_photo_is_told_by_the_attributes_of_its_article() -> None:
    page = parse_search_page(FULL_ARTICLE)
    assert page.items == (
        FoundPhoto(
            source="pexels",
            external_id="7",
            url="https://i.test/7?h=750&w=1260",
            page="https://www.pexels.com/photo/a-7/",
            photographer="Shön",
            photographer_url="https://www.pexels.com/@shon",
            width=6000,
            height=4000,
        ),
    )


def test_an_article_without_attributes_is_told_by_what_it_holds() -> None:
    (photo,) = parse_search_page(LIGHT_ARTICLE).items
    assert photo.url == "https://i.test/8?h=750"
    assert photo.photographer == "Reafon Gates"
    assert photo.photographer_url == "https://www.pexels.com/@reafon"
    assert (photo.width, photo.height) == (3456, 5184)


def test_the_copy_that_the_api_names_too_goes_first() -> None:
    article = FULL_ARTICLE.replace("<img", "<img data-large-src='https://i.test/7?h=650'")
    assert parse_search_page(article).items[0].url == "https://i.test/7?h=650"


def test_the_next_page_is_the_one_that_is_linked_as_such() -> None:
    assert parse_search_page(FULL_ARTICLE + NEXT_LINK).next == "2"
    assert parse_search_page(FULL_ARTICLE).next is None


def test_a_video_among_the_photos_is_passed_over() -> None:
    video = FULL_ARTICLE.replace("type='Photo'", "type='Video'")
    page = parse_search_page(video + LIGHT_ARTICLE)
    assert [photo.external_id for photo in page.items] == ["8"]
    assert page.problems == ()


def test_an_article_of_a_photo_without_address_is_a_problem() -> None:
    page = parse_search_page("<article class='photo-item'></article>" + LIGHT_ARTICLE)
    assert [problem.reason for problem in page.problems] == ["invalid-photo"]
    assert len(page.items) == 1


def test_a_search_without_results_is_an_empty_page() -> None:
    page = parse_search_page("<div class='search__grid'><div class='photos'></div></div>")
    assert (page.items, page.next) == ((), None)


@needs_formats
def test_the_real_page_is_read_whole() -> None:
    page = parse_search_page((FORMATS / "search_page_2020.html").read_text("utf-8"))
    assert len(page.items) == 30
    assert (page.next, page.problems) == ("2", ())
    for photo in page.items:
        assert photo.url.startswith("https://images.pexels.com/photos/")
        assert photo.external_id in photo.url
        assert photo.photographer
        assert photo.page is not None
        assert photo.page.startswith("https://www.pexels.com/photo/")
        assert (photo.photographer_url or "").startswith("https://www.pexels.com/@")
        assert (photo.width or 0) > 1000
    assert [photo.photographer for photo in page.items[:3]] == [
        "ShonEjai",
        "Reafon Gates",
        "Pixabay",
    ]


# The layout since 2021


def test_a_photo_is_told_by_the_data_of_the_scripts() -> None:
    page = parse_search_page(data_page(ENTRY))
    assert page.items == (
        FoundPhoto(
            source="pexels",
            external_id="9",
            url="https://i.test/9?w=500",
            page="https://www.pexels.com/photo/c-c-9/",
            photographer="Ana Díaz",
            photographer_url="https://www.pexels.com/@ana",
            width=600,
            height=400,
        ),
    )


@pytest.mark.parametrize(
    ("current", "total", "following"),
    [(1, 5, "2"), (5, 5, None), (9, 5, None), (None, 5, None), (1, "x", None)],
)
def test_the_pages_are_numbered_by_the_data(
    current: object, total: object, following: str | None
) -> None:
    assert parse_search_page(data_page(ENTRY, current=current, total=total)).next == following


def test_an_empty_page_ends_the_search() -> None:
    assert parse_search_page(data_page()).next is None


def test_what_is_no_photo_is_passed_over() -> None:
    page = parse_search_page(data_page(ENTRY | {"type": "video"}, ENTRY))
    assert (len(page.items), page.problems) == (1, ())


def test_an_entry_without_address_is_a_problem() -> None:
    page = parse_search_page(data_page({"id": 1, "type": "photo"}, ENTRY))
    assert (len(page.items), len(page.problems)) == (1, 1)


def test_data_that_are_cut_off_are_a_broken_answer() -> None:
    with pytest.raises(FetchError) as caught:
        parse_search_page('<script id="__NEXT_DATA__">{"props": ')
    assert caught.value.reason == "broken-answer"


# Anything else


def test_a_challenge_page_is_recognised() -> None:
    with pytest.raises(SourceBlockedError, match="AFIN_PEXELS_KEY"):
        parse_search_page(CHALLENGE)


@needs_formats
def test_the_real_challenge_page_is_recognised() -> None:
    with pytest.raises(SourceBlockedError):
        parse_search_page((FORMATS / "challenge_page_2026.html").read_text("utf-8"))


def test_a_script_of_the_guard_on_an_ordinary_page_is_no_challenge() -> None:
    script = "<script src='/cdn-cgi/challenge-platform/scripts/jsd/main.js'></script>"
    assert parse_search_page(script + FULL_ARTICLE).items


@pytest.mark.parametrize(
    "html", ["", "<html>Welcome</html>", next_page({"props": {}}), "<article>news</article>"]
)
def test_a_page_of_no_known_layout_is_told_apart_from_one_without_results(html: str) -> None:
    with pytest.raises(FetchError) as caught:
        parse_search_page(html)
    assert caught.value.reason == "unknown-layout"


def test_a_page_larger_than_any_real_one_is_not_read() -> None:
    with pytest.raises(FetchError) as caught:
        parse_search_page(" " * (2 * 2**20 + 1))
    assert caught.value.reason == "too-big"


@given(html_like)
def test_any_page_is_read_or_refused_in_our_words(html: str) -> None:
    try:
        parse_search_page(html).model_dump_json()
    except AfinError:
        return


@given(json_values | spoiled_copies(copy.deepcopy(DOCUMENT)))
def test_any_data_are_read_or_refused_in_our_words(document: object) -> None:
    try:
        parse_search_page(next_page(document)).model_dump_json()
    except AfinError:
        return


# Fetching


def test_a_page_is_asked_for_by_term_and_number() -> None:
    _, server = read(always(reply(FULL_ARTICLE.encode())), 3)
    assert server.paths == ["/search/a%20b%2F%C3%B1/?page=3"]


def test_links_are_made_whole_with_the_address_of_the_site() -> None:
    page, server = read(always(reply(FULL_ARTICLE.encode())))
    assert page.items[0].page == server.url("/photo/a-7/")


def test_a_link_to_no_later_page_ends_the_search() -> None:
    page, _ = read(always(reply((FULL_ARTICLE + NEXT_LINK).encode())), 2)
    assert page.next is None


@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden", "503 Busy"])
def test_a_challenge_is_asked_once_and_stops_the_source(status: str) -> None:
    asked = []

    async def handle(request: object, writer: asyncio.StreamWriter) -> None:
        asked.append(request)
        writer.write(reply(CHALLENGE.encode(), status))

    with pytest.raises(SourceBlockedError):
        read(handle)
    assert len(asked) == 1


def test_a_refusal_stops_the_source() -> None:
    with pytest.raises(SourceBlockedError):
        read(always(reply(b"no", "403 Forbidden")))


def test_a_site_out_of_order_is_asked_again_later() -> None:
    with pytest.raises(ThrottledError):
        read(always(reply(b"", "503 Busy")))


def test_pages_are_held_against_robots_txt() -> None:
    pages = {"/robots.txt": reply(b"User-agent: *\nDisallow: /search/\n")}
    with pytest.raises(FetchError) as caught:
        read(by_path(pages), robots=True)
    assert caught.value.reason == "robots"
