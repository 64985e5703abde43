"""Small methods, sets and reports that tests of evaluation score and draw."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from pipelines.evaluation.assess import Relation, SetEvaluation, assess_accounts, assess_items
from pipelines.evaluation.methods import MethodPredictions, UsedHalves
from pipelines.evaluation.mistakes import Mistake
from pipelines.evaluation.report import Report, SetMistakes
from schemas.bundles import BundleInfo, BundleState
from tests.unit.storage.builders import manifest

CLASSES = ("comida", "deporte")
Sets = list[frozenset[str]]


def sets(*names: str) -> Sets:
    """One set a word: ``"comida deporte"`` splits at spaces, ``""`` is empty."""
    return [frozenset(name.split()) for name in names]


def method(
    rows: Sequence[Sequence[float]],
    *,
    name: str = "nn",
    halves: UsedHalves = "both",
    threshold: float = 0.5,
    classes: Sequence[str] = CLASSES,
) -> MethodPredictions:
    """A method that says these probabilities; a row of zeros could not be judged."""
    probabilities = np.array(rows, np.float32)
    predicted: list[frozenset[str] | None] = []
    for row in probabilities:
        top = int(row.argmax())
        if row[top] < threshold:
            predicted.append(None)
        else:
            predicted.append(frozenset(classes[top : top + 1]))
    judged = np.asarray(probabilities.any(axis=1))
    return MethodPredictions(name, halves, probabilities, judged, predicted)


def drawn(
    seed: int, items: int = 60, *, skill: float = 2.0, halves: UsedHalves = "both"
) -> tuple[MethodPredictions, Sets]:
    """A method that is right more often than not, and the truth; with a reject class."""
    rng = np.random.default_rng(seed)
    places = rng.integers(0, 3, items)
    logits = rng.normal(size=(items, 3))
    logits[np.arange(items), places] += skill
    powers = np.exp(logits)
    truth = [frozenset(CLASSES[place : place + 1]) for place in places.tolist()]
    return method((powers / powers.sum(axis=1, keepdims=True)).tolist(), halves=halves), truth


def evaluation(
    name: str = "holidays", relation: Relation = "cross-source", seed: int = 0
) -> SetEvaluation:
    both, truth = drawn(seed)
    image, _truth = drawn(seed, skill=1.0, halves="image")
    text, _truth = drawn(seed, skill=0.5, halves="text")
    return assess_items(
        [image, text, both],
        truth,
        CLASSES,
        bundle="b0",
        kind="photos",
        name=name,
        relation=relation,
        groups=list(range(len(truth))),
        seen=3,
    )


def accounts_evaluation(name: str = "ana") -> SetEvaluation:
    shares = method([[0.6, 0.1], [0.2, 0.5], [0.1, 0.3], [0.9, 0.4], [0.0, 0.0]], threshold=0.28)
    truth = sets("comida", "deporte", "", "comida deporte", "")
    return assess_accounts([shares], truth, CLASSES, bundle="b0", name=name)


def report(name: str = "holidays", caption: str = "qué rico") -> Report:
    mistake = Mistake(
        place=f"{name}/1",
        truth=("comida",),
        answer=("deporte",),
        probability=0.97,
        caption=caption,
        image=None,
    )
    return Report(
        bundle=BundleInfo(id="b0", state=BundleState.ACTIVE, manifest=manifest()),
        written_at=datetime(2026, 1, 5, 12, tzinfo=UTC),
        evaluations=(
            evaluation("studio", "same source", 1),
            accounts_evaluation(),
            evaluation(name),
        ),
        mistakes=(SetMistakes(kind="photos", name=name, method="nn · both", mistakes=(mistake,)),),
        training={
            "network": [
                {"epoch": 1, "train_loss": 1.0, "train_precision": 0.4, "validation_loss": None},
                {"epoch": 2, "train_loss": 0.5, "train_precision": 0.8, "validation_loss": None},
            ]
        },
        skipped={"posts of luis": "Nothing of it is stored."},
    )
