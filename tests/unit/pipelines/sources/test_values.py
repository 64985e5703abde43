"""Single values: what is accepted, what it becomes, and what is refused."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.values import (
    MAX_COUNT,
    clean_text,
    parse_count,
    parse_date,
    parse_name,
    parse_username,
    sort_categories,
)

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("given_name", ["Ana.Ruiz_1", "@ana.ruiz_1", "  ANA.RUIZ_1 "])
def test_user_names_are_brought_to_one_form(given_name: str) -> None:
    assert parse_username(given_name) == "ana.ruiz_1"


@pytest.mark.parametrize("name", ["", "a b", "ñandu", "x" * 31, "..", "a/b", None, 7, "\u212ana"])
def test_what_is_no_user_name_is_refused(name: object) -> None:
    with pytest.raises(ValueError, match="no user name"):
        parse_username(name)


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0, 0), (12, 12), ("12", 12), (" 12 ", 12), (12.0, 12), ("12.0", 12), ("12,00", 12),
        ("1.234", 1234), ("1,234,567", 1234567), (MAX_COUNT, MAX_COUNT), (None, None), ("", None),
    ],
)  # fmt: skip
def test_counts_are_read_as_tables_write_them(value: object, count: int | None) -> None:
    assert parse_count(value) == count


@pytest.mark.parametrize(
    "value",
    [-1, "-5", MAX_COUNT + 1, 10**400, 1.5, float("nan"), float("inf"), True, "many", "1e3", [],
     "1.234,567", "9" * 5000, "٣"],
)  # fmt: skip
def test_what_is_no_count_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="no count"):
        parse_count(value)


@pytest.mark.parametrize(
    "value",
    ["2026-01-31T12:00:00Z", "2026-01-31 12:00:00", "2026-01-31T09:00:00-03:00", 1769860800,
     "1769860800", 1769860800.0, "1769860800000", "31/01/2026 12:00", "31-1-2026, 12:00:00"],
)  # fmt: skip
def test_dates_are_read_as_people_write_them(value: object) -> None:
    assert parse_date(value) == NOON


@pytest.mark.parametrize("value", ["31/01/2026", "2026-01-31", "20260131"])
def test_a_day_begins_at_midnight_in_utc(value: str) -> None:
    assert parse_date(value) == datetime(2026, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    ["ayer", "31/02/2026", "01/31/2026", "0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-12:00",
     10**30, float("nan"), 1e300, True, {}, "3999-01-01", 5],
)  # fmt: skip
def test_what_is_no_date_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="no date"):
        parse_date(value)


@pytest.mark.parametrize(
    ("value", "ours", "strange"),
    [
        (None, None, ()),
        ("", None, ()),
        ([], (), ()),
        ("otra", (), ()),
        (["Aire Libre", "aire-libre"], ("aire-libre",), ()),
        ("animal|comida;moda", ("animal", "comida", "moda"), ()),
        (["animal", "gastronomía"], ("animal",), ("gastronomía",)),
        (["gastronomía"], None, ("gastronomía",)),
    ],
)
def test_categories_are_split_into_ours_and_unknown(
    value: object, ours: tuple[str, ...] | None, strange: tuple[str, ...]
) -> None:
    assert sort_categories(value) == (ours, strange)


def test_numbers_are_taken_for_ids() -> None:
    assert parse_name(123) == "123"


def test_nul_and_lone_surrogates_are_dropped_and_emoji_kept() -> None:
    assert clean_text("a\0b\ud800c👩‍👧") == "abc👩‍👧"


@given(value=JSON)
def test_any_json_value_is_read_or_refused_in_a_short_sentence(value: object) -> None:
    for parse in (parse_username, parse_count, parse_date, sort_categories, parse_name):
        try:
            parse(value)
        except ValueError as error:
            message = str(error)
        else:
            message = ""
        assert len(message) < 300
