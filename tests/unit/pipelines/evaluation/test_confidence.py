"""Calibration and risk against hand-worked values and plain sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.evaluation.confidence import measure_confidence, trace_risk


def answers(*right: int) -> NDArray[np.bool_]:
    return np.array(right, np.bool_)


def test_the_calibration_error_is_the_weighted_gap_of_the_bins() -> None:
    sure = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    found = measure_confidence(sure, answers(1, 1, 1, 0, 1, 0))
    # Four at 95 % of which 75 % are right, two at 55 % of which half are.
    assert found.ece == pytest.approx((4 * 0.20 + 2 * 0.05) / 6)
    assert [(b.low, b.items, b.right) for b in found.bins] == [(0.5, 2, 0.5), (0.9, 4, 0.75)]


def test_certainty_falls_into_the_last_bin() -> None:
    (only,) = measure_confidence(np.array([1.0]), answers(1)).bins
    assert (only.low, only.high, only.said) == (0.9, 1.0, 1.0)


def test_risk_is_the_error_among_the_surest() -> None:
    sure = np.array([0.5, 0.9, 0.8, 0.6])
    assert trace_risk(sure, answers(0, 1, 1, 0)).tolist() == pytest.approx([0, 0, 1 / 3, 0.5])
    assert measure_confidence(sure, answers(0, 1, 1, 0)).aurc == pytest.approx((1 / 3 + 0.5) / 4)


def test_items_that_are_equally_sure_share_their_error_in_any_order() -> None:
    sure = np.array([0.7, 0.7, 0.9])
    one, other = (trace_risk(sure, answers(*right)) for right in ((0, 1, 1), (1, 0, 1)))
    assert one.tolist() == other.tolist() == pytest.approx([0, 0.25, 1 / 3])


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_all_items_together_have_the_plain_error_and_every_figure_is_a_rate(
    pairs: list[tuple[float, bool]],
) -> None:
    sure, right = np.array([p for p, _r in pairs]), np.array([r for _p, r in pairs])
    found = measure_confidence(sure, right)
    assert found.coverages[-1] == 1
    assert found.risks[-1] == pytest.approx(1 - right.mean())
    assert all(-1e-12 <= value <= 1 + 1e-12 for value in (*found.risks, found.aurc, found.ece))
    assert sum(b.items for b in found.bins) == len(pairs)


def test_nothing_cannot_be_measured() -> None:
    with pytest.raises(ValueError, match="at least one item"):
        measure_confidence(np.zeros(0), answers())
