"""Thresholds give the precision they promise, and the points the thesis names."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import hamming_loss, precision_score, recall_score

from pipelines.thresholds import (
    SweepPoint,
    find_balance,
    find_least_hamming,
    fit_thresholds,
    sweep_thresholds,
)

tables = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.booleans(), st.booleans()),
    min_size=1,
    max_size=40,
)
Row = tuple[float, float, bool, bool]


def read(rows: list[Row]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    table = np.array(rows)
    return table[:, :2], table[:, 2:].astype(bool)


@given(tables)
def test_a_sweep_gives_the_figures_of_scikit_learn(rows: list[Row]) -> None:
    scores, truth = read(rows)
    points = sweep_thresholds(scores, truth)
    assert [points[0].threshold, points[27].threshold, points[-1].threshold] == [0.01, 0.28, 1.0]
    for point in points[::9]:
        chosen = scores >= point.threshold
        assert point.hamming == pytest.approx(hamming_loss(truth, chosen))
        if point.precision is not None:
            assert point.precision == pytest.approx(
                precision_score(truth, chosen, average="micro", zero_division=0)
            )
        if point.recall is not None:
            assert point.recall == pytest.approx(
                recall_score(truth, chosen, average="micro", zero_division=0)
            )


def point(threshold: float, precision: float | None, recall: float, hamming: float) -> SweepPoint:
    return SweepPoint(
        threshold=threshold, precision=precision, recall=recall, f1=None, hamming=hamming
    )


POINTS = [
    point(0.1, 0.4, 0.9, 0.4),
    point(0.28, 0.6, 0.6, 0.25),
    point(0.39, 0.7, 0.5, 0.221),
    point(0.5, 0.8, 0.4, 0.221),
    point(0.9, None, 0.0, 0.3),
]


def test_the_balance_is_where_precision_equals_recall() -> None:
    found = find_balance(POINTS)
    assert found is not None
    assert found.threshold == 0.28


def test_where_nothing_is_ever_chosen_there_is_no_balance() -> None:
    assert find_balance(POINTS[-1:]) is None


def test_of_equally_good_thresholds_the_highest_is_taken() -> None:
    assert find_least_hamming(POINTS).threshold == 0.5


@given(tables, st.floats(0.5, 1))
def test_a_fitted_threshold_reaches_its_precision(rows: list[Row], target: float) -> None:
    scores, truth = read(rows)
    for place, found in enumerate(
        fit_thresholds(scores, truth, ["a", "b"], target_precision=target)
    ):
        if found.threshold is None:
            assert found.reason
            continue
        chosen = scores[:, place] >= found.threshold
        own = truth[:, place]
        assert found.precision == pytest.approx(precision_score(own, chosen))
        assert found.recall == pytest.approx(recall_score(own, chosen))
        assert (found.precision or 0) >= target


def test_a_threshold_between_neighbours_leaves_the_lower_one_out() -> None:
    half = np.float32(0.5)
    scores = np.array([[np.nextafter(half, np.float32(1))]] * 5 + [[half]] * 5, np.float32)
    truth = np.array([[True]] * 5 + [[False]] * 5)
    (found,) = fit_thresholds(scores, truth, ["a"], target_precision=0.9)
    assert found.threshold is not None
    assert (scores[:, 0] >= found.threshold).tolist() == truth[:, 0].tolist()
    assert found.precision == 1


@given(tables, st.floats(0.5, 1))
def test_no_lower_threshold_would_reach_it_with_more_recall(rows: list[Row], target: float) -> None:
    scores, truth = read(rows)
    found = fit_thresholds(scores, truth, ["a", "b"], target_precision=target)[0]
    own = truth[:, 0]
    if own.sum() < 5:
        assert found.threshold is None
        return
    good = [
        recall_score(own, scores[:, 0] >= cut)
        for cut in set(scores[:, 0].tolist()) - {0.0}
        if precision_score(own, scores[:, 0] >= cut, zero_division=0) >= target
    ]
    assert found.recall == pytest.approx(max(good)) if good else found.recall is None


def test_a_category_with_too_little_data_says_so() -> None:
    truth = np.array([[True]] * 4 + [[False]] * 6)
    (found,) = fit_thresholds(np.linspace(1, 0.1, 10)[:, None], truth, ["arte"])
    assert found.threshold is None
    assert found.reason == "only 4 labelled items have it, and 5 are needed"


def test_a_category_that_cannot_be_told_abstains() -> None:
    truth = np.array([[False], [True]] * 10)
    (found,) = fit_thresholds(np.full((20, 1), 0.5), truth, ["arte"])
    assert found.reason == "no threshold reaches a precision of 90%"


def test_a_threshold_lies_midway_and_never_below_the_least() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.3])[:, None]
    truth = np.array([[True]] * 5 + [[False]])
    assert fit_thresholds(scores, truth, ["x"])[0].threshold == pytest.approx(0.4)
    assert fit_thresholds(scores, truth, ["x"], least=0.45)[0].threshold == pytest.approx(0.45)
