import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipelines.sources.sandbox import Misbehaviour, Sandbox, Server
from tests.sandbox import SMALL, ask

Attributes = dict[str, str | None]


class Tags(HTMLParser):
    """Collects the opening tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, Attributes]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def named(self, tag: str, **wanted: str) -> list[Attributes]:
        return [
            attributes
            for name, attributes in self.tags
            if name == tag
            and all(value in (attributes.get(key) or "").split() for key, value in wanted.items())
        ]


def read_page(sandbox: Sandbox, number: int, term: str = "graffiti") -> str:
    reply = ask(f"{sandbox.pexels_url}/search/{term}/?page={number}")
    assert reply.status == 200
    return reply.text


@pytest.fixture
def old(sandbox: Sandbox) -> Sandbox:
    sandbox.plan = sandbox.plan.change(pexels_layout="2020")
    return sandbox


def articles(page: Tags) -> list[Attributes]:
    return page.named("article", **{"class": "photo-item"})


def test_an_article_of_2020_has_attributes_that_a_real_one_has(old: Sandbox, formats: Path) -> None:
    html = (formats / "pexels" / "search_page_2020.html").read_text("utf-8")
    real, served = Tags(html), Tags(read_page(old, 1, "cooking"))
    known = set().union(*articles(real))
    assert set().union(*articles(served)) <= known
    links = real.named("a", **{"class": "js-photo-link"})
    for link in served.named("a", **{"class": "js-photo-link"}):
        assert set(link) <= set(links[0])
    pictures = real.named("img", **{"class": "photo-item__img"})
    for picture in served.named("img", **{"class": "photo-item__img"}):
        assert set(picture) <= set(pictures[0])


def test_some_articles_have_only_an_id_as_on_the_real_page(old: Sandbox, formats: Path) -> None:
    html = (formats / "pexels" / "search_page_2020.html").read_text("utf-8")
    for page in (Tags(html), Tags(read_page(old, 1, "cooking"))):
        lengths = {
            sum(name.startswith("data-photo-modal-") for name in article)
            for article in articles(page)
        }
        assert 1 in lengths
        assert max(lengths) > 10


def test_pages_of_2020_hold_thirty_and_end(old: Sandbox) -> None:
    pages = [Tags(read_page(old, number, "cooking")) for number in (1, 2, 3)]
    ids = [article["data-photo-modal-medium-id"] for page in pages for article in articles(page)]
    assert [len(articles(page)) for page in pages] == [30, 30, 5]
    assert len(set(ids)) == SMALL.photos_per_term
    nexts = [{link["href"] for link in page.named("a", rel="next")} for page in pages]
    assert nexts == [{"/search/cooking/?page=2"}, {"/search/cooking/?page=3"}, set()]


def test_a_picture_of_2020_can_be_fetched(old: Sandbox) -> None:
    page = Tags(read_page(old, 1, "cooking"))
    picture = page.named("img", **{"class": "photo-item__img"})[0]
    assert ask(str(picture["data-big-src"])).headers["Content-Type"] == "image/jpeg"


def test_names_are_escaped_in_attributes(old: Sandbox) -> None:
    page = read_page(old, 1, "cooking") + read_page(old, 2, "cooking")
    assert "O'Higgins" not in page
    names = [
        article.get("data-photo-modal-user-profile-full-name") for article in articles(Tags(page))
    ]
    assert "Greta O'Higgins" in names


def read_data(page: str) -> dict[str, object]:
    match = re.search(r'<script id="__NEXT_DATA__" type="application/json">(.*?)</script>', page)
    assert match
    data: dict[str, object] = json.loads(match[1])["props"]["pageProps"]["initialData"]
    return data


def test_pages_of_next_name_their_number_and_end(sandbox: Sandbox) -> None:
    pages = [read_data(read_page(sandbox, number, "cooking")) for number in (1, 2, 3)]
    assert [page["pagination"] for page in pages] == [
        {"current_page": number, "total_pages": 3} for number in (1, 2, 3)
    ]
    ids = [item["id"] for page in pages for item in page["data"]]  # type: ignore[attr-defined]
    assert len(set(ids)) == SMALL.photos_per_term


def test_an_item_of_next_has_what_a_crawler_needs(sandbox: Sandbox) -> None:
    item = read_data(read_page(sandbox, 1, "cooking"))["data"][0]  # type: ignore[index]
    assert {"id", "type", "attributes"} == set(item)
    attributes = item["attributes"]
    assert {"title", "width", "height", "image", "user"} <= set(attributes)
    assert {"small", "download_link"} <= set(attributes["image"])
    assert ask(attributes["image"]["download_link"]).status == 200


def test_both_layouts_show_the_same_photos(sandbox: Sandbox) -> None:
    first = [item["id"] for item in read_data(read_page(sandbox, 1, "cooking"))["data"]]  # type: ignore[attr-defined]
    sandbox.plan = sandbox.plan.change(pexels_layout="2020")
    second = articles(Tags(read_page(sandbox, 1, "cooking")))
    assert first == [article["data-photo-modal-medium-id"] for article in second][: len(first)]


@pytest.mark.parametrize("layout", ["2020", "next"])
@pytest.mark.parametrize(("term", "number"), [("xyzzy", 1), ("cooking", 99)])
def test_a_page_without_photos_is_a_page(
    sandbox: Sandbox, layout: str, term: str, number: int
) -> None:
    sandbox.plan = sandbox.plan.change(pexels_layout=layout)
    page = read_page(sandbox, number, term)
    assert "pexels-photo" not in page


def test_a_term_of_two_words_has_pages(old: Sandbox) -> None:
    page = Tags(read_page(old, 1, "video%20game"))
    assert len(articles(page)) == 30
    assert page.named("a", rel="next")[0]["href"] == "/search/video%20game/?page=2"


def test_the_challenge_is_told_by_what_the_real_one_has(sandbox: Sandbox, formats: Path) -> None:
    real = (formats / "pexels" / "challenge_page_2026.html").read_text("utf-8")
    sandbox.misbehave(Server.PEXELS, {Misbehaviour.CHALLENGE: 1.0})
    reply = ask(f"{sandbox.pexels_url}/search/cooking/")
    assert reply.status == 403
    for mark in (
        "<title>Just a moment...</title>",
        'id="challenge-error-text"',
        "window._cf_chl_opt",
        "/cdn-cgi/challenge-platform/",
    ):
        assert mark in real
        assert mark in reply.text
