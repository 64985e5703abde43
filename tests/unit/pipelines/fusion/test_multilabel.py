"""A head that says yes or no to each category may say several things, or nothing."""

import numpy as np
import pytest

from pipelines.fusion.multilabel import gather_targets, train_multilabel
from pipelines.fusion.network import Network
from schemas.errors import TrainingError

RNG = np.random.default_rng(0)
TARGETS = RNG.random((400, 3)) < 0.4
IMAGE = (TARGETS @ RNG.normal(size=(3, 8)) * 3 + RNG.normal(size=(400, 8))).astype(np.float32)
TEXT = np.zeros((400, 0), np.float32)
ALL, NONE = np.ones(400, np.bool_), np.zeros(400, np.bool_)


@pytest.fixture(scope="module")
def network() -> Network:
    return train_multilabel(IMAGE, TEXT, ALL, NONE, TARGETS)


def test_several_categories_are_seen_in_one_post(network: Network) -> None:
    said = network.predict(IMAGE, TEXT) > 0.5
    assert (said == TARGETS).mean() > 0.85
    assert (said.sum(axis=1) > 1).any()
    assert (said.sum(axis=1) == 0).any()


def test_probabilities_are_as_often_right_as_they_say(network: Network) -> None:
    said = network.predict(IMAGE, TEXT)
    assert said.mean(axis=0) == pytest.approx(TARGETS.mean(axis=0), abs=0.05)


def test_it_is_kept_as_a_network_and_read_back(network: Network) -> None:
    again = Network.from_tensors(network.to_tensors())
    assert again.output == "sigmoid"
    assert np.array_equal(again.predict(IMAGE, TEXT), network.predict(IMAGE, TEXT))


@pytest.mark.parametrize("value", [True, False])
def test_a_category_that_never_varies_is_refused(value: bool) -> None:
    targets = TARGETS.copy()
    targets[:, 1] = value
    with pytest.raises(TrainingError, match="Class 1 is"):
        train_multilabel(IMAGE, TEXT, ALL, NONE, targets)


def test_a_photo_of_two_categories_is_one_thing() -> None:
    rows, targets = gather_targets(["a", "b", "a"], np.array([0, 1, 2]), 3)
    assert rows.tolist() == [0, 1]
    assert targets.tolist() == [[True, False, True], [False, True, False]]
