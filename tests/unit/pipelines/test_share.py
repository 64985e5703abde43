"""A share says how certain it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.share import estimate_share


def test_with_a_flat_prior_the_mean_is_laplaces_rule() -> None:
    assert estimate_share(3, 8, 0.3, (1, 1)).mean == pytest.approx(4 / 10)


def test_certainty_of_a_case_worked_out_by_hand() -> None:
    # Uniform prior and one post of one: density 2p, so P(p >= t) = 1 - t².
    found = estimate_share(1, 1, 0.4, (1, 1))
    assert found.certainty == pytest.approx(1 - 0.16)
    assert found.low == pytest.approx(0.025**0.5)
    assert found.high == pytest.approx(0.975**0.5)


def test_more_posts_of_the_same_share_are_more_certain() -> None:
    few, many = estimate_share(2, 5, 0.28), estimate_share(200, 500, 0.28)
    assert many.certainty > few.certainty
    assert many.high - many.low < few.high - few.low


@given(st.integers(0, 50), st.integers(0, 50), st.floats(0.01, 0.99))
def test_the_interval_holds_the_mean(posts: int, others: int, threshold: float) -> None:
    found = estimate_share(posts, posts + others, threshold)
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert 0 <= found.certainty <= 1


def test_more_posts_than_there_are_is_no_share() -> None:
    with pytest.raises(ValueError, match="is no share"):
        estimate_share(3, 2, 0.5)
