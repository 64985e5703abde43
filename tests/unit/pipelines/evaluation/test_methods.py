"""One row a method: right, unknown, compared with the best on the same items."""

import numpy as np
import pytest

from pipelines.evaluation.methods import compare_methods
from tests.unit.pipelines.evaluation.builders import CLASSES, drawn, method, sets

GOOD = method([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8], [0.4, 0.3, 0.3]], name="good")
BAD = method([[0.1, 0.9, 0.0], [0.2, 0.7, 0.1], [0.8, 0.1, 0.1], [0.0, 0.0, 0.0]], name="bad")
TRUTH = sets("comida", "deporte", "", "comida")


def test_rows_say_what_was_right_unknown_and_lacking() -> None:
    good, bad = compare_methods([GOOD, BAD], TRUTH, CLASSES).rows
    assert (good.exact, good.top, good.unknown, good.lacking) == (0.75, 1.0, 1, 0)
    assert (bad.exact, bad.top, bad.unknown, bad.lacking) == (0.25, 0.25, 1, 1)
    assert good.scores.coverage == 0.5


def test_the_best_is_compared_with_every_other_on_the_same_items() -> None:
    bad, good = compare_methods([BAD, GOOD], TRUTH, CLASSES).rows
    assert (good.best, good.difference) == (True, None)
    assert bad.difference is not None
    assert (bad.difference.only_first, bad.difference.only_second) == (2, 0)
    assert bad.difference.p_value == 0.5


def test_items_of_no_category_cannot_be_asked_of_a_method_without_a_reject_class() -> None:
    plain = method([[0.9, 0.1], [0.2, 0.8]])
    (row,) = compare_methods([plain], sets("comida", ""), CLASSES).rows
    assert (row.top, row.exact) == (1.0, 0.5)


def test_with_nothing_that_can_be_asked_there_is_no_top_figure() -> None:
    (row,) = compare_methods([method([[0.9, 0.1]])], sets(""), CLASSES).rows
    assert (row.top, row.top_interval, row.confidence) == (None, None, None)


def test_categories_outside_the_table_are_no_part_of_being_right() -> None:
    strange = [each | {"arte"} for each in TRUTH]
    (row,) = compare_methods([GOOD], strange, CLASSES).rows
    assert (row.exact, row.top) == (0.75, 1.0)


def test_a_method_that_could_judge_nothing_still_has_its_row() -> None:
    empty = method([[0.0, 0.0, 0.0]] * 4, name="empty")
    row = compare_methods([GOOD, empty], TRUTH, CLASSES).rows[1]
    assert (row.exact, row.lacking, row.confidence) == (0.0, 4, None)


def test_an_authors_posts_are_drawn_together_and_widen_the_intervals() -> None:
    one, truth = drawn(1, items=40)
    repeated = method(np.repeat(one.probabilities, 5, axis=0).tolist())
    many = [each for each in truth for _copy in range(5)]
    owners = [place // 5 for place in range(200)]
    alone = compare_methods([repeated], many, CLASSES).rows[0].scores
    together = compare_methods([repeated], many, CLASSES, groups=owners).rows[0].scores
    single = compare_methods([one], truth, CLASSES).rows[0].scores
    assert (together.items, together.groups) == (200, 40)
    assert together.hamming == alone.hamming
    # Five copies of a post are no more evidence than one.
    assert together.hamming_interval == pytest.approx(single.hamming_interval)
    narrow = alone.hamming_interval[1] - alone.hamming_interval[0]
    assert together.hamming_interval[1] - together.hamming_interval[0] > 1.8 * narrow


def test_a_comparison_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one method"):
        compare_methods([], TRUTH, CLASSES)
    with pytest.raises(ValueError, match="as many truths as items"):
        compare_methods([GOOD], TRUTH[:2], CLASSES)
    with pytest.raises(ValueError, match="a group for each item"):
        compare_methods([GOOD], TRUTH, CLASSES, groups=[1])
