"""McNemar's exact test is scipy's binomial test; Holm's correction is that of his paper."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from pipelines.evaluation.significance import adjust_holm, compare_pairs, mcnemar


@given(st.integers(0, 400), st.integers(0, 400))
def test_p_values_are_those_of_scipys_binomial_test(first: int, second: int) -> None:
    expected = binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)


def test_thousands_of_disagreements_do_not_underflow() -> None:
    assert mcnemar(5000, 5000) == pytest.approx(1.0)
    assert 0 <= mcnemar(9000, 1000) < 1e-100
    assert mcnemar(5100, 4900) == pytest.approx(binomtest(4900, 10000).pvalue, rel=1e-6)


def test_items_on_which_two_methods_agree_say_nothing() -> None:
    first = np.array([True, True, False, True, False])
    second = np.array([True, False, False, False, True])
    (found,) = compare_pairs(first, [second])
    assert (found.only_first, found.only_second) == (2, 1)
    assert found.p_value == found.p_adjusted == 1.0


def test_holms_correction_multiplies_the_smallest_most_and_never_turns_the_order() -> None:
    assert adjust_holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert adjust_holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_a_correction_only_ever_raises_a_p_value_up_to_one(p_values: list[float]) -> None:
    adjusted = adjust_holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    assert sorted(adjusted) == [adjusted[i] for i in np.argsort(p_values, kind="stable")]
