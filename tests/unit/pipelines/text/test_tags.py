"""A query's own words leave a caption, whatever form they take there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.tags import TagStripper, fold, singulars

TERMS = ["comida", "airelibre", "perro", "montaña", "fit", "cachorro", "luz"]


@pytest.fixture
def stripper() -> TagStripper:
    return TagStripper(TERMS)


@pytest.mark.parametrize(
    "caption",
    [
        "comida",
        "#comida",
        "COMIDA",
        "comidas",
        "#Comidas",
        "#comidachilena",
        "#lamejorcomida",
        "#comida_chilena",
        "airelibre",
        "aire libre",
        "Aire  Libre",
        "#aire #libre",
        "perros",
        "montana",
        "montañas",
        "montan\u0303a",
        "luces",
        "fit",
        "\uff03comida",
    ],
)
def test_a_term_goes_in_every_form(stripper: TagStripper, caption: str) -> None:
    assert not any(char.isalpha() for char in stripper.remove(caption))
    assert stripper.mentions(caption)


@pytest.mark.parametrize(
    "caption", ["outfit", "#outfit", "comensal", "al aire", "libre", "comidilla", "emperrado"]
)
def test_other_words_stay(stripper: TagStripper, caption: str) -> None:
    assert stripper.remove(caption) == caption
    assert not stripper.mentions(caption)


def test_what_is_around_a_term_stays_as_it_was(stripper: TagStripper) -> None:
    assert stripper.remove("¡Qué rica Comida, mamá! 🍅") == "¡Qué rica , mamá! 🍅"


def test_terms_may_be_given_as_hashtags_or_in_several_words() -> None:
    assert TagStripper(["#Vida Sana"]).remove("mi vida sana hoy") == "mi   hoy"


def test_without_terms_nothing_changes() -> None:
    assert TagStripper(["", "#"]).remove("todo #queda") == "todo #queda"


def test_a_short_term_inside_a_hashtag_is_no_hit() -> None:
    assert TagStripper(["eat"]).remove("#great #eat") == "#great  "


@given(st.text(max_size=60))
def test_stripping_leaves_no_term_as_a_word(caption: str) -> None:
    stripper = TagStripper(TERMS)
    left = {word for word in fold(stripper.remove(caption)).split() if word.isalnum()}
    assert not left & {"comida", "perro", "fit"}


@given(st.text(max_size=60))
def test_stripping_only_ever_takes_away(caption: str) -> None:
    assert len(TagStripper(TERMS).remove(caption)) <= len(caption) + caption.count("#")


def test_plurals_lead_back_to_their_singulars() -> None:
    assert {"luz"} < singulars("luces")
    assert {"mujer"} < singulars("mujeres")
    assert {"gato"} < singulars("gatos")
    assert singulars("es") == {"es"}
