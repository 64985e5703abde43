import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    f1_score,
    hamming_loss,
    precision_recall_fscore_support,
    precision_score,
    recall_score,
)
from sklearn.preprocessing import MultiLabelBinarizer

from pipelines.evaluation.metrics import Scores, score_sets, wilson_interval

CLASSES = ("animal", "comida", "deporte", "moda")
Sets = list[tuple[str, ...]]


def draw_sets(seed: int, items: int = 60, chance: float = 0.4) -> Sets:
    rng = np.random.default_rng(seed)
    return [tuple(c for c in CLASSES[:3] if rng.random() < chance) for _ in range(items)]


@pytest.mark.parametrize("seed", range(4))
def test_every_figure_is_that_of_scikit_learn(seed: int) -> None:
    predicted, true = draw_sets(seed, chance=0.05 + seed / 5), draw_sets(seed + 100)
    scores = score_sets(predicted, true, CLASSES, resamples=10)
    binarizer = MultiLabelBinarizer(classes=CLASSES).fit(true)
    p, t = binarizer.transform(predicted), binarizer.transform(true)
    reference = precision_recall_fscore_support(t, p, zero_division=np.nan)
    ours = [
        [getattr(score, name) for score in scores.classes]
        for name in ("precision", "recall", "f1", "support")
    ]
    for mine, theirs in zip(ours, reference, strict=True):
        assert [np.nan if v is None else v for v in mine] == pytest.approx(
            theirs.tolist(), nan_ok=True
        )
    assert scores.hamming == pytest.approx(hamming_loss(t, p))
    assert scores.hamming_of_nothing == pytest.approx(hamming_loss(t, np.zeros_like(p)))
    functions = {"precision": precision_score, "recall": recall_score, "f1": f1_score}
    for name, function in functions.items():
        for average in ("micro", "macro"):
            value = getattr(getattr(scores, average), name)
            assert value == pytest.approx(function(t, p, average=average, zero_division=np.nan))


def test_a_precision_without_predictions_is_undefined_and_its_f1_zero() -> None:
    scores = score_sets([()], [("animal",)], ("animal", "comida"))
    animal, comida = scores.classes
    assert (animal.precision, animal.recall, animal.f1) == (None, 0, 0)
    assert (comida.precision, comida.recall, comida.f1) == (None, None, None)
    assert (scores.macro.precision, scores.macro.f1) == (None, 0)


def test_predicting_nothing_scores_the_label_density() -> None:
    true = draw_sets(1)
    scores = score_sets([()] * 60, true, CLASSES)
    assert scores.hamming == scores.hamming_of_nothing == sum(map(len, true)) / 240
    assert scores.coverage == 0


def test_perfect_and_opposite_predictions_score_zero_and_one() -> None:
    true = draw_sets(1)
    opposite = [tuple(set(CLASSES) - set(each)) for each in true]
    assert score_sets(true, true, CLASSES).hamming == 0
    assert score_sets(opposite, true, CLASSES).hamming == 1


def test_categories_that_are_not_scored_are_ignored_on_both_sides() -> None:
    scores = score_sets([("otra", "animal")], [("arte", "animal")], CLASSES)
    assert (scores.hamming, scores.micro.precision, scores.micro.recall) == (0, 1, 1)


def test_bootstrap_intervals_hold_the_figure_and_repeat_for_a_seed() -> None:
    predicted, true = draw_sets(1), draw_sets(2)
    one, again, other = (score_sets(predicted, true, CLASSES, seed=s) for s in (0, 0, 1))
    assert one == again
    assert one.macro_f1_interval != other.macro_f1_interval
    assert one.hamming_interval[0] < one.hamming < one.hamming_interval[1]
    assert one.macro.f1 is not None
    assert one.macro_f1_interval is not None
    assert one.macro_f1_interval[0] < one.macro.f1 < one.macro_f1_interval[1]


def test_the_bootstrap_of_hamming_is_as_wide_as_its_standard_error() -> None:
    predicted, true = draw_sets(1, items=400), draw_sets(2, items=400)
    low, high = score_sets(predicted, true, CLASSES).hamming_interval
    wrong = [len(set(p) ^ set(t)) / 4 for p, t in zip(predicted, true, strict=True)]
    assert high - low == pytest.approx(2 * 1.96 * np.std(wrong) / 20, rel=0.1)


def test_no_category_anywhere_leaves_macro_f1_without_interval() -> None:
    scores = score_sets([(), ()], [(), ()], CLASSES)
    assert scores.macro_f1_interval is None
    assert scores.hamming == 0


@pytest.mark.parametrize(
    ("predicted", "true", "classes"),
    [([], [], CLASSES), ([()], [()], ()), ([()], [(), ()], CLASSES)],
)
def test_nothing_or_uneven_sides_cannot_be_scored(
    predicted: Sets, true: Sets, classes: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="at least one item"):
        score_sets(predicted, true, classes)


def test_scores_survive_json() -> None:
    scores = score_sets(draw_sets(1), draw_sets(2), CLASSES)
    assert Scores.model_validate_json(json.dumps(scores.model_dump(mode="json"))) == scores


@pytest.mark.parametrize(
    # The first three are those of Newcombe 1998, table I, method 3.
    ("hits", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (29, 29, 0.8830, 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_intervals_are_the_published_ones(
    hits: int, total: int, low: float, high: float
) -> None:
    assert wilson_interval(hits, total) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_wilson_interval_holds_the_rate_and_stays_a_rate(counts: tuple[int, int]) -> None:
    low, high = wilson_interval(*counts)
    assert 0 <= low <= counts[0] / counts[1] <= high <= 1
    assert math.isfinite(low + high)
