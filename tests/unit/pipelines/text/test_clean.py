import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.text.clean import clean_caption

FAMILY = "👨‍👩‍👧‍👦"
SURFER = "🏄🏽‍♀️"
SCOTLAND = "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"


@pytest.mark.parametrize(
    ("caption", "cleaned"),
    [
        ("¡Hola! ¿Qué tal? (bien)", "hola qué tal bien"),
        ("uno\ndos\r\n\ttres\u2028cuatro", "uno dos tres cuatro"),
        ("#Moda#Fashion @maria_lopez", "moda fashion maria lopez"),
        ("ÑANDÚ PINGÜINO ÁÉÍÓÚ", "ñandú pingüino áéíóú"),
        ("man\u0303ana MAN\u0303ANA", "mañana mañana"),
        ("café25,50€/día…", "café25 50 día"),
        ("mira https://example.org/a?b=c#d y www.tienda.example ya", "mira y ya"),
        ("ho\u00adla a\u200bb", "hola a b"),
        ("__label__moda </s>", "label moda s"),
        ("roto\ud800\x00fin", "roto fin"),
        ("  ...!!  ", ""),
        ("", ""),
    ],
)
def test_a_caption_becomes_lower_case_words(caption: str, cleaned: str) -> None:
    assert clean_caption(caption) == cleaned


@pytest.mark.parametrize(
    "emoji", ["😂", "❤️", "❤️‍🔥", "👍🏿", FAMILY, SURFER, "🇨🇱", SCOTLAND, "1️⃣", "#️⃣", "‼️", "Ⓜ️", "☀"]
)
def test_an_emoji_stays_whole_as_a_word_of_its_own(emoji: str) -> None:
    assert clean_caption(f"Sol{emoji}{emoji}y playa!") == f"sol {emoji} {emoji} y playa"


@given(st.text())
@example("\u0130")
@example("a1\u00ad\u20e3b")
@example("a" + "\u0301\u200d" * 20)
@example("\u037e\u212a\u1fef")
def test_cleaning_twice_changes_nothing(caption: str) -> None:
    once = clean_caption(caption)
    assert clean_caption(once) == once


@given(st.text())
def test_the_result_is_one_line_that_can_be_stored(caption: str) -> None:
    cleaned = clean_caption(caption)
    assert cleaned.split() == (cleaned.split(" ") if cleaned else [])
    cleaned.encode()


@pytest.mark.parametrize(
    "unit",
    ["¡Hola! ", "a\u0301\u0327", "\u0301\u0327", "\u0301\u200d\u0327", "👩\u200d", "http", "🇨"],
)
def test_a_megabyte_takes_time_in_proportion(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    started = time.process_time()
    clean_caption(text)
    assert time.process_time() - started < 5
