import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from pipelines.fusion.calibrate import (
    IsotonicMap,
    balanced_loss,
    expected_calibration_error,
    fit_isotonic,
    fit_temperature,
    several_calibration_error,
    split_validation,
)
from pipelines.fusion.network import softmax


def test_the_balanced_loss_weighs_every_class_alike() -> None:
    rng = np.random.default_rng(0)
    labels, logits = np.repeat([0, 1, 2], [50, 5, 20]), rng.normal(size=(75, 3))
    expected = np.mean(
        [
            log_loss(labels[labels == c], softmax(logits[labels == c]), labels=[0, 1, 2])
            for c in range(3)
        ]
    )
    assert balanced_loss(logits, labels, 3) == pytest.approx(expected, rel=1e-4)


def test_logits_blown_up_threefold_need_a_temperature_near_three() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 3)) * 1.5
    labels = np.array(
        [rng.choice(3, p=row / row.sum()) for row in softmax(logits).astype(np.float64)]
    )
    assert fit_temperature(logits * 3, labels, 3) == pytest.approx(3, rel=0.15)


@pytest.mark.parametrize(("size", "held"), [(1, 0), (4, 0), (5, 1), (10, 2), (100, 15)])
def test_every_class_gives_its_share_and_small_ones_nothing(size: int, held: int) -> None:
    labels = np.repeat([0, 1], [size, 40])
    fitted, apart = split_validation(labels, 0.15, seed=0)
    assert int((labels[apart] == 0).sum()) == held
    assert sorted([*fitted, *apart]) == list(range(size + 40))


def test_a_calibration_error_worked_out_by_hand() -> None:
    # Two bins of two: certainty 0.9 with half right, certainty 0.6 with all right.
    said = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4], [0.6, 0.4]])
    labels = np.array([0, 0, 0, 0])
    assert expected_calibration_error(said, labels) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)


def test_certainty_that_is_always_right_has_no_error() -> None:
    assert expected_calibration_error(np.eye(3), np.arange(3)) == 0


def overconfident(seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Samples of three classes whose certainty is far too high."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 3000)
    logits = np.eye(3)[labels] + rng.normal(size=(3000, 3))
    return softmax(6 * logits).astype(np.float64), labels


def test_isotonic_calibration_brings_the_error_down_on_other_samples() -> None:
    said, labels = overconfident(1)
    mapped = fit_isotonic(*overconfident(2)).apply(said)
    assert mapped.sum(axis=1) == pytest.approx(np.ones(len(said)))
    before, after = (expected_calibration_error(one, labels) for one in (said, mapped))
    assert after < 0.25 * before


def test_an_isotonic_map_is_read_back_as_it_was() -> None:
    said, labels = overconfident(3)
    fitted = fit_isotonic(said, labels)
    again = IsotonicMap.from_tensors(fitted.to_tensors())
    assert np.array_equal(again.apply(said), fitted.apply(said))


def test_a_post_that_was_not_judged_stays_so() -> None:
    mapped = fit_isotonic(*overconfident(4)).apply(np.zeros((1, 3)))
    assert not mapped.any()


def test_classes_that_stand_by_themselves_have_the_mean_of_their_errors() -> None:
    said = np.array([[0.8, 0.1], [0.8, 0.1]])
    truth = np.array([[True, False], [False, False]])
    # The first is sure to 0.8 and right in half; the second says no with 0.9 and is right.
    assert several_calibration_error(said, truth) == pytest.approx((0.3 + 0.1) / 2)


def test_lines_of_classes_by_themselves_need_not_sum_to_one() -> None:
    line = (np.array([0, 1], np.float32), np.array([0, 0.5], np.float32))
    mapped = IsotonicMap((line, line)).apply(np.array([[1.0, 1.0], [0, 0]]), together=False)
    np.testing.assert_allclose(mapped, [[0.5, 0.5], [0.0, 0.0]])
