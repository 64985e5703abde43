"""The support vector machine of the thesis over image and text halves, with probabilities."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipelines.fusion.machine import REVIEWED, Machine, read_machine
from pipelines.fusion.network import HALVES, Floats, InputScale, fit_scale
from pipelines.fusion.skops_file import read_skops
from pipelines.fusion.train import check_samples
from schemas.base import Frozen
from schemas.bundles import Half
from schemas.errors import BundleError, TrainingError

if TYPE_CHECKING:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import SVC

Bools = NDArray[np.bool_]
Ints = NDArray[np.integer]

GAMMAS = (0.001, 0.002, 0.004, 0.007, 0.01)
COSTS = (1.0, 3.0, 10.0, 30.0, 90.0, 100.0)
_SEARCH_ROWS = 4000
_SEARCH_FOLDS = 3
_FOLDS = 5


class SvmHyper(Frozen):
    """Settings of one machine; kernel, gamma and cost are the thesis' (row 10), the rest ours."""

    gamma: float = Field(0.002, gt=0, description="width of the RBF kernel on inputs of spread 1")
    cost: float = Field(90.0, gt=0, description="C: what a training error costs")
    fold_rows: int = Field(
        6000, ge=0, description="up to so many samples are calibrated by cross-validation"
    )
    held_share: float = Field(0.1, gt=0, lt=1, description="calibrates larger sets, fitted once")
    exact_rows: int = Field(
        40_000, ge=1, description="larger sets get an approximate kernel (Nystroem)"
    )
    components: int = Field(1000, ge=1, description="of the approximate kernel")


@dataclass(frozen=True)
class Svm:
    """A fitted, calibrated machine; ``halves`` are those it has learnt from.

    It predicts by numpy alone; ``raw`` is the skops file that it was read from.
    """

    image: InputScale
    text: InputScale
    halves: tuple[Half, ...]
    machine: Machine
    raw: bytes

    @property
    def classes(self) -> int:
        """Number of classes, the reject class included."""
        return self.machine.classes

    def predict(self, image: NDArray[np.floating], text: NDArray[np.floating]) -> Floats:
        """Return class probabilities ``(n, k) float32``; missing halves are rows of zeros."""
        if not len(image):
            return np.zeros((0, self.classes), np.float32)
        x = _join((self.image, self.text), (image, text), self.halves)
        return self.machine.predict(x).astype(np.float32)

    def to_bytes(self) -> bytes:
        """Return the machine as a skops file."""
        return self.raw

    @classmethod
    def from_bytes(cls, raw: bytes) -> "Svm":
        """Build a machine from what ``to_bytes`` returned, after a look at the types it holds.

        Raises:
            BundleError: it is no skops file, holds types of others, or not a machine of ours.
        """
        parts = read_skops(raw, REVIEWED)
        try:
            image, text = (
                InputScale(np.asarray(parts[half]["mean"], np.float32), parts[half]["factor"])
                for half in HALVES
            )
            learnt = tuple(half for half in HALVES if half in parts["halves"])
            machine = read_machine(parts["model"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BundleError(f"it is no machine of ours ({type(error).__name__})") from error
        widths = {"image": image.width, "text": text.width}
        if machine.width != sum(widths[half] for half in learnt):
            raise BundleError("it reads inputs of another width than its halves have")
        return cls(image, text, learnt, machine, raw)


def _write(
    scales: tuple[InputScale, InputScale],
    halves: tuple[Half, ...],
    model: "CalibratedClassifierCV",
) -> bytes:
    """Return a fitted machine as a skops file."""
    # skops brings torch along: only where a machine is made.
    from skops.io import dumps

    parts: dict[str, Any] = {
        half: {"mean": scale.mean, "factor": scale.factor}
        for half, scale in zip(HALVES, scales, strict=True)
    }
    raw: bytes = dumps({"halves": list(halves), **parts, "model": model})
    return raw


def train_svm(
    image: NDArray[np.floating],
    text: NDArray[np.floating],
    has_image: Bools,
    has_text: Bools,
    labels: Ints,
    *,
    classes: int,
    hyper: SvmHyper,
    seed: int,
) -> Svm:
    """Fit an RBF machine, one class against one, on ``(n, d)`` halves and ``labels (n,)``.

    Its margins become probabilities by Platt's sigmoids, fitted by cross-validation on small sets
    and on a tenth held out of large ones, as fitting five times costs five times. With
    scikit-learn-intelex installed the same machine is found about ten times faster. Past
    ``exact_rows`` the kernel is approximated (Williams & Seeger 2001, "Using the Nyström Method").

    Raises:
        TrainingError: a class has fewer than two samples, or a sample has no half.
    """
    check_samples(image, text, has_image, has_text, labels, classes)
    scales, learnt, x = _prepare(image, text, has_image, has_text)
    least = int(np.bincount(labels, minlength=classes).min())
    if least < 2:  # noqa: PLR2004 - one to fit, one to calibrate
        raise TrainingError(
            "A class has a single sample, and a support vector machine needs two: import more, "
            "or train without it."
        )
    # Read back at once: what is judged with later is what is judged with now.
    return Svm.from_bytes(_write(scales, learnt, _fit_calibrated(x, labels, hyper, seed, least)))


def search_hyper(
    image: NDArray[np.floating],
    text: NDArray[np.floating],
    has_image: Bools,
    has_text: Bools,
    labels: Ints,
    groups: Ints | None = None,
    *,
    seed: int = 0,
) -> tuple[SvmHyper, list[dict[str, float]]]:
    """Search the thesis' grid (gamma 0.001-0.01, C 1-100) by cross-validated balanced accuracy.

    At most 4,000 samples are used; those of one of the ``groups (n,)`` stay on one side. Returns
    the best settings and a row a point: gamma, cost, score.
    """
    from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

    _scales, _learnt, x = _prepare(image, text, has_image, has_text)
    rows = np.random.default_rng(seed).permutation(len(labels))[:_SEARCH_ROWS]
    together = np.arange(len(labels)) if groups is None else groups
    folds = StratifiedGroupKFold(_SEARCH_FOLDS, shuffle=True, random_state=seed)
    search = GridSearchCV(
        _make_svc(SvmHyper()),
        {"gamma": list(GAMMAS), "C": list(COSTS)},
        scoring="balanced_accuracy",
        cv=folds.split(x[rows], labels[rows], together[rows]),
        refit=False,
    )
    search.fit(x[rows], labels[rows])
    found = search.cv_results_
    table = [
        {"gamma": float(point["gamma"]), "cost": float(point["C"]), "score": float(score)}
        for point, score in zip(found["params"], found["mean_test_score"], strict=True)
    ]
    best = max(table, key=lambda row: row["score"])
    return SvmHyper(gamma=best["gamma"], cost=best["cost"]), table


def _prepare(
    image: NDArray[np.floating], text: NDArray[np.floating], has_image: Bools, has_text: Bools
) -> tuple[tuple[InputScale, InputScale], tuple[Half, ...], Floats]:
    """Return the scales of both halves, which are learnt from, and the scaled inputs."""
    scales = (fit_scale(image, has_image), fit_scale(text, has_text))
    learnt: list[Half] = ["image"] if has_image.any() else []
    learnt += ["text"] if has_text.any() else []
    halves = (np.where(has_image[:, None], image, 0), np.where(has_text[:, None], text, 0))
    return scales, tuple(learnt), _join(scales, halves, tuple(learnt))


def _join(
    scales: tuple[InputScale, InputScale],
    vectors: tuple[NDArray[np.floating], NDArray[np.floating]],
    halves: tuple[Half, ...],
) -> Floats:
    """Put the halves learnt from side by side, scaled."""
    parts = zip(HALVES, scales, vectors, strict=True)
    return np.concatenate(
        [scale.apply(vector) for half, scale, vector in parts if half in halves], axis=1
    )


def _fit_calibrated(
    x: Floats, labels: Ints, hyper: SvmHyper, seed: int, least: int
) -> "CalibratedClassifierCV":
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator
    from sklearn.model_selection import KFold, StratifiedKFold

    if len(x) <= hyper.fold_rows:
        # A fixed order of folds, so that the same data and seed give the same machine.
        folds = StratifiedKFold(min(_FOLDS, least), shuffle=True, random_state=seed)
        fitted = CalibratedClassifierCV(_make_svc(hyper), ensemble=False, cv=folds).fit(x, labels)
        inner = fitted.calibrated_classifiers_[0]
        inner.estimator = to_plain(inner.estimator)
        fitted.estimator = inner.estimator
        fitted.cv = None
        return fitted
    fit, held = _hold_some(labels, hyper.held_share, seed)
    exact = len(x) <= hyper.exact_rows
    machine = _make_svc(hyper) if exact else _make_approximate(hyper, len(fit), seed)
    machine.fit(x[fit], labels[fit])
    # A frozen machine says the same whatever the folds; those it would choose want five of a class.
    fitted = CalibratedClassifierCV(FrozenEstimator(machine), cv=KFold(2))
    fitted.fit(x[held], labels[held])
    if exact:
        # Only now: Intel's finds the margins that are calibrated in a fraction of the time.
        fitted.estimator = FrozenEstimator(to_plain(machine))
        for inner in fitted.calibrated_classifiers_:
            inner.estimator = fitted.estimator
    fitted.cv = None
    return fitted


def _hold_some(
    labels: Ints, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows to fit on and those that calibrate: a share of each class, at least two.

    Of a class with so few that none would be left to fit on, both are made of all.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    own = [order[labels[order] == label] for label in np.unique(labels)]
    held = [rows[: max(round(share * len(rows)), 2)] for rows in own]
    fit = [
        rows[len(some) :] if len(rows) > len(some) else rows
        for rows, some in zip(own, held, strict=True)
    ]
    return np.sort(np.concatenate(fit)), np.sort(np.concatenate(held))


def _make_svc(hyper: SvmHyper) -> "SVC":
    """Return the machine to fit: Intel's implementation of the same class where it is installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from sklearnex.svm import SVC
    except ImportError:
        from sklearn.svm import SVC
    return SVC(kernel="rbf", gamma=hyper.gamma, C=hyper.cost, cache_size=500)


def to_plain(fitted: Any) -> "SVC":
    """Return a fitted machine as scikit-learn's own, so that a file needs nothing more to be read.

    Both keep the same support vectors; only the types of the arrays differ.
    """
    from sklearn.svm import SVC

    if type(fitted) is SVC:
        return fitted
    known = SVC().get_params()
    plain = SVC(**{name: value for name, value in fitted.get_params().items() if name in known})
    for name in ("classes_", "class_weight_", "_gamma", "_sparse", "fit_status_", "shape_fit_"):
        setattr(plain, name, getattr(fitted, name))
    plain.n_features_in_ = fitted.n_features_in_
    for name, dtype in (
        ("support_", np.int32),
        ("_n_support", np.int32),
        ("support_vectors_", np.float64),
        ("dual_coef_", np.float64),
        ("intercept_", np.float64),
    ):
        setattr(plain, name, np.ascontiguousarray(getattr(fitted, name), dtype))
    plain._probA = plain._probB = np.empty(0)
    plain._effective_probability = False
    # libsvm counts two classes the other way round.
    sign = -1 if len(plain.classes_) == 2 else 1  # noqa: PLR2004 - two classes
    plain._dual_coef_, plain._intercept_ = sign * plain.dual_coef_, sign * plain.intercept_
    return plain


def _make_approximate(hyper: SvmHyper, rows: int, seed: int) -> Any:
    from sklearn.kernel_approximation import Nystroem
    from sklearn.linear_model import SGDClassifier
    from sklearn.pipeline import make_pipeline

    kernel = Nystroem(
        gamma=hyper.gamma, n_components=min(hyper.components, rows), random_state=seed
    )
    # The same trade between margin and errors as C, which counts errors instead of averaging.
    return make_pipeline(kernel, SGDClassifier(alpha=1 / (hyper.cost * rows), random_state=seed))
