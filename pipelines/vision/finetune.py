"""Fine-tuning: a backbone whose last layer is replaced learns our categories from photos."""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.fusion.calibrate import split_validation
from pipelines.vision.architectures import build_network, fill_network
from pipelines.vision.backbones import BackboneSpec
from pipelines.vision.checkpoint import Checkpoint, fingerprint, load_checkpoint, save_checkpoint
from pipelines.vision.loading import (
    Batch,
    Feed,
    Ints,
    LabelledPhotos,
    PhotoFeed,
    feed_vectors,
)
from pipelines.vision.optimise import (
    autocast,
    export_optimizer,
    import_optimizer,
    learning_rate,
    make_optimizer,
    seeded,
)
from pipelines.vision.team import Team
from schemas.errors import TrainingError
from schemas.finetuning import EpochCurve, FineTuning

if TYPE_CHECKING:
    import torch

Bools = NDArray[np.bool_]

HELD_SHARE = 0.15
"""Of each class, where nobody says which photos are held out."""

_HEAD = "head."
_BODY = "body."


@dataclass(frozen=True)
class Watch:
    """What is called while a training runs; an exception from any of them ends it.

    ``before_step`` may wait, so that others get the device. ``on_step`` gets steps done and in all.
    """

    before_step: Callable[[], None] = lambda: None
    on_step: Callable[[int, int], None] = lambda _done, _total: None
    on_epoch: Callable[[EpochCurve], None] = lambda _curve: None


@dataclass(frozen=True)
class Machine:
    """What a training may use: its team's devices, threads that decode, memory for photos."""

    team: Team = field(default_factory=Team)
    threads: int = 2
    cache_bytes: int = 2**31


@dataclass(frozen=True)
class FineTuned:
    """A trained network: ``body`` by tensor name (empty if it was frozen), and its last layer.

    ``weight (k, d)`` and ``bias (k,)`` turn vectors into logits. ``unusable`` are the rows of
    photos that could not be decoded.
    """

    body: dict[str, NDArray[Any]]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    history: tuple[EpochCurve, ...]
    best_epoch: int
    fitted: int
    held_out: int
    unusable: tuple[int, ...]


@dataclass
class _Course:
    """One training under way."""

    model: "torch.nn.Module"
    feed: Feed
    fitted: Ints
    held: Ints
    hyper: FineTuning
    seed: int
    team: Team
    watch: Watch

    @property
    def body(self) -> "torch.nn.Module | None":
        """All but the last layer; None where vectors are learnt from."""
        return dict(self.model.named_children()).get("body")

    @property
    def steps(self) -> int:
        """Steps of an epoch: batches of a like size, with something for everyone in the team."""
        count = len(self.fitted)
        return max(min(math.ceil(count / self.hyper.batch_size), count // self.team.size), 1)


def fine_tune(
    spec: BackboneSpec,
    photos: LabelledPhotos,
    *,
    classes: int,
    hyper: FineTuning,
    seed: int,
    held: Bools | None = None,
    machine: Machine | None = None,
    checkpoint: Path | None = None,
    watch: Watch | None = None,
) -> FineTuned:
    """Train a backbone with a new last layer on labelled photos.

    The rows of ``held (n,)`` are not fitted on but choose the epoch; None: a part of every class is
    held out, copies of one photo on the same side. With ``checkpoint``
    every epoch is saved to that file, and a later call with the same input goes on from it; on a
    CPU to the very weights that an unbroken training ends with.

    Raises:
        TrainingError: there is nothing to learn from, the input size does not suit the network, or
            the loss is not finite.
        WeightsError: the backbone's weights do not fit.
    """
    machine = machine or Machine()
    _check(photos.labels if held is None else photos.labels[~held], classes)
    body = build_network(spec.ref.name, spec.seed)
    if spec.weights_file is not None:
        fill_network(body, spec.ref.name, spec.weights_file)
    transform = spec.transform.model_copy(update={"size": hyper.input_size})
    _check_size(body, spec.ref.name, hyper.input_size)
    feed = PhotoFeed(
        photos,
        transform,
        hyper,
        device=machine.team.device,
        threads=machine.threads,
        cache_bytes=machine.cache_bytes,
    )
    course = _Course(
        _assemble(body, spec.ref.width, classes, seed, machine.team.device),
        feed,
        *_divide(photos.hashes, photos.labels, held, seed),
        hyper,
        seed,
        machine.team,
        watch or Watch(),
    )
    settings = {"backbone": spec.ref.hash, "seed": seed, "classes": classes, **hyper.model_dump()}
    if held is not None:
        settings["held"] = np.flatnonzero(held).tolist()
    mark = fingerprint(settings, list(zip(photos.hashes, photos.labels.tolist(), strict=True)))
    return _train(course, len(photos.labels), checkpoint, mark)


def fine_tune_head(
    vectors: NDArray[np.float32],
    hashes: Sequence[str],
    labels: Ints,
    *,
    classes: int,
    hyper: FineTuning,
    seed: int,
    held: Bools | None = None,
    watch: Watch | None = None,
) -> FineTuned:
    """Train the last layer alone on a frozen backbone's vectors, ``(n, d)``: no checkpoint.

    ``held`` is as for ``fine_tune``.

    Raises:
        TrainingError: there is nothing to learn from, or the loss is not finite.
    """
    _check(labels if held is None else labels[~held], classes)
    model = _assemble(None, vectors.shape[1], classes, seed, "cpu")
    feed = feed_vectors(vectors, labels, "cpu")
    divided = _divide(hashes, labels, held, seed)
    course = _Course(model, feed, *divided, hyper, seed, Team(), watch or Watch())
    return _train(course, len(labels), None, "")


def _divide(
    hashes: Sequence[str], labels: Ints, held: Bools | None, seed: int
) -> tuple[Ints, Ints]:
    """Return the rows to fit on and those to hold out."""
    if held is None:
        return split_photos(hashes, labels, HELD_SHARE, seed)
    return np.flatnonzero(~held), np.flatnonzero(held)


def split_photos(hashes: Sequence[str], labels: Ints, share: float, seed: int) -> tuple[Ints, Ints]:
    """Return the rows to fit on and those to hold out; copies of one photo stay together."""
    _names, first, place = np.unique(np.array(hashes), return_index=True, return_inverse=True)
    # In order of arrival, so that the split does not hang on how hashes happen to sort.
    order = np.argsort(first)
    _fit, held = split_validation(labels[first[order]], share, seed)
    out = np.isin(place, order[held])
    return np.flatnonzero(~out), np.flatnonzero(out)


def _check(labels: Ints, classes: int) -> None:
    if classes < 2:  # noqa: PLR2004 - a choice needs two
        raise TrainingError(
            "One class alone cannot be told from anything: name more categories, or import "
            "photos of otra."
        )
    missing = sorted(set(range(classes)) - set(labels.tolist()))
    if missing:
        raise TrainingError(
            f"Class {missing[0]} has no photo to learn from: import some, or train without it."
        )


def _check_size(body: "torch.nn.Module", name: str, size: int) -> None:
    import torch

    try:
        with torch.inference_mode():
            body.eval()(torch.zeros(1, 3, size, size))
    except Exception as error:
        # Every architecture has its own way to refuse a size.
        raise TrainingError(
            f"{name} takes no photos of {size} x {size} pixels ({error}): "
            "set input_size to what it was made for."
        ) from error


def _assemble(
    body: "torch.nn.Module | None", width: int, classes: int, seed: int, device: str
) -> "torch.nn.Module":
    """Put a new last layer behind a body; for vectors there is none."""
    import torch

    with seeded("cpu", seed):
        head = torch.nn.Linear(width, classes)
    parts = OrderedDict({"head": head} if body is None else {"body": body, "head": head})
    return torch.nn.Sequential(parts).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _train(course: _Course, samples: int, checkpoint: Path | None, mark: str) -> FineTuned:
    """Run the epochs that are missing and return the one to keep."""
    import torch

    model, team = course.model, course.team
    if course.body is not None and course.hyper.trained == "head":
        course.body.requires_grad_(requires_grad=False)
    optimizer = make_optimizer(model, course.hyper)
    state = load_checkpoint(checkpoint, mark) if checkpoint is not None else None
    if state is None:
        state = Checkpoint(_copy(model), _copy(model), {}, torch.zeros(samples, dtype=torch.uint8))
    else:
        model.load_state_dict(state.model)
        import_optimizer(model, optimizer, state.optimizer)
    shared = team.wrap(model)
    while len(state.history) < course.hyper.epochs:
        curve = _run_epoch(course, shared, optimizer, state)
        past = [one.valid_loss for one in state.history if one.valid_loss is not None]
        state.model = _copy(model)
        if course.hyper.kept == "last" or (curve.valid_loss or 0.0) < min(past, default=math.inf):
            state.best = state.model
        state.optimizer = export_optimizer(model, optimizer)
        state.history.append(curve)
        if team.leads and checkpoint is not None:
            save_checkpoint(checkpoint, mark, state)
        course.watch.on_epoch(curve)
        # Nobody begins an epoch that a restart would not find on disk.
        team.meet()
    return _finish(course, state)


def _run_epoch(
    course: _Course,
    shared: "torch.nn.Module",
    optimizer: "torch.optim.Optimizer",
    state: Checkpoint,
) -> EpochCurve:
    epoch = len(state.history)
    with seeded(course.team.device, course.seed, epoch, course.team.rank):
        loss, precision = _descend(course, shared, optimizer, epoch, state.unusable)
    if not math.isfinite(loss):
        raise TrainingError("The fine-tuning diverged: train with a lower rate.")
    scored = _score(course, state.unusable)
    return EpochCurve(
        epoch=epoch + 1,
        epochs=course.hyper.epochs,
        train_loss=loss,
        train_precision=precision,
        valid_loss=scored[0] if scored else None,
        valid_precision=scored[1] if scored else None,
        lr=optimizer.param_groups[0]["lr"],
    )


def _descend(
    course: _Course,
    shared: "torch.nn.Module",
    optimizer: "torch.optim.Optimizer",
    epoch: int,
    unusable: "torch.Tensor",
) -> tuple[float, float]:
    """Take every step of an epoch; return mean loss and precision of its batches."""
    import torch

    hyper, team, watch = course.hyper, course.team, course.watch
    shared.train()
    if course.body is not None and hyper.trained == "head":
        course.body.eval()
    order = np.random.default_rng([course.seed, epoch]).permutation(course.fitted)
    parts = np.array_split(order, course.steps)
    sums = torch.zeros(3, dtype=torch.float64, device=team.device)
    mine = [part[team.rank :: team.size] for part in parts]
    for number, batch in enumerate(course.feed(mine, (course.seed, epoch))):
        watch.before_step()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(hyper, epoch + number / len(parts))
        with autocast(hyper, team.device):
            logits = shared(batch.inputs).float()
        losses = batch.weights * torch.nn.functional.cross_entropy(
            logits, batch.labels, reduction="none", label_smoothing=hyper.label_smoothing
        )
        # The team takes the mean of its gradients: this makes it that of the whole batch's mean.
        whole = team.add_up(batch.weights.sum()).clamp(min=1) / team.size
        optimizer.zero_grad()
        (losses.sum() / whole).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        sums += _add(losses.detach(), logits.detach(), batch)
        unusable[batch.rows[(batch.weights == 0).cpu().numpy()]] = 1
        watch.on_step(epoch * len(parts) + number + 1, hyper.epochs * len(parts))
    return _mean(team, sums)


def _score(course: _Course, unusable: "torch.Tensor") -> tuple[float, float] | None:
    """Return loss and precision on what is held out, every photo weighing alike."""
    import torch

    team = course.team
    sums = torch.zeros(3, dtype=torch.float64, device=team.device)
    rows = course.held[team.rank :: team.size]
    size = course.hyper.batch_size
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    course.model.eval()
    with torch.inference_mode():
        for batch in course.feed(parts, None):
            course.watch.before_step()
            with autocast(course.hyper, team.device):
                logits = course.model(batch.inputs).float()
            losses = torch.nn.functional.cross_entropy(logits, batch.labels, reduction="none")
            sums += _add(losses * batch.weights, logits, batch)
            unusable[batch.rows[(batch.weights == 0).cpu().numpy()]] = 1
    unusable.copy_(team.add_up(unusable.to(team.device)).clamp(max=1))
    return _mean(team, sums) if len(course.held) else None


def _add(losses: "torch.Tensor", logits: "torch.Tensor", batch: Batch) -> "torch.Tensor":
    """Return a batch's summed loss, right answers and weight, left on the device."""
    import torch

    right = (logits.argmax(dim=1) == batch.labels) * batch.weights
    return torch.stack([losses.sum(), right.sum(), batch.weights.sum()])


def _mean(team: Team, sums: "torch.Tensor") -> tuple[float, float]:
    loss, right, count = team.add_up(sums).tolist()
    if not count:
        raise TrainingError(
            "None of the photos could be decoded: 'afin import photos' says why; import others."
        )
    return loss / count, right / count


def _copy(model: "torch.nn.Module") -> "dict[str, torch.Tensor]":
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def _finish(course: _Course, state: Checkpoint) -> FineTuned:
    losses = [one.valid_loss for one in state.history if one.valid_loss is not None]
    last = course.hyper.kept == "last" or not losses
    # safetensors writes an array's memory as it lies, and channels-last weights lie otherwise.
    arrays = {name: tensor.contiguous().numpy() for name, tensor in state.best.items()}
    return FineTuned(
        body={
            name.removeprefix(_BODY): array
            for name, array in arrays.items()
            if name.startswith(_BODY)
        },
        weight=arrays[f"{_HEAD}weight"],
        bias=arrays[f"{_HEAD}bias"],
        history=tuple(state.history),
        best_epoch=len(state.history) if last else losses.index(min(losses)) + 1,
        fitted=len(course.fitted),
        held_out=len(course.held),
        unusable=tuple(int(row) for row in np.flatnonzero(state.unusable.numpy())),
    )
