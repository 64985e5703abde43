import numpy as np
import pytest
from sklearn.metrics import log_loss

from pipelines.fusion.calibrate import balanced_loss, fit_temperature, split_validation
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
