import subprocess
import sys

import numpy as np
import pytest

from pipelines.fusion.network import HALVES, Floats, InputScale, Network, softmax
from schemas.bundles import Half


def make_network(halves: tuple[Half, ...] = HALVES) -> Network:
    rng = np.random.default_rng(1)

    def draw(*shape: int) -> Floats:
        return rng.normal(size=shape).astype(np.float32)

    layers = ((draw(7, 5), draw(5)), (draw(5, 3), draw(3)))
    return Network(InputScale(draw(4), 1.5), InputScale(draw(3), 0.5), layers, halves)


def make_inputs(rows: int = 6) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(2)
    image, text = rng.normal(size=(rows, 4)), rng.normal(size=(rows, 3))
    return image.astype(np.float32), text.astype(np.float32)


def test_probabilities_are_those_of_the_layers_written_out() -> None:
    network, (image, text) = make_network(), make_inputs(1)
    scaled = [*(image[0] - network.image.mean) * 1.5, *(text[0] - network.text.mean) * 0.5]
    (w1, b1), (w2, b2) = network.layers
    logits = np.maximum(np.array(scaled) @ w1 + b1, 0) @ w2 + b2
    expected = np.exp(logits) / np.exp(logits).sum()
    assert network.predict(image, text)[0] == pytest.approx(expected, abs=1e-6)


def test_probabilities_are_float32_and_sum_to_one() -> None:
    probabilities = make_network().predict(*make_inputs())
    assert probabilities.dtype == np.float32
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(6), abs=1e-6)


def test_a_missing_half_adds_only_zeros_to_the_first_layer() -> None:
    network, (image, text) = make_network(), make_inputs()
    (w1, b1), (w2, b2) = network.layers
    seen = (image - network.image.mean) * np.float32(1.5)
    logits = np.maximum(seen @ w1[:4] + b1, 0) @ w2 + b2
    assert network.predict(image, np.zeros_like(text)) == pytest.approx(softmax(logits), abs=1e-6)


@pytest.mark.parametrize("learnt", HALVES)
def test_a_half_it_has_not_learnt_from_is_ignored(learnt: Half) -> None:
    network, (image, text) = make_network((learnt,)), make_inputs()
    kept = [v if half == learnt else np.zeros_like(v) for half, v in zip(HALVES, (image, text))]  # noqa: B905 - two and two
    assert np.array_equal(network.predict(image, text), network.predict(kept[0], kept[1]))


def test_no_posts_give_no_rows() -> None:
    assert make_network().predict(*make_inputs(0)).shape == (0, 3)


def test_huge_logits_do_not_overflow() -> None:
    assert softmax(np.array([[1e4, 0.0, -1e4]])).tolist() == [[1, 0, 0]]


@pytest.mark.parametrize("halves", [HALVES, ("image",), ("text",)])
def test_saved_and_loaded_it_predicts_alike(halves: tuple[Half, ...]) -> None:
    network = make_network(halves)
    again = Network.from_tensors(network.to_tensors())
    assert again.halves == halves
    assert np.array_equal(network.predict(*make_inputs()), again.predict(*make_inputs()))


def test_judging_needs_no_torch() -> None:
    code = "import sys, pipelines.bundle, pipelines.fusion.train; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
