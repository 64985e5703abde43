"""Answers are counted in the row of the one true category."""

import numpy as np
from sklearn.metrics import confusion_matrix

from pipelines.evaluation.confusion import count_confusions
from pipelines.evaluation.methods import MethodPredictions
from tests.unit.pipelines.evaluation.builders import CLASSES, drawn, method, sets


def test_counts_are_those_of_scikit_learn() -> None:
    said, truth = drawn(3, items=200)
    found = count_confusions(said, truth, CLASSES)
    names = [*found.columns]
    real = [next(iter(each), "none of them") for each in truth]
    answers = [
        "unknown" if each is None else next(iter(each), "none of them") for each in said.predicted
    ]
    expected = confusion_matrix(real, answers, labels=names)
    assert found.counts == tuple(map(tuple, expected[: len(found.rows)].tolist()))
    assert found.left_out == 0


def test_items_of_several_categories_have_no_row() -> None:
    said = method([[0.9, 0.1, 0.0]])
    found = count_confusions(said, sets("comida deporte"), CLASSES)
    assert (found.left_out, np.sum(found.counts)) == (1, 0)


def test_of_several_answers_the_likeliest_counts() -> None:
    both = MethodPredictions(
        "multi",
        "both",
        np.array([[0.6, 0.8]], np.float32),
        np.array([True]),
        sets("comida deporte"),
    )
    found = count_confusions(both, sets("comida"), CLASSES)
    assert found.counts[0] == (0, 1, 0, 0)
