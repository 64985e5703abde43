"""A tag is believed only where two image models say the same."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.labelling import agree_labels

CATEGORIES = ("comida", "deporte", "moda")
places = st.lists(
    st.tuples(st.integers(0, 2), st.integers(-1, 2), st.integers(-1, 3)), min_size=1, max_size=40
)


def test_a_tagged_post_is_kept_only_if_tag_and_both_models_agree() -> None:
    tagged = np.array([0, 0, 0, 1, 1, 2])
    plain = np.array([0, 0, 1, 1, 1, -1])
    rejecting = np.array([0, 3, 0, 1, 2, -1])
    found = agree_labels(tagged, plain, rejecting, CATEGORIES)
    assert found.kept.tolist() == [True, False, False, True, False, False]


def test_the_table_counts_what_each_model_confirms() -> None:
    tagged = np.array([0, 0, 0, 1])
    found = agree_labels(tagged, np.array([0, 0, 1, 0]), np.array([0, 3, 0, 1]), CATEGORIES)
    first, second, third = found.counts
    assert (first.tagged, first.plain, first.rejecting, first.kept) == (3, 2, 2, 1)
    assert (second.tagged, second.plain, second.rejecting, second.kept) == (1, 0, 1, 0)
    assert (third.tagged, third.undefined) == (0, 0)
    assert first.undefined == 2


@given(places)
def test_counts_add_up_to_the_posts(rows: list[tuple[int, int, int]]) -> None:
    tagged, plain, rejecting = (np.array(column) for column in zip(*rows, strict=True))
    found = agree_labels(tagged, plain, rejecting, CATEGORIES)
    assert sum(count.tagged for count in found.counts) == len(rows)
    assert sum(count.kept for count in found.counts) == int(found.kept.sum())
    assert all(count.kept <= min(count.plain, count.rejecting) for count in found.counts)
