"""Agreement between labellers equals what is worked out by hand, or by scikit-learn."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from pipelines.agreement import cohen_kappa, krippendorff_alpha, measure_agreement

answers = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40)


@given(answers)
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[bool, bool]]) -> None:
    first, second = zip(*pairs, strict=True)
    assume(len(set(first) | set(second)) == 2)
    assert cohen_kappa(first, second) == pytest.approx(cohen_kappa_score(first, second))


def test_kappa_of_people_who_never_vary_is_undefined() -> None:
    assert cohen_kappa([True, True], [True, True]) is None
    assert cohen_kappa([], []) is None


def test_alpha_of_krippendorffs_own_binary_example() -> None:
    # Krippendorff 2011, part A: two observers, ten units, alpha 0.095.
    meg = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    owen = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    units = [[bool(a), bool(b)] for a, b in zip(meg, owen, strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.095, abs=5e-4)


def test_alpha_weighs_things_by_their_number_of_answers() -> None:
    # Coincidences by hand: 3 answers give (2+2)/2 = 2 unlike pairs, 2 alike give none; n = 5.
    units = [[True, True, False], [True, True]]
    assert krippendorff_alpha(units) == pytest.approx(1 - (2 / 5) / (2 * 4 * 1 / (5 * 4)))


def test_things_that_one_person_labelled_count_for_nothing() -> None:
    units = [[True, True], [False, False]]
    assert krippendorff_alpha(units) == 1.0
    assert krippendorff_alpha([*units, [True], []]) == 1.0


def test_alpha_of_answers_that_are_all_alike_is_undefined() -> None:
    assert krippendorff_alpha([[True, True], [True, True]]) is None
    assert krippendorff_alpha([]) is None


def test_random_answers_agree_no_better_than_chance() -> None:
    rng = np.random.default_rng(0)
    alpha = krippendorff_alpha([list(unit) for unit in rng.random((4000, 3)) < 0.3])
    assert alpha == pytest.approx(0, abs=0.03)


def test_each_category_of_a_thing_is_judged_by_itself() -> None:
    found = measure_agreement(
        {
            "ana": {"p1": {"comida", "animal"}, "p2": {"comida"}, "p3": set()},
            "luz": {"p1": {"comida"}, "p2": set(), "p9": {"animal"}},
            "eva": {"p3": set()},
        },
        ["animal", "comida"],
    )
    assert found.labellers == ("ana", "eva", "luz")
    assert [(c.category, c.items, c.named) for c in found.categories] == [
        ("animal", 3, 1),
        ("comida", 3, 2),
    ]
    pairs = {(p.first, p.second, p.category): p for p in found.pairs}
    assert set(pairs) == {
        (a, b, c) for a, b in [("ana", "eva"), ("ana", "luz")] for c in ("animal", "comida")
    }
    assert pairs["ana", "luz", "comida"].items == 2
    assert pairs["ana", "luz", "comida"].agreement == 0.5
