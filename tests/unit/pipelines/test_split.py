"""What belongs together stays on one side of a split."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.grouping import join_keys
from pipelines.split import FIT, HOLDOUT, VALIDATION, split_groups

samples = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=80)


def test_samples_that_share_any_key_are_one_group() -> None:
    keys = [{"photo a"}, {"photo b", "ana"}, {"photo a", "luz"}, {"luz"}, set(), {"photo c"}]
    assert join_keys(keys).tolist() == [0, 1, 0, 0, 4, 5]


@given(samples, st.integers(0, 5))
def test_a_group_is_never_divided(rows: list[tuple[int, int]], seed: int) -> None:
    groups, labels = (np.array(column) for column in zip(*rows, strict=True))
    parts = np.array(split_groups(groups, labels, seed=seed))
    assert all(len(set(parts[groups == group])) == 1 for group in set(groups.tolist()))


@given(samples, st.integers(0, 5))
def test_every_class_keeps_something_to_fit_on(rows: list[tuple[int, int]], seed: int) -> None:
    groups, labels = (np.array(column) for column in zip(*rows, strict=True))
    parts = np.array(split_groups(groups, labels, seed=seed))
    assert all(FIT in parts[labels == label] for label in set(labels.tolist()))


def test_validation_gets_its_share_of_every_class() -> None:
    labels = np.repeat([0, 1, 2], [400, 200, 40])
    parts = np.array(split_groups(np.arange(640), labels, share=0.15, seed=1))
    held = [int(((parts == VALIDATION) & (labels == c)).sum()) for c in range(3)]
    assert held == [60, 30, 6]


def test_small_classes_are_not_held_out() -> None:
    parts = split_groups(np.arange(8), np.array([0] * 4 + [1] * 4))
    assert set(parts) == {FIT}


def test_a_class_that_is_one_group_is_not_held_out() -> None:
    groups = np.array([0] * 20 + list(range(1, 21)))
    parts = split_groups(groups, np.array([0] * 20 + [1] * 20))
    assert set(parts[:20]) == {FIT}


def test_a_held_out_source_is_learnt_from_in_no_way() -> None:
    groups = np.arange(30)
    groups[29] = 0
    outside = np.zeros(30, np.bool_)
    outside[0] = True
    parts = split_groups(groups, np.zeros(30, np.int64), held_out=outside)
    assert parts[0] == parts[29] == HOLDOUT
    assert parts.count(HOLDOUT) == 2


def test_the_same_seed_divides_alike_and_another_does_not() -> None:
    groups, labels = np.arange(200), np.zeros(200, np.int64)
    assert split_groups(groups, labels, seed=1) == split_groups(groups, labels, seed=1)
    assert split_groups(groups, labels, seed=1) != split_groups(groups, labels, seed=2)
