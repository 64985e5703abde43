import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.imagenet import (
    Words,
    expand,
    find_synsets,
    look_up_terms,
    read_hierarchy,
    read_words,
)
from pipelines.sources.imagenet.hierarchy import find_ancestors, invert
from pipelines.sources.imagenet.words import index_words
from schemas.errors import NotFoundError, SourceError

FORMATS = Path(__file__).parents[4] / "../shared/formats/imagenet"


def words(**names: str) -> Words:
    """Words from ``n1="dog, domestic dog"``, ids written short."""
    return index_words({wnid(short): tuple(text.split(", ")) for short, text in names.items()})


def wnid(short: str) -> str:
    return f"n{int(short[1:]):08d}"


def tree(**children: str) -> dict[str, list[str]]:
    return {wnid(parent): list(map(wnid, below.split())) for parent, below in children.items()}


def wnids(shorts: str) -> list[str]:
    return list(map(wnid, shorts.split()))


# The hierarchy


def test_a_subtree_comes_nearest_first() -> None:
    assert expand(wnid("n1"), tree(n1="n2 n3", n2="n4")) == wnids("n1 n2 n3 n4")


def test_a_shared_child_comes_once() -> None:
    assert expand(wnid("n1"), tree(n1="n2 n3", n2="n4", n3="n4")) == wnids("n1 n2 n3 n4")


def test_a_circle_ends() -> None:
    assert expand(wnid("n1"), tree(n1="n2", n2="n1 n2")) == wnids("n1 n2")


def test_a_synset_that_the_hierarchy_does_not_know_is_alone() -> None:
    assert expand(wnid("n9"), tree(n1="n2")) == [wnid("n9")]


links = st.dictionaries(
    st.integers(0, 6).map("n{:08d}".format),
    st.lists(st.integers(0, 6).map("n{:08d}".format), max_size=4),
)


@given(links)
def test_a_subtree_is_what_can_be_reached_each_once(children: dict[str, list[str]]) -> None:
    found = expand("n00000000", children)
    below = {child for parent in found for child in children.get(parent, [])}
    assert len(found) == len(set(found))
    assert set(found) == below | {"n00000000"}


@given(links)
def test_ancestors_are_those_whose_subtree_holds_it(children: dict[str, list[str]]) -> None:
    known = {*children, *(child for below in children.values() for child in below)}
    above = find_ancestors("n00000003", invert(children))
    assert above == {one for one in known | {"n00000003"} if "n00000003" in expand(one, children)}


def test_the_hierarchy_is_read_from_its_file(tmp_path: Path) -> None:
    text = "n01317541 n02084071\r\nbroken line\n\nn01317541 n02121808\nn1 n2\n"
    (tmp_path / "wordnet.is_a.txt").write_text(text)
    assert read_hierarchy(tmp_path) == {"n01317541": ["n02084071", "n02121808"]}


@pytest.mark.parametrize("body", [b"", b"nothing of the kind\n", b"\0\1\2\3" * 50])
def test_a_file_that_is_no_hierarchy_is_refused(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "wordnet.is_a.txt").write_bytes(body)
    with pytest.raises(SourceError, match=r"wordnet\.is_a\.txt"):
        read_hierarchy(tmp_path)


@pytest.mark.parametrize("read", [read_hierarchy, read_words])
def test_a_missing_file_is_told_with_the_others(tmp_path: Path, read: object) -> None:
    with pytest.raises(SourceError, match=r"fall11_urls\.txt, words\.txt"):
        read(tmp_path)  # type: ignore[operator]


# Words


ANIMALS = words(n1="dog, domestic dog", n2="domestic cat, house cat", n3="hot dog")


def test_a_name_finds_its_synset() -> None:
    assert find_synsets(ANIMALS, "domestic cat") == [wnid("n2")]


def test_a_name_must_match_whole() -> None:
    assert find_synsets(ANIMALS, "dog") == [wnid("n1")]


@pytest.mark.parametrize(
    "term", ["Domestic  Cat", "domestic_cat", "domestic-cat", " DOMESTIC CATS "]
)
def test_case_hyphens_and_plurals_are_no_hindrance(term: str) -> None:
    assert find_synsets(ANIMALS, term) == [wnid("n2")]


@pytest.mark.parametrize(
    ("plural", "name"), [("beaches", "beach"), ("parties", "party"), ("hills", "hill")]
)
def test_a_plural_finds_the_singular(plural: str, name: str) -> None:
    assert find_synsets(words(n1=name), plural) == [wnid("n1")]


def test_the_exact_spelling_goes_first() -> None:
    hills = words(n1="Hill, Benny Hill", n2="hill", n3="mound, hill")
    assert find_synsets(hills, "hill") == wnids("n2 n3")
    assert find_synsets(hills, "Hill") == [wnid("n1")]


def test_a_wnid_names_itself() -> None:
    assert find_synsets(ANIMALS, wnid("n3")) == [wnid("n3")]


def test_similar_names_are_told_where_none_fits() -> None:
    with pytest.raises(NotFoundError, match=f"domestic cat \\({wnid('n2')}\\)"):
        find_synsets(ANIMALS, "domestik cat")


@pytest.mark.parametrize("term", ["", "zzzzzz", "n99999999", "\0", "s", "es" * 10_000])
def test_what_nothing_is_called_is_not_found(term: str) -> None:
    with pytest.raises(NotFoundError):
        find_synsets(ANIMALS, term)


@given(st.text(max_size=30))
def test_any_term_is_found_or_not(term: str) -> None:
    with contextlib.suppress(NotFoundError):
        assert find_synsets(ANIMALS, term)


@given(st.binary(max_size=200))
def test_any_words_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, body: bytes
) -> None:
    folder = tmp_path_factory.mktemp("words")
    for name in ("words.txt", "wordnet.is_a.txt"):
        (folder / name).write_bytes(body)
    for read in (read_words, read_hierarchy):
        try:
            read(folder)
        except SourceError:
            continue


@pytest.mark.skipif(
    not (FORMATS / "words.txt").exists(),
    reason="the excerpts of real answers (../shared/formats) are absent",
)
def test_the_real_words_are_read() -> None:
    found = read_words(FORMATS)
    assert find_synsets(found, "domestic cat") == ["n02121808"]
    assert find_synsets(found, "nutrient") == ["n00021265", "n00021734"]
    assert len(found.names) == 306


# Senses: n1 thing (physical), n2 elevation, n3 ridge of mountains, n4 ridge of a nose, n5 idea


RIDGES = words(
    n2="elevation", n3="ridge", n4="ridge", n5="ridge, idea", n6="fresco", n7="elevation"
)


def test_the_sense_below_another_term_is_meant() -> None:
    senses = look_up_terms(["elevation", "ridge"], RIDGES, tree(n2="n3", n1="n2 n4"))
    assert [sense.chosen for sense in senses] == [(wnid("n2"),), (wnid("n3"),)]
    assert senses[1].left_out == tuple(wnids("n4 n5"))


def test_a_synset_that_two_terms_name_is_meant() -> None:
    senses = look_up_terms(["idea", "ridge"], RIDGES, tree(n1="n3 n4"))
    assert [sense.chosen for sense in senses] == [(wnid("n5"),)] * 2


def test_without_kin_a_physical_thing_is_meant() -> None:
    physical = {"n00001930": wnids("n3 n4")}
    (sense,) = look_up_terms(["ridge"], RIDGES, physical)
    assert sense.chosen == tuple(wnids("n3 n4"))


def test_without_anything_to_go_by_all_senses_are_meant() -> None:
    (sense,) = look_up_terms(["ridge"], RIDGES, tree(n8="n9"))
    assert sense.chosen == tuple(wnids("n3 n4 n5"))


def test_a_name_with_one_sense_is_meant_whatever_its_kin() -> None:
    senses = look_up_terms(["fresco", "elevation"], RIDGES, tree(n2="n3"))
    assert senses[0].chosen == (wnid("n6"),)


def test_a_term_that_names_nothing_stops_no_other() -> None:
    unknown, known = look_up_terms(["game console", "fresco"], RIDGES, tree(n2="n3"))
    assert (unknown.chosen, known.chosen) == ((), (wnid("n6"),))
    assert "game console" in unknown.remark
