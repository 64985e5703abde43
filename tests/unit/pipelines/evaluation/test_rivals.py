"""Two bundles with different categories are asked for those they share."""

from pipelines.evaluation.rivals import name_apart, narrow
from tests.unit.pipelines.evaluation.builders import method, sets

OWN = ("comida", "deporte", "moda")


def test_what_is_not_shared_means_none_of_the_shared() -> None:
    said = method([[0.2, 0.1, 0.6, 0.1], [0.7, 0.1, 0.1, 0.1], [0.3, 0.3, 0.2, 0.2]], classes=OWN)
    found = narrow(said, OWN, ("deporte", "comida"), reject=True)
    assert found.predicted == [*sets("", "comida"), None]
    # The likeliest class stays the likeliest: here "none of them", then comida.
    assert found.probabilities.argmax(axis=1).tolist()[:2] == [2, 1]


def test_sharing_everything_leaves_a_method_as_it_was() -> None:
    said = method([[0.2, 0.1, 0.7]], classes=OWN)
    found = narrow(said, OWN, OWN, reject=False)
    assert found.probabilities.tolist() == said.probabilities.tolist()
    assert found.predicted == said.predicted


def test_names_tell_the_bundles_apart() -> None:
    (found,) = name_apart("a1b2", [method([[1.0, 0.0]])])
    assert found.label == "a1b2 nn · both"
