"""Training one classifier of a bundle on the samples that suit it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.fusion.multilabel import gather_targets, train_multilabel
from pipelines.split import FIT, HOLDOUT
from schemas.bundles import NETWORK_HEAD, HeadRef
from schemas.errors import TrainingError
from schemas.methods import HEADS, METHODS, HeadPlan
from tasks.arrays import Arrays

MIN_SAMPLES = 5
"""A class with fewer samples is not among those a classifier tells apart."""

Step = Callable[[int, int], None]


@dataclass(frozen=True)
class LearntHead:
    """A trained classifier as it goes into a bundle, and how it did while it was trained."""

    ref: HeadRef
    content: bytes
    metrics: dict[str, Any]


@dataclass(frozen=True)
class HeadSamples:
    """What one classifier learns from: chosen rows, and labels among its own classes."""

    rows: NDArray[np.int64]
    image: NDArray[np.float32]
    text: NDArray[np.float32]
    has_image: NDArray[np.bool_]
    has_text: NDArray[np.bool_]
    labels: NDArray[np.int64]
    held: NDArray[np.bool_]
    things: NDArray[np.int64]
    columns: tuple[int, ...]


def list_heads(params: Mapping[str, Any], kinds: set[str]) -> dict[str, HeadPlan]:
    """Return the classifiers of some kinds that a run's methods need, the main network first."""
    methods = params.get("methods", ["nn"])
    needed = {NETWORK_HEAD, *(head for method in methods for head in METHODS[method].heads)}
    return {name: plan for name, plan in HEADS.items() if name in needed and plan.kind in kinds}


def fit_network(
    arrays: Arrays, plan: HeadPlan, seed: int, checkpoint: Path, step: Step
) -> "LearntHead | str":
    """Train a network, or say why there is nothing to train it on."""
    from safetensors.numpy import save

    from pipelines.fusion.train import NetworkHyper, train_network

    chosen = choose_samples(arrays, plan)
    if isinstance(chosen, str):
        return chosen
    trained = train_network(
        chosen.image,
        chosen.text,
        chosen.has_image,
        chosen.has_text,
        chosen.labels,
        classes=len(chosen.columns),
        hyper=NetworkHyper(),
        seed=seed,
        held=chosen.held,
        on_epoch=lambda epoch: step(epoch.epoch, epoch.epochs),
        checkpoint=checkpoint,
    )
    network = trained.network
    ref = refer_head(plan, "safetensors", network.halves, chosen.columns, arrays)
    return LearntHead(ref, save(network.to_tensors()), trained.metrics)


def fit_multilabel(
    arrays: Arrays, plan: HeadPlan, *, reject: bool, step: Step
) -> "LearntHead | str":
    """Train the head that says yes or no to each category; otra is no to all of them."""
    from safetensors.numpy import save

    chosen = choose_samples(arrays, plan)
    if isinstance(chosen, str):
        return chosen
    categories = len(chosen.columns) - reject
    fitted = np.flatnonzero(~chosen.held)
    names = [str(thing) for thing in chosen.things[fitted]]
    firsts, targets = gather_targets(names, chosen.labels[fitted], len(chosen.columns))
    rows = fitted[firsts]
    try:
        network = train_multilabel(
            chosen.image[rows],
            chosen.text[rows],
            chosen.has_image[rows],
            chosen.has_text[rows],
            targets[:, :categories],
            on_class=step,
        )
    except TrainingError as error:
        return str(error)
    ref = refer_head(plan, "safetensors", network.halves, tuple(range(categories)), arrays)
    several = int((targets[:, :categories].sum(axis=1) > 1).sum())
    metrics = {"fitted": len(rows), "several_labels": several}
    return LearntHead(ref, save(network.to_tensors()), metrics)


def fit_svm(arrays: Arrays, plan: HeadPlan, seed: int, *, search: bool) -> "LearntHead | str":
    """Fit a support vector machine, or say why there is nothing to fit it on."""
    from pipelines.fusion.svm import SvmHyper, search_hyper, train_svm

    chosen = choose_samples(arrays, plan)
    if isinstance(chosen, str):
        return chosen
    rows = np.flatnonzero(~chosen.held)
    own = (chosen.image[rows], chosen.text[rows], chosen.has_image[rows], chosen.has_text[rows])
    labels = chosen.labels[rows]
    hyper, table = SvmHyper(), list[dict[str, float]]()
    if search:
        hyper, table = search_hyper(*own, labels, chosen.things[rows], seed=seed)
    machine = train_svm(*own, labels, classes=len(chosen.columns), hyper=hyper, seed=seed)
    ref = refer_head(plan, "skops", machine.halves, chosen.columns, arrays)
    metrics = {"fitted": len(rows), "hyper": hyper.model_dump(), "search": table}
    return LearntHead(ref, machine.to_bytes(), metrics)


def choose_samples(arrays: Arrays, plan: HeadPlan) -> "HeadSamples | str":
    """Return the samples that have a half of those planned, of classes with enough of them."""
    text = arrays.supervised if plan.supervised else arrays.text
    has_image = np.any(arrays.image != 0, axis=1) & ("image" in plan.halves)
    has_text = np.any(text != 0, axis=1) & ("text" in plan.halves)
    fit = arrays.of(FIT)
    if "text" in plan.halves and not (has_text & fit).any():
        if plan.supervised or plan.halves == ("text",):
            return "no labelled caption has a word that the text model knows"
        has_text[:] = False
    usable = (has_image | has_text) & ~arrays.of(HOLDOUT)
    counts = np.bincount(arrays.labels[usable & fit], minlength=int(arrays.labels.max()) + 1)
    least = MIN_SAMPLES if plan.halves == ("text",) else 1
    columns = tuple(int(place) for place in np.flatnonzero(counts >= least))
    if len(columns) < 2:  # noqa: PLR2004 - a choice needs two
        return f"fewer than two classes have {least} samples for it"
    rows = np.flatnonzero(usable & np.isin(arrays.labels, columns))
    return HeadSamples(
        rows=rows,
        image=arrays.image[rows],
        text=text[rows],
        has_image=has_image[rows],
        has_text=has_text[rows],
        labels=np.searchsorted(columns, arrays.labels[rows]).astype(np.int64),
        held=~fit[rows],
        things=arrays.things[rows],
        columns=columns,
    )


def refer_head(
    plan: HeadPlan,
    ending: str,
    halves: Any,
    columns: tuple[int, ...],
    arrays: Arrays,
) -> HeadRef:
    """Describe a trained classifier for a bundle's manifest."""
    name = next(name for name, known in HEADS.items() if known is plan)
    everything = tuple(range(int(arrays.labels.max()) + 1))
    return HeadRef(
        kind="network" if plan.kind == "multilabel" else plan.kind,
        file=f"{name}.{ending}",
        halves=halves,
        supervised=plan.supervised,
        columns=None if columns == everything else columns,
    )
