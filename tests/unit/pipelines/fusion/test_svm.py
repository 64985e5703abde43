"""The support vector machine is scikit-learn's, told in halves and kept without pickle."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from skops.io import dumps, get_untrusted_types, loads

from pipelines.fusion.svm import Svm, SvmHyper, search_hyper, to_plain, train_svm
from schemas.errors import BundleError, TrainingError

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 240)
IMAGE = (RNG.normal(size=(240, 6)) * 0.7 + np.eye(3, 6)[LABELS] * 2).astype(np.float32)
TEXT = (RNG.normal(size=(240, 4)) * 0.02).astype(np.float32)
ALL = np.ones(240, np.bool_)
NONE = np.zeros(240, np.bool_)


def train(**changes: Any) -> Svm:
    hyper = SvmHyper(**changes)
    return train_svm(IMAGE, TEXT, ALL, NONE, LABELS, classes=3, hyper=hyper, seed=0)


@pytest.fixture(scope="module")
def machine() -> Svm:
    return train()


@pytest.mark.parametrize("changes", [{}, {"fold_rows": 50}, {"fold_rows": 50, "exact_rows": 100}])
def test_every_way_of_fitting_learns(changes: dict[str, int]) -> None:
    probabilities = train(**changes).predict(IMAGE, TEXT)
    assert (probabilities.argmax(axis=1) == LABELS).mean() > 0.9
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(240))


def test_the_same_data_and_seed_give_the_same_probabilities(machine: Svm) -> None:
    assert np.array_equal(train().predict(IMAGE, TEXT), machine.predict(IMAGE, TEXT))


def test_a_half_that_was_not_learnt_is_ignored(machine: Svm) -> None:
    assert machine.halves == ("image",)
    assert np.array_equal(machine.predict(IMAGE, TEXT + 9), machine.predict(IMAGE, TEXT))


def test_what_was_kept_is_read_back(machine: Svm) -> None:
    again = Svm.from_bytes(machine.to_bytes())
    assert again.halves == machine.halves
    assert np.array_equal(again.predict(IMAGE, TEXT), machine.predict(IMAGE, TEXT))


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize(
    "changes", [{}, {"fold_rows": 50}, {"fold_rows": 50, "exact_rows": 100, "components": 40}]
)
def test_numpy_alone_predicts_what_scikit_learn_does(classes: int, changes: dict[str, int]) -> None:
    labels = np.random.default_rng(1).integers(0, classes, 240)
    image = IMAGE + np.eye(5, 6)[labels] * 1.5
    hyper = SvmHyper(**changes)
    machine = train_svm(image, TEXT, ALL, ALL, labels, classes=classes, hyper=hyper, seed=0)
    theirs = loads(machine.to_bytes(), trusted=get_untrusted_types(data=machine.to_bytes()))
    unseen = (RNG.normal(size=(500, 6)) * 3, RNG.normal(size=(500, 4)) * 0.02)
    scaled = [
        scale.apply(x) for scale, x in zip((machine.image, machine.text), unseen, strict=True)
    ]
    expected = theirs["model"].predict_proba(np.hstack(scaled).astype(np.float64))
    assert np.abs(machine.predict(*unseen) - expected).max() < 1e-6


def test_a_machine_is_read_and_asked_without_torch_skops_or_scikit_learn(
    machine: Svm, tmp_path: Path
) -> None:
    (tmp_path / "svm.skops").write_bytes(machine.to_bytes())
    np.savez(tmp_path / "halves.npz", image=IMAGE, text=TEXT)
    script = f"""
import sys
from pathlib import Path
import numpy as np
from pipelines.fusion.svm import Svm
halves = np.load({str(tmp_path / "halves.npz")!r})
svm = Svm.from_bytes(Path({str(tmp_path / "svm.skops")!r}).read_bytes())
np.save({str(tmp_path / "said.npy")!r}, svm.predict(halves["image"], halves["text"]))
print(sorted({{"torch", "skops", "sklearn", "scipy"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert np.array_equal(np.load(tmp_path / "said.npy"), machine.predict(IMAGE, TEXT))


def test_no_posts_give_no_probabilities(machine: Svm) -> None:
    assert machine.predict(IMAGE[:0], TEXT[:0]).shape == (0, 3)


def test_types_of_others_are_refused() -> None:
    estimator = LogisticRegression().fit(IMAGE, LABELS)
    estimator.extra = LookupError  # a type that nobody reviewed
    with pytest.raises(BundleError, match="not reviewed"):
        Svm.from_bytes(dumps({"model": estimator}))


@pytest.mark.parametrize("raw", [b"", b"junk", dumps({"halves": []}), dumps([1])])
def test_what_is_no_machine_is_refused(raw: bytes) -> None:
    with pytest.raises(BundleError):
        Svm.from_bytes(raw)


@pytest.mark.parametrize("exact_rows", [40_000, 100])
def test_a_rare_class_of_a_large_set_is_learnt_and_calibrated(exact_rows: int) -> None:
    labels = np.array([0] * 120 + [1] * 118 + [2] * 2)
    image = (IMAGE * 0.1 + np.eye(3, 6)[labels] * 3).astype(np.float32)
    hyper = SvmHyper(fold_rows=50, exact_rows=exact_rows, components=60)
    machine = train_svm(image, TEXT, ALL, NONE, labels, classes=3, hyper=hyper, seed=0)
    said = machine.predict(image, TEXT)
    assert said.shape == (240, 3)
    assert (said.argmax(axis=1)[:238] == labels[:238]).mean() > 0.95


def test_a_class_of_one_sample_is_refused() -> None:
    labels = np.array([0] * 10 + [1])
    with pytest.raises(TrainingError, match="single sample"):
        train_svm(
            IMAGE[:11], TEXT[:11], ALL[:11], NONE[:11], labels,
            classes=2, hyper=SvmHyper(), seed=0,
        )  # fmt: skip


@pytest.mark.parametrize("classes", [2, 3])
def test_intels_machine_is_scikit_learns_in_other_types(classes: int) -> None:
    intel = pytest.importorskip("sklearnex.svm", reason="scikit-learn-intelex is an extra")
    labels = np.minimum(LABELS, classes - 1)
    fitted = intel.SVC(gamma=0.01, C=10).fit(IMAGE.astype(np.float64), labels)
    plain = to_plain(fitted)
    assert type(plain) is SVC
    exact = IMAGE.astype(np.float64)
    assert np.abs(plain.decision_function(exact) - fitted.decision_function(exact)).max() < 1e-9
    assert (plain.predict(exact) == fitted.predict(exact)).all()


def test_the_grid_of_the_thesis_is_searched() -> None:
    own = (IMAGE[:90], TEXT[:90], ALL[:90], NONE[:90], LABELS[:90])
    best, table = search_hyper(*own, np.arange(90) // 2)
    assert {row["gamma"] for row in table} == {0.001, 0.002, 0.004, 0.007, 0.01}
    assert {row["cost"] for row in table} >= {1.0, 90.0, 100.0}
    score = {(row["gamma"], row["cost"]): row["score"] for row in table}
    assert score[best.gamma, best.cost] == max(score.values())
