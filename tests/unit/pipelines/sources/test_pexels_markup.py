import time

import pytest
from hypothesis import given

from pipelines.sources.pexels.markup import Tag, iter_markup
from tests.unit.pipelines.sources.junk import html_like

HOSTILE = (
    "<!--",
    "<a ",
    "<!",
    "</",
    "<?",
    "&",
    "<a x='",
    "<a x=\"'",
    "<![",
    "<script>",
    "</a",
    "<a a=",
    "<a a = ",
    "<",
    '"\'<a x="',
    "<a =",
    "&#9",
    "<a" + " " * 99,
    "<a" + " x" * 300,
)


def test_markup_is_cut_into_tags_and_text() -> None:
    text = "a<B C='d>e' f=g h>&amp;</b ><!-- <i> --><br/>z"
    assert list(iter_markup(text)) == [
        "a",
        Tag("b", False, {"c": "d>e", "f": "g", "h": ""}),
        "&",
        Tag("b", True),
        Tag("br"),
        "z",
    ]


def test_what_stands_in_a_script_is_one_text() -> None:
    assert list(iter_markup("<script>a<b&amp;</script >c")) == [
        Tag("script"),
        "a<b&amp;",
        Tag("script", True),
        "c",
    ]


@pytest.mark.parametrize("text", ["<", "a < b", "<3", "&#" + "9" * 5000, "<a", "<a b='", "<!--"])
def test_what_is_not_closed_or_no_tag_does_no_harm(text: str) -> None:
    list(iter_markup(text))


@given(html_like)
def test_text_outside_tags_is_never_lost(text: str) -> None:
    plain = text.replace("<", "").replace("&", "")
    assert "".join(item for item in iter_markup(plain) if isinstance(item, str)) == plain


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_markup_takes_time_in_proportion_to_its_length(piece: str) -> None:
    text = (piece * 400_000)[:400_000]
    started = time.process_time()
    for _ in iter_markup(text):
        pass
    # A second is usual here; the standard library's parser took 143 for the first of these.
    assert time.process_time() - started < 10
