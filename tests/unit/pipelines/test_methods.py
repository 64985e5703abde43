"""Each method makes of its classifiers' words what the thesis, or we, said it should."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.fusion.network import Floats, InputScale
from pipelines.methods import Opinion, PostInputs, ask_head, combine, decide
from schemas.bundles import Half, MethodRecipe

CLASSES = ("animal", "comida", "moda")


def recipe(**fields: Any) -> MethodRecipe:
    known: dict[str, Any] = {
        "kind": "head",
        "heads": ("a",),
        "post_threshold": 0.5,
        "share_thresholds": dict.fromkeys(CLASSES, 0.28),
    }
    return MethodRecipe(**known | fields)


def opinion(*rows: list[float], image: bool = True, text: bool = True) -> Opinion:
    said = np.array(rows)
    judged = np.any(said != 0, axis=1)
    return Opinion(said, np.logical_and(judged, image), np.logical_and(judged, text))


def categories(recipe: MethodRecipe, **opinions: Opinion) -> list[tuple[str, ...]]:
    count = len(next(iter(opinions.values())).probabilities)
    return [one.categories for one in decide(recipe, opinions, range(count), CLASSES)]


def test_a_head_gives_the_likeliest_category_that_is_sure_enough() -> None:
    said = opinion([0.7, 0.2, 0.05, 0.05], [0.4, 0.3, 0.2, 0.1], [0.1, 0.1, 0.1, 0.7])
    assert categories(recipe(), a=said) == [("animal",), (), ()]


def test_networks_that_disagree_leave_a_post_unknown() -> None:
    both = recipe(kind="agree", heads=("a", "b"), post_threshold=0.0)
    one = opinion([0.9, 0.1, 0, 0], [0.4, 0.3, 0.3, 0], [0.1, 0.1, 0.1, 0.7])
    other = opinion([0.2, 0.8, 0, 0], [0.5, 0.3, 0.2, 0], [0.1, 0.1, 0.1, 0.7])
    assert categories(both, a=one, b=other) == [(), ("animal",), ()]


def test_a_post_that_one_network_cannot_judge_is_not_agreed_on() -> None:
    both = recipe(kind="agree", heads=("a", "b"), post_threshold=0.0)
    outcome = decide(
        both, {"a": opinion([0.9, 0.1, 0, 0]), "b": opinion([0, 0, 0, 0])}, [5], CLASSES
    )[0]
    assert (outcome.halves, outcome.category) == ("both", None)
    assert outcome.probabilities[0] == pytest.approx(0.9)


def test_weighted_fusion_is_the_worked_example_of_the_thesis() -> None:
    weighted = recipe(kind="weighted", heads=("a", "b"), image_weight=0.8)
    image = opinion([0.78, 0.01, 0.006, 0.104, 0.1], text=False)
    text = opinion([0.35, 0.55, 0.03, 0.02, 0.05], image=False)
    found = combine(weighted, {"a": image, "b": text})
    assert found.probabilities[0] == pytest.approx([0.694, 0.118, 0.0108, 0.0872, 0.09])
    assert (found.has_image[0], found.has_text[0]) == (True, True)


def test_several_categories_each_need_their_own_threshold() -> None:
    several = recipe(several=True, post_thresholds={"animal": 0.3, "comida": 0.6, "moda": 0.9})
    said = opinion([0.4, 0.7, 0.8, 0], [0.2, 0.5, 0.95, 0], [0.1, 0.1, 0.1, 0])
    assert categories(several, a=said) == [("comida", "animal"), ("moda",), ()]


def test_nothing_is_said_of_a_category_that_the_method_abstains_from() -> None:
    silent = recipe(abstains={"animal": "too little data"})
    assert categories(silent, a=opinion([0.9, 0.1, 0, 0])) == [()]
    several = recipe(several=True, post_threshold=0.1, abstains={"animal": "too little data"})
    assert categories(several, a=opinion([0.9, 0.1, 0, 0])) == [("comida",)]


class Echo:
    """A head that says how much it got of each half."""

    image = InputScale(np.zeros(2, np.float32), 1.0)
    text = InputScale(np.zeros(3, np.float32), 1.0)
    classes = 2

    def __init__(self, *halves: Half) -> None:
        self.halves: tuple[Half, ...] = halves

    def predict(self, image: NDArray[np.floating], text: NDArray[np.floating]) -> Floats:
        return np.stack([image.sum(axis=1), text.sum(axis=1)], axis=1).astype(np.float32)


INPUTS = PostInputs(
    post_ids=[1, 2, 3],
    image=np.array([[1, 1], [0, 0], [0, 0]], np.float32),
    text=np.array([[2, 0, 0], [3, 0, 0], [0, 0, 0]], np.float32),
    supervised=np.array([[7, 0, 0], [0, 0, 0], [0, 0, 0]], np.float32),
)


def test_a_head_reads_only_the_halves_it_has_learnt_from() -> None:
    found = ask_head(Echo("image"), INPUTS)
    assert found.probabilities.tolist() == [[2, 0], [0, 0], [0, 0]]
    assert found.has_image.tolist() == [True, False, False]
    assert not found.has_text.any()


def test_a_supervised_head_reads_the_supervised_vectors() -> None:
    assert ask_head(Echo("text"), INPUTS, supervised=True).probabilities[:, 1].tolist() == [7, 0, 0]
    assert ask_head(Echo("text"), INPUTS).probabilities[:, 1].tolist() == [2, 3, 0]


def test_a_head_of_some_classes_says_nothing_of_the_others() -> None:
    found = ask_head(Echo("image", "text"), INPUTS, columns=(0, 2), classes=4)
    assert found.probabilities[0].tolist() == [2, 0, 2, 0]


def test_vectors_that_are_not_finite_count_as_missing() -> None:
    broken = PostInputs([1], np.array([[np.nan, 1]], np.float32), np.zeros((1, 3), np.float32))
    assert not ask_head(Echo("image"), broken).has_image.any()
