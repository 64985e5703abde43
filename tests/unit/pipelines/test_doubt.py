"""Confident learning, held to an example worked by hand and to the library of its authors."""

import numpy as np
import pytest

from pipelines.doubt import ask_without, find_doubtful


def test_labels_are_doubted_as_worked_out_by_hand() -> None:
    """Thresholds: (.9 + .8 + .2) / 3 = .633 of class 0, (.9 + .4) / 2 = .65 of class 1.

    The third sample reaches that of class 1 with .8, but is labelled 0: doubted. The fifth is
    likelier 0 than 1, but .6 does not reach .633: nobody is sure of it.
    """
    first = np.array([0.9, 0.8, 0.2, 0.1, 0.6])
    labels = np.array([0, 0, 0, 1, 1])
    found = find_doubtful(labels, np.stack([first, 1 - first], axis=1))
    assert found.rows.tolist() == [2]
    assert found.suggested.tolist() == [1]


def test_the_most_doubtful_come_first() -> None:
    first = np.array([0.9, 0.9, 0.08, 0.05, 0.1, 0.1])
    labels = np.array([0, 0, 0, 0, 1, 1])
    found = find_doubtful(labels, np.stack([first, 1 - first], axis=1))
    assert found.rows.tolist() == [3, 2]


def test_a_class_that_nobody_has_labelled_is_never_suggested() -> None:
    probabilities = np.array([[0.2, 0.1, 0.7], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]])
    assert find_doubtful(np.array([0, 0, 1]), probabilities).rows.tolist() == []


def draw(seed: int, count: int = 400, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, count)
    logits = rng.normal(size=(count, classes)) + 2.5 * np.eye(classes)[truth]
    powers = np.exp(logits)
    labels = np.where(rng.random(count) < 0.1, rng.integers(0, classes, count), truth)
    return labels, powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_it_finds_what_its_authors_library_finds(seed: int) -> None:
    cleanlab = pytest.importorskip("cleanlab.filter", reason="cleanlab is not installed")
    labels, probabilities = draw(seed)
    theirs = cleanlab.find_label_issues(
        labels, probabilities, filter_by="confident_learning", return_indices_ranked_by=None
    )
    found = find_doubtful(labels, probabilities)
    assert sorted(found.rows.tolist()) == np.flatnonzero(theirs).tolist()


def test_nothing_is_asked_of_a_model_that_was_told() -> None:
    """Copies share a group; a model that had seen one would repeat its drawn label."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(60, 200)), 2, axis=0)
    labels = np.repeat(rng.integers(0, 2, 60), 2)
    together = ask_without(x, labels, np.repeat(np.arange(60), 2), classes=2, seed=0)
    apart = ask_without(x, labels, np.arange(120), classes=2, seed=0)
    assert (together.argmax(axis=1) == labels).mean() < 0.75
    assert (apart.argmax(axis=1) == labels).mean() > 0.9


def test_wrong_labels_are_found_among_right_ones() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(300) % 3
    x = rng.normal(size=(300, 10)) + 4 * np.eye(3, 10)[truth]
    labels = truth.copy()
    wrong = rng.choice(300, 15, replace=False)
    labels[wrong] = (labels[wrong] + 1) % 3
    found = find_doubtful(labels, ask_without(x, labels, np.arange(300), classes=3, seed=0))
    hits = set(found.rows.tolist()) & set(wrong.tolist())
    assert len(hits) >= 13
    assert len(found.rows) <= 20
    suggested = dict(zip(found.rows.tolist(), found.suggested.tolist(), strict=True))
    assert all(suggested[row] == truth[row] for row in hits)


def test_a_class_in_one_fold_alone_gets_nothing_from_the_others() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0] * 20 + [1] * 20 + [2])
    x = rng.normal(size=(41, 4)) + np.eye(3, 4)[labels]
    said = ask_without(x, labels, np.arange(41), classes=3, seed=0)
    assert said.sum(axis=1) == pytest.approx(np.ones(41))
    assert said[40, 2] == 0
