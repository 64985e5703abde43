"""t-SNE keeps neighbours together and repeats for a seed."""

import numpy as np
import pytest

from pipelines.evaluation.maps import (
    choose_vectors,
    describe_groups,
    fit_square,
    lay_out,
    sample_by_group,
    sample_evenly,
)
from pipelines.fusion.network import InputScale, Network
from pipelines.methods import PostInputs


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


def test_small_groups_are_drawn_whole_and_the_others_share_the_rest_evenly() -> None:
    groups = np.repeat([0, 1, 2], [500, 4, 300])
    drawn = groups[sample_by_group(groups, 104, seed=3)]
    assert np.bincount(drawn).tolist() == [50, 4, 50]
    assert sample_by_group(groups, 9999, seed=3).tolist() == list(range(804))


def test_a_sample_by_group_names_nothing_twice_and_repeats_for_its_seed() -> None:
    groups = np.arange(90) % 3
    one = sample_by_group(groups, 20, seed=1)
    assert one.tolist() == sorted(set(one.tolist()))
    assert one.tolist() == sample_by_group(groups, 20, seed=1).tolist()
    assert one.tolist() != sample_by_group(groups, 20, seed=2).tolist()


def test_nobody_is_sampled_of_nothing() -> None:
    assert sample_by_group(np.zeros(0, np.int16), 10, seed=0).tolist() == []


def test_places_fill_the_square_and_keep_their_proportions() -> None:
    fitted = fit_square(np.array([[-10.0, 5.0], [30.0, 5.0], [10.0, 25.0]]))
    assert fitted.tolist() == [[0.0, 0.25], [1.0, 0.25], [0.5, 0.75]]
    assert fit_square(np.full((3, 2), 7.0)).tolist() == [[0.5, 0.5]] * 3


def test_groups_know_what_lies_beside_them() -> None:
    rng = np.random.default_rng(0)
    far = rng.normal(size=(30, 2)) * 0.01
    mixed = rng.normal(size=(60, 2)) * 0.01 + 50
    labels = ["moda"] * 30 + ["animal", None] * 30
    found = {
        one.category: one
        for one in describe_groups(
            np.concatenate([far, mixed]), labels, {"moda": 900, "animal": 30, None: 30}
        )
    }
    assert (found["moda"].shown, found["moda"].posts) == (30, 900)
    assert (found["moda"].alike, found["moda"].beside_part) == (1.0, 0.0)
    assert found["animal"].beside is None
    assert found["animal"].alike + found["animal"].beside_part == pytest.approx(1, abs=1e-3)
    assert found["animal"].beside_part > 0.3


def test_posts_on_the_same_spot_are_neighbours_of_each_other_not_of_themselves() -> None:
    (one,) = describe_groups(np.zeros((12, 2)), ["arte"] * 12, {"arte": 12})
    assert one.alike == 1.0


def test_both_halves_are_scaled_as_the_network_scales_them() -> None:
    image = np.array([[2.0, 4.0], [0.0, 0.0], [6.0, 8.0]], np.float32)
    text = np.array([[10.0], [20.0], [0.0]], np.float32)
    network = Network(
        InputScale(np.array([1.0, 1.0], np.float32), 2.0),
        InputScale(np.array([5.0], np.float32), 0.1),
        ((np.zeros((3, 1), np.float32), np.zeros(1, np.float32)),),
        ("image", "text"),
    )
    inputs = PostInputs([1, 2, 3], image, text)
    both, whole = choose_vectors(inputs, network, "both")
    assert both[0].tolist() == pytest.approx([2.0, 6.0, 0.5])
    assert whole.tolist() == [True, False, False]
    assert choose_vectors(inputs, network, "image")[1].tolist() == [True, False, True]
    assert choose_vectors(inputs, network, "text")[0].tolist() == text.tolist()
