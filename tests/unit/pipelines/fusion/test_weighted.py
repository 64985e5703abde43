"""Weighted fusion gives the thesis' own numbers, and finds the weight that is best."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipelines.fusion.weighted import fuse, sweep_weight

rows = arrays(np.float64, (6, 3), elements=st.floats(0.01, 1))


def test_the_worked_example_of_the_thesis() -> None:
    image = np.array([[0.78, 0.01, 0.006, 0.104, 0.1]])
    text = np.array([[0.35, 0.55, 0.03, 0.02, 0.05]])
    expected = [0.694, 0.118, 0.0108, 0.0872, 0.09]
    assert fuse(image, text, 0.8)[0] == pytest.approx(expected)


@given(rows, rows, st.floats(0, 1))
def test_fusing_probabilities_gives_probabilities(
    image: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    text: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    weight: float,
) -> None:
    image, text = (part / part.sum(axis=1, keepdims=True) for part in (image, text))
    fused = fuse(image, text, weight)
    assert fused.sum(axis=1) == pytest.approx(np.ones(6))
    assert (fused >= np.minimum(image, text) - 1e-12).all()
    assert (fused <= np.maximum(image, text) + 1e-12).all()


def test_the_ends_of_the_sweep_are_one_half_alone() -> None:
    image, text = np.array([[0.9, 0.1]]), np.array([[0.2, 0.8]])
    assert fuse(image, text, 1.0).tolist() == image.tolist()
    assert fuse(image, text, 0.0).tolist() == text.tolist()


def test_a_missing_half_leaves_the_other_alone() -> None:
    nothing = np.zeros((1, 2))
    some = np.array([[0.3, 0.7]])
    assert fuse(nothing, some, 0.9)[0] == pytest.approx(some[0])
    assert fuse(some, nothing, 0.1)[0] == pytest.approx(some[0])
    assert fuse(nothing, nothing, 0.5)[0].tolist() == [0, 0]


def test_the_sweep_has_the_steps_of_the_thesis() -> None:
    sweep = sweep_weight(np.array([[0.9, 0.1]]), np.array([[0.2, 0.8]]), np.array([0]))
    assert len(sweep.weights) == 101
    assert sweep.weights[[0, 1, 82, 100]].tolist() == [0.0, 0.01, 0.82, 1.0]


def test_a_half_that_is_always_right_is_believed() -> None:
    labels = np.array([0, 1] * 20)
    right, noise = np.eye(2)[labels], np.eye(2)[np.roll(labels, 1)]
    assert sweep_weight(right, noise, labels).best == 1.0
    assert sweep_weight(noise, right, labels).best == 0.0


def test_precision_is_what_counting_by_hand_gives() -> None:
    image = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    text = np.array([[0.4, 0.6], [0.1, 0.9], [0.3, 0.7]])
    sweep = sweep_weight(image, text, np.array([0, 1, 1]))
    # Of class 0 the one post, of class 1 none, one or both are right.
    assert sweep.precision[0] == pytest.approx((0 + 1) / 2)
    assert sweep.precision[100] == pytest.approx((1 + 0.5) / 2)
    assert sweep.precision[50] == pytest.approx(1.0)
    assert sweep.precision[round(sweep.best * 100)] == sweep.precision.max()


def test_posts_without_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="swept on"):
        sweep_weight(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0, np.int64))
