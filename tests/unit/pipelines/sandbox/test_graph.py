import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.sandbox.graph import Field, GraphError, make_error, parse_fields, pick
from pipelines.sources.sandbox.pager import Pager


def test_fields_are_read_with_modifiers_and_subfields() -> None:
    text = "id,business_discovery.username(a_b.c){id,media.after(QVF=).limit(10){id,media_url}}"
    media = Field("media", {"after": "QVF=", "limit": "10"}, (Field("id"), Field("media_url")))
    discovery = Field("business_discovery", {"username": "a_b.c"}, (Field("id"), media))
    assert parse_fields(text) == (Field("id"), discovery)


@pytest.mark.parametrize("text", ["id,", "{id}", "media{id", "id}", "id caption", "Ä", "a(b)"])
def test_what_is_no_list_of_fields_is_an_error(text: str) -> None:
    with pytest.raises(GraphError):
        parse_fields(text)


@given(st.text(alphabet="idmea_,.(){}= ä", max_size=60))
def test_fields_are_read_or_refused(text: str) -> None:
    with contextlib.suppress(GraphError):
        parse_fields(text)


def test_fields_within_fields_without_end_are_refused() -> None:
    with pytest.raises(GraphError):
        parse_fields("media{" * 5_000)


def test_no_fields_are_no_fields() -> None:
    assert parse_fields("") == ()


def test_only_wanted_fields_are_told_and_the_id() -> None:
    known = {"id": "1", "caption": "x", "children": [{"id": "2", "media_url": "u"}]}
    allowed = frozenset({"caption", "children", "media_url", "like_count"})
    wanted = parse_fields("children{media_url},like_count")
    assert pick(known, wanted, allowed=allowed) == {
        "children": {"data": [{"media_url": "u", "id": "2"}]},
        "id": "1",
    }


def test_a_field_that_never_is_there_is_an_error() -> None:
    with pytest.raises(GraphError) as caught:
        pick({"id": "1"}, parse_fields("username"), allowed=frozenset({"id"}))
    assert caught.value.code == 100


@pytest.mark.parametrize(("code", "subcode"), [(18, 2207034), (190, 463), (4, None)])
def test_an_error_says_its_code(code: int, subcode: int | None) -> None:
    error = make_error(code).describe("/x")["error"]
    assert isinstance(error, dict)
    assert (error["code"], error.get("error_subcode")) == (code, subcode)


@pytest.mark.parametrize("cursor", ["x", "Zm9v", "é", "=" * 9])
def test_a_cursor_from_elsewhere_is_an_error(cursor: str) -> None:
    with pytest.raises(GraphError):
        Pager().start("listing", cursor)


@given(st.integers(0, 10**6))
def test_a_cursor_tells_where_its_page_starts(start: int) -> None:
    pager = Pager()
    assert pager.start("listing", pager.cursor("listing", start, repeat=False)) == start


def test_a_repeated_cursor_moves_on_all_the_same() -> None:
    pager = Pager()
    cursors = [pager.cursor("listing", start, repeat=True) for start in (10, 20)]
    assert cursors == ["after", "after"]
    assert pager.start("listing", "after") == 20
    assert pager.start("another", "after") == 0
    assert pager.start("listing", None) == 0
