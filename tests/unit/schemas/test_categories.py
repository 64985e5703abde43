"""The categories, their sets and search terms, held to the thesis (SPEC.md, annex)."""

import pytest

from schemas.categories import OTRA, known_categories, parse_category_set, read_categories
from schemas.errors import UsageError

FIVE = ("aire-libre", "animal", "comida", "deporte", "moda")
EIGHT = (*FIVE, "musica", "viajes", "vida-sana")
THIRTEEN = (*EIGHT, "arte", "belleza", "familia", "tatuajes", "videojuegos")

PEXELS = {
    "aire-libre": "camping climbing hiking outdoor park",
    "animal": "",
    "comida": "chef cooking food",
    "deporte": "athlete crossfit exercise fitness gym jogging marathon sport workout",
    "moda": "fashion suit",
}
INSTAGRAM = {
    "aire-libre": (
        "airelibre airelibrechile outdoor outdoorchile naturaleza trekking trekkingday "
        "trekkingchile hikking nature hikkingchile glaciar dunas montaña montañas paisaje landscape"
    ),
    "animal": (
        "perro perros gato gatos mascota mascotas pet pets animales vidaanimal vidasalvaje "
        "wildlife mascotagram petsofinstagram doglover cats catlover cachorro instagato"
    ),
    "comida": (
        "comida comidasana hamburguesa cheff cocina postre parrilla asado veganfood vegetariano "
        "eat sandwiches sandwich tallarines comidacasera banqueteria sabor comidachilena "
        "platotipico food healthyfood"
    ),
    "deporte": (
        "training fitness atlethic crossfit workout snowboarding triatlon triathlon strong "
        "ejercicios basquetbol natacion protriathlete runner maraton deportechile calistenia "
        "calisteniachile fit deporte deporteextremo deporteysalud entrenamiento ejercicio "
        "deporteesvida entrenamientofuncional crossfitchile"
    ),
    "moda": (
        "moda modamujer modahombre fashion style lookingood gala alfombraroja vestido traje "
        "elegante tux tuxedo outfit menwithstyle womenwithstyle estilo instamoda"
    ),
}
IMAGENET = {
    "aire-libre": "campsite, beach, natural elevation, highland, hill, mountain, ridge, gum tree",
    # The thesis gives the three synsets by their ids as well.
    "animal": "animal, n01317541, n02084071, n02121808",
    "comida": "food, comfort food, soul food, fare, diet, vegetarianism",
    "deporte": (
        "sport, archery, athletic game, blood sport, contact sport, cycling, gymnastics, "
        "acrobatics, tumbling, judo, outdoor sport, field sport, racing, riding, rock climbing, "
        "rowing, skating, skiing, team sport, track and field, water sports"
    ),
    "moda": "clothing, dress, black, loungewear, slops, tailor-made, work clothing",
}


@pytest.mark.parametrize(("name", "slugs"), [("five", FIVE), ("eight", EIGHT)])
def test_a_named_set_holds_its_categories(name: str, slugs: tuple[str, ...]) -> None:
    assert set(parse_category_set(name)) == set(slugs)


def test_thirteen_are_all_categories_there_are() -> None:
    assert set(parse_category_set("thirteen")) == set(THIRTEEN) == set(known_categories())


def test_no_set_names_a_category_twice() -> None:
    for name in ("five", "eight", "thirteen"):
        slugs = parse_category_set(name)
        assert len(slugs) == len(set(slugs))


def test_the_reject_class_is_no_category() -> None:
    assert OTRA not in known_categories()


def test_a_list_keeps_its_order_and_drops_blanks_and_repetitions() -> None:
    assert parse_category_set(" moda, animal,,moda ,") == ("moda", "animal")


@pytest.mark.parametrize("text", ["", " , ,"])
def test_naming_nothing_is_refused_with_what_could_be_named(text: str) -> None:
    with pytest.raises(UsageError, match=r"^No category named: use five, eight, thirteen, or .*"):
        parse_category_set(text)


@pytest.mark.parametrize("text", ["comida,kayak", "kayak", "Comida", "five,comida", OTRA])
def test_an_unknown_category_is_named_with_those_there_are(text: str) -> None:
    wrong = "kayak" if "kayak" in text else text.split(",", maxsplit=1)[0]
    with pytest.raises(UsageError) as caught:
        parse_category_set(text)
    assert f"Unknown category {wrong!r}" in str(caught.value)
    assert all(slug in str(caught.value) for slug in THIRTEEN)


@pytest.mark.parametrize("slug", FIVE)
def test_the_search_terms_of_the_annex_are_there(slug: str) -> None:
    category = read_categories().categories[slug]
    assert set(PEXELS[slug].split()) == set(category.pexels)
    assert set(INSTAGRAM[slug].split()) == set(category.instagram)
    assert set(IMAGENET[slug].split(", ")) == set(category.imagenet)


@pytest.mark.parametrize("slug", sorted(set(THIRTEEN) - set(FIVE)))
def test_every_other_category_has_terms_for_each_source(slug: str) -> None:
    category = read_categories().categories[slug]
    assert min(len(category.pexels), len(category.imagenet), len(category.instagram)) > 0


def test_every_category_is_described_in_both_languages() -> None:
    for category in read_categories().categories.values():
        assert category.spanish
        assert category.english
        assert category.meaning


def test_a_tag_is_written_as_instagram_knows_it() -> None:
    tags = [tag for one in read_categories().categories.values() for tag in one.instagram]
    assert all(tag.isalnum() and tag == tag.lower() for tag in tags)
