"""t-SNE keeps neighbours together and repeats for a seed."""

import numpy as np
import pytest

from pipelines.evaluation.maps import lay_out, sample_evenly


def test_groups_stay_apart_and_the_seed_repeats() -> None:
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(3, 20) * 30, 20, axis=0)
    vectors = (centres + rng.normal(size=(60, 20))).astype(np.float32)
    one, again, other = lay_out(vectors, seed=1), lay_out(vectors, seed=1), lay_out(vectors, seed=2)
    assert one.tobytes() == again.tobytes()
    assert one.shape == other.shape == (60, 2)
    groups = one.reshape(3, 20, 2)
    own = np.linalg.norm(groups - groups.mean(axis=1, keepdims=True), axis=2).max()
    middles = groups.mean(axis=1)
    apart = min(np.linalg.norm(middles[a] - middles[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    assert apart > own


def test_a_column_that_never_changes_does_no_harm() -> None:
    vectors = np.random.default_rng(0).normal(size=(12, 4))
    vectors[:, 2] = 7
    assert np.isfinite(lay_out(vectors)).all()


def test_nine_vectors_are_no_map() -> None:
    with pytest.raises(ValueError, match="at least 10"):
        lay_out(np.zeros((9, 4)))


def test_samples_are_drawn_without_repetition_and_repeat_for_a_seed() -> None:
    chosen = sample_evenly(["moda"] * 100, 30, seed=4)
    assert len(set(chosen.tolist())) == 30
    assert chosen.tolist() == sorted(sample_evenly(["moda"] * 100, 30, seed=4).tolist())
    assert sample_evenly(["moda"] * 5, 30, seed=4).tolist() == [0, 1, 2, 3, 4]
