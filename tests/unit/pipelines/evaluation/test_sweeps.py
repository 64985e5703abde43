"""Thresholds and weights swept, against loops written out and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, hamming_loss, precision_score, recall_score

from pipelines.evaluation.metrics import indicate
from pipelines.evaluation.sweeps import sweep_thresholds, sweep_weights, trace_tradeoffs
from tests.unit.pipelines.evaluation.builders import CLASSES, drawn, method, sets

I = [0.78, 0.01, 0.006, 0.104, 0.1]  # noqa: E741 - as the thesis calls it
T = [0.35, 0.55, 0.03, 0.02, 0.05]
FIVE = ("aire-libre", "animal", "comida", "deporte", "moda")


# scikit-learn alone takes a tenth of a second for each.
@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_every_threshold_gives_scikit_learns_figures(seed: int, accounts: int) -> None:
    rng = np.random.default_rng(seed)
    shares = rng.integers(0, 11, (accounts, 2)) / 10
    truth = [frozenset(c for c in CLASSES if rng.random() < 0.5) for _ in range(accounts)]
    found = sweep_thresholds(shares, truth, CLASSES)
    real = indicate(truth, CLASSES)
    for place in (0, 10, 28, 39, 70, 100):
        limit = place / 100
        chosen = (shares >= limit - 1e-9) & (shares > 0)
        assert found.hamming[place] == pytest.approx(hamming_loss(real, chosen))
        precision, recall = found.precision[place], found.recall[place]
        how = {"average": "micro", "zero_division": np.nan}
        for mine, theirs in ((precision, precision_score), (recall, recall_score)):
            assert (np.nan if mine is None else mine) == pytest.approx(
                theirs(real, chosen, **how), nan_ok=True
            )


def test_the_marked_thresholds_balance_the_rates_and_lose_least() -> None:
    shares = np.array([[0.6, 0.3], [0.2, 0.5], [0.5, 0.1]])
    found = sweep_thresholds(shares, sets("comida", "deporte", "comida"), CLASSES)
    # Above 30 % and up to 50 % all three true pairs are chosen and nothing else.
    assert 0.31 <= found.least_hamming_at <= 0.5
    assert found.hamming[round(found.least_hamming_at * 100)] == 0
    at = round(found.balanced_at * 100)
    assert found.precision[at] == found.recall[at] == 1


def test_a_threshold_is_measured_on_accounts_that_did_not_choose_it() -> None:
    rng = np.random.default_rng(0)
    noise = rng.random((40, 2))
    truth = [frozenset(c for c in CLASSES if rng.random() < 0.3) for _ in range(40)]
    found = sweep_thresholds(noise, truth, CLASSES)
    assert found.transferred is not None
    # What was chosen on noise flatters where it was chosen, and not elsewhere.
    assert found.transferred.hamming > min(found.hamming)
    assert found.transferred.hamming_of_nothing == found.hamming_of_nothing


def test_three_accounts_are_too_few_to_be_halved() -> None:
    found = sweep_thresholds(np.full((3, 2), 0.5), sets("comida", "", ""), CLASSES)
    assert found.transferred is None


def test_the_weight_weighs_the_image_as_in_the_thesis_example() -> None:
    image, text = method([I], classes=FIVE), method([T], classes=FIVE)
    found = sweep_weights(image, text, sets("aire-libre"), FIVE)
    assert found is not None
    # λ·0.78 + (1-λ)·0.35 overtakes λ·0.01 + (1-λ)·0.55 at λ = 0.2 / 0.97.
    assert [found.right[place] for place in (0, 20, 21, 80, 100)] == [0, 0, 1, 1, 1]


def test_weights_are_swept_on_items_that_have_both_halves_only() -> None:
    image = method([[0.9, 0.1], [0.0, 0.0], [0.9, 0.1]])
    text = method([[0.2, 0.8], [0.9, 0.1], [0.0, 0.0]])
    found = sweep_weights(image, text, sets("comida", "comida", "deporte"), CLASSES)
    assert found is not None
    assert (found.items, found.right[0], found.right[100]) == (1, 0.0, 1.0)
    nobody = sweep_weights(image, method([[0.0, 0.0]] * 3), sets("", "", ""), CLASSES)
    assert nobody is None


def test_tradeoffs_are_those_of_scikit_learn() -> None:
    said, truth = drawn(5, items=300)
    real = indicate(truth, CLASSES)
    for place, curve in enumerate(trace_tradeoffs(said, truth, CLASSES)):
        expected = average_precision_score(real[:, place], said.probabilities[:, place])
        assert curve.average_precision == pytest.approx(expected)
        assert curve.recall[0] == 0
        assert curve.recall[-1] == 1
        assert list(curve.recall) == sorted(curve.recall)


def test_a_category_that_nothing_or_everything_has_makes_no_tradeoff() -> None:
    said = method([[0.9, 0.1], [0.8, 0.2]])
    assert trace_tradeoffs(said, sets("comida", "comida"), CLASSES) == []
