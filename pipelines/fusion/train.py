"""Training of the fused network: epochs, the best of which is kept, and where it goes on from."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipelines.fusion.calibrate import (
    balanced_loss,
    class_weights,
    fit_temperature,
    split_validation,
)
from pipelines.fusion.checkpoint import fingerprint, load_checkpoint, save_checkpoint
from pipelines.fusion.descend import Descent, descend_epoch
from pipelines.fusion.network import Floats, InputScale, Network, fit_scale, run_layers
from schemas.base import Frozen
from schemas.bundles import Half
from schemas.errors import TrainingError

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


class NetworkHyper(Frozen):
    """Settings of one training; epochs, loss and optimiser are the thesis', the rest is ours."""

    epochs: int = Field(25, ge=1)
    hidden: int = Field(64, ge=0, description="units of the hidden layer; 0: none")
    batch: int = Field(64, ge=1)
    rate: float = Field(0.05, gt=0, description="learning rate at the start; falls as a cosine")
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-3, ge=0)
    dropout: float = Field(0.2, ge=0, lt=1, description="share of hidden units left out")
    noise: float = Field(1.0, ge=0, description="Gaussian noise added to inputs of spread 1")
    half_dropout: float = Field(
        0.3, ge=0, le=1, description="share of two-half samples that lose one half, either one"
    )
    smoothing: float = Field(0.1, ge=0, lt=1, description="label smoothing")
    validation_share: float = Field(0.15, ge=0, lt=1)
    min_draws: int = Field(1024, ge=1, description="an epoch draws at least so many samples")

    def descent(self) -> Descent:
        """Return the settings of its steps."""
        return Descent(**{name: getattr(self, name) for name in Descent.__dataclass_fields__})


class EpochReport(Frozen):
    """How an epoch went; precision is the share of samples whose top class is right.

    The validation's figures weigh every class alike and are None where nothing could be held out.
    """

    epoch: int
    epochs: int
    train_loss: float
    train_precision: float
    validation_loss: float | None
    validation_precision: float | None


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with the record of its training, ready for a bundle's manifest."""

    network: Network
    history: tuple[EpochReport, ...]
    metrics: dict[str, Any]


@dataclass
class _State:
    """What an epoch changes: parameters, momentum, the best parameters, and the record."""

    parameters: list[Floats]
    momentum: list[Floats]
    best: list[Floats]
    history: list[EpochReport] = field(default_factory=list)


@dataclass(frozen=True)
class _Samples:
    x: Floats
    has_image: Bools
    has_text: Bools
    labels: Ints
    image_width: int

    def take(self, rows: Ints) -> "_Samples":
        return _Samples(
            self.x[rows], self.has_image[rows], self.has_text[rows], self.labels[rows],
            self.image_width,
        )  # fmt: skip


def train_network(
    image: NDArray[np.floating],
    text: NDArray[np.floating],
    has_image: Bools,
    has_text: Bools,
    labels: NDArray[np.integer],
    *,
    classes: int,
    hyper: NetworkHyper,
    seed: int,
    held: Bools | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    checkpoint: Path | None = None,
) -> TrainedNetwork:
    """Train on ``image (n, d_image)``, ``text (n, d_text)`` and ``labels (n,)`` in 0…classes-1.

    Classes are drawn equally often. A stratified part is held out, or the rows named by ``held
    (n,)``; the epoch with the least loss there wins, and the temperature that minimises that loss
    is worked into the last layer (Guo et al. 2017, "On Calibration of Modern Neural Networks"). The
    same input and seed give the same network. With ``checkpoint`` every epoch is saved to that
    file, and a later call with the same input goes on from it to the very weights an unbroken
    training ends with.

    Raises:
        TrainingError: a class has no sample, a sample has no half, or the loss is not finite.
    """
    from threadpoolctl import threadpool_limits

    check_samples(image, text, has_image, has_text, labels, classes)
    scales = (fit_scale(image, has_image), fit_scale(text, has_text))
    halves = (np.where(has_image[:, None], image, 0), np.where(has_text[:, None], text, 0))
    x = np.concatenate([s.apply(half) for s, half in zip(scales, halves, strict=True)], axis=1)
    samples = _Samples(x, has_image, has_text, labels.astype(np.int64), image.shape[1])
    if held is None:
        fitted, validated = split_validation(samples.labels, hyper.validation_share, seed)
    else:
        fitted, validated = np.flatnonzero(~held), np.flatnonzero(held)
        present = (has_image[fitted], has_text[fitted])
        check_samples(image[fitted], text[fitted], *present, labels[fitted], classes)
    mark = fingerprint(
        [*halves, has_image, has_text, samples.labels, validated],
        {"classes": classes, "seed": seed, **hyper.model_dump()},
    )
    state = _resume(checkpoint, mark) or _start(x.shape[1], classes, hyper, seed)
    fit, validation = samples.take(fitted), samples.take(validated)
    # Sums in one order give the same network, and leave the other cores to the other workers.
    with threadpool_limits(limits=1):
        while len(state.history) < hyper.epochs:
            report = _run_epoch(state, fit, validation, classes, hyper, seed)
            if checkpoint is not None:
                _keep(checkpoint, mark, state)
            if on_epoch is not None:
                on_epoch(report)
    learnt: list[Half] = ["image"] if has_image.any() else []
    learnt += ["text"] if has_text.any() else []
    return _finish(state, scales, tuple(learnt), fit, validation, classes)


def check_samples(
    image: NDArray[np.floating],
    text: NDArray[np.floating],
    has_image: Bools,
    has_text: Bools,
    labels: NDArray[np.integer],
    classes: int,
) -> None:
    """Refuse samples that nothing can be learnt from.

    Raises:
        TrainingError: a class has no sample, or a sample has no half or is not finite.
    """
    if classes < 2:  # noqa: PLR2004 - a choice needs two
        raise TrainingError(
            "One class alone cannot be told from anything: name more categories, or import "
            "photos of otra."
        )
    missing = sorted(set(range(classes)) - set(labels.tolist()))
    if missing:
        raise TrainingError(
            f"Class {missing[0]} has no sample to learn from: import some, or train without it."
        )
    if not (has_image | has_text).all():
        raise TrainingError("A sample has neither image nor text: leave it out of the training.")
    if not (np.isfinite(image[has_image]).all() and np.isfinite(text[has_text]).all()):
        raise TrainingError("A sample's vector is not finite: compute the vectors again.")


def _start(inputs: int, classes: int, hyper: NetworkHyper, seed: int) -> _State:
    rng = np.random.default_rng(seed)
    sizes = [inputs, hyper.hidden, classes] if hyper.hidden else [inputs, classes]
    parameters: list[Floats] = []
    for rows, columns in pairwise(sizes):
        # He et al. 2015, for layers followed by ReLU.
        weights = rng.normal(0, math.sqrt(2 / rows), (rows, columns))
        parameters += [weights.astype(np.float32), np.zeros(columns, np.float32)]
    return _State(parameters, [np.zeros_like(p) for p in parameters], parameters)


def _run_epoch(
    state: _State,
    fit: _Samples,
    validation: _Samples,
    classes: int,
    hyper: NetworkHyper,
    seed: int,
) -> EpochReport:
    epoch = len(state.history)
    with np.errstate(all="ignore"):
        state.parameters, state.momentum, loss, precision = descend_epoch(
            state.parameters,
            state.momentum,
            fit.x,
            fit.labels,
            fit.has_image & fit.has_text,
            image_width=fit.image_width,
            progress=(epoch / hyper.epochs, (epoch + 1) / hyper.epochs),
            settings=hyper.descent(),
            # Each epoch has its own random numbers, so that a resumed training meets the same ones.
            chance=np.random.default_rng([seed, epoch]),
        )
    if not math.isfinite(loss) or not all(np.isfinite(p).all() for p in state.parameters):
        raise TrainingError("The training diverged: train with a lower learning rate.")
    scored = _score(state.parameters, validation, classes)
    report = EpochReport(
        epoch=len(state.history) + 1,
        epochs=hyper.epochs,
        train_loss=loss,
        train_precision=precision,
        validation_loss=scored[0] if scored else None,
        validation_precision=scored[1] if scored else None,
    )
    past = [r.validation_loss for r in state.history if r.validation_loss is not None]
    if report.validation_loss is None or report.validation_loss < min(past, default=math.inf):
        state.best = state.parameters
    state.history.append(report)
    return report


def _score(
    parameters: list[Floats], validation: _Samples, classes: int
) -> tuple[float, float] | None:
    if not len(validation.labels):
        return None
    logits = run_layers(_pair(parameters), validation.x)
    right = logits.argmax(axis=1) == validation.labels
    weights = class_weights(validation.labels, classes)
    return balanced_loss(logits, validation.labels, classes), float(right @ weights)


def _pair(parameters: list[Floats]) -> tuple[tuple[Floats, Floats], ...]:
    return tuple(zip(parameters[::2], parameters[1::2], strict=True))


def _finish(
    state: _State,
    scales: tuple[InputScale, InputScale],
    learnt: tuple[Half, ...],
    fit: _Samples,
    validation: _Samples,
    classes: int,
) -> TrainedNetwork:
    temperature, chosen = 1.0, len(state.history)
    losses = [r.validation_loss for r in state.history if r.validation_loss is not None]
    if losses:
        chosen = losses.index(min(losses)) + 1
        logits = run_layers(_pair(state.best), validation.x)
        temperature = fit_temperature(logits, validation.labels, classes)
    parameters = [*state.best[:-2], *(p / np.float32(temperature) for p in state.best[-2:])]
    scored = _score(parameters, validation, classes)
    metrics = {
        "fitted": len(fit.labels),
        "held_out": len(validation.labels),
        "epoch": chosen,
        "temperature": round(temperature, 4),
        "validation_loss": scored[0] if scored else None,
        "validation_precision": scored[1] if scored else None,
        "epochs": [report.model_dump() for report in state.history],
    }
    return TrainedNetwork(
        Network(*scales, _pair(parameters), learnt), tuple(state.history), metrics
    )


def _keep(path: Path, mark: str, state: _State) -> None:
    groups = {"parameters": state.parameters, "momentum": state.momentum, "best": state.best}
    save_checkpoint(path, mark, groups, [report.model_dump() for report in state.history])


def _resume(path: Path | None, mark: str) -> _State | None:
    loaded = load_checkpoint(path, mark) if path is not None else None
    if loaded is None:
        return None
    groups, history = loaded
    return _State(
        groups["parameters"],
        groups["momentum"],
        groups["best"],
        [EpochReport.model_validate(report) for report in history],
    )
