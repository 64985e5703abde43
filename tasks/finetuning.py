"""The stage of a training that fine-tunes the backbone, alone or as a team of processes."""

import hashlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from celery import current_task
from numpy.typing import NDArray

from pipelines.split import FIT, HOLDOUT, VALIDATION
from pipelines.vision.checkpoint import read_history
from pipelines.vision.decode import PhotoLimits
from schemas.bundles import BackboneRef, TunedWeights
from schemas.errors import TrainingError
from schemas.finetuning import EpochCurve, FineTuning
from schemas.runs import Run
from storage.bundles import weights_key
from storage.runs import is_current, read_run
from storage.stages import note_output
from storage.training import read_examples
from storage.vectors import read_image_vectors
from tasks.context import Context
from tasks.samples import read_parts
from tasks.stages import Outputs, Report
from tasks.turns import DeviceTurns

if TYPE_CHECKING:
    from pipelines.vision.backbones import BackboneSpec
    from pipelines.vision.finetune import FineTuned, Watch
    from pipelines.vision.loading import LabelledPhotos
    from pipelines.vision.team import Team

log = logging.getLogger(__name__)

STAGE = "finetune"

CANCEL_CHECK_S = 2.0
"""How often a training looks whether its run still goes on."""

PARENT = "AFIN_FINETUNING_PARENT"
"""Names the worker's process to those it started: they end when it is gone."""


@dataclass(frozen=True)
class Lesson:
    """All that a fine-tuning is made from."""

    spec: "BackboneSpec"
    photos: "LabelledPhotos"
    classes: int
    hyper: FineTuning
    seed: int
    checkpoint: Path
    held: NDArray[np.bool_] | None = None


def fine_tune_backbone(
    resources: Context, run: Run, outputs: Outputs, report: Report
) -> dict[str, Any]:
    """Train as the run asks, keep what was learnt in the blob store, and return its record.

    A killed training goes on from its last epoch, on the machine that holds the data folder.
    """
    started = time.monotonic()
    hyper = FineTuning.model_validate(run.params["finetune"])
    past = read_history(checkpoint_path(resources, run.id))
    history = [curve.model_dump() for curve in past]

    def on_epoch(curve: EpochCurve) -> None:
        history.append(curve.model_dump())
        with resources.database.write() as connection:
            note_output(connection, run.id, STAGE, output={"history": history})
        tell_flower(curve)

    watch = _watch(resources, run, report, on_epoch)
    if hyper.trained == "head":
        tuned = _train_head(resources, run, outputs, hyper, watch)
    else:
        lesson = read_lesson(resources, run, outputs)
        if resources.settings.train_processes > 1:
            _train_in_team(resources, run, lesson, watch)
        tuned = train_lesson(resources, lesson, watch)
    return {
        "preset": run.params["preset"],
        "hyper": hyper.model_dump(),
        "classes": run.params["classes"],
        "history": [curve.model_dump() for curve in tuned.history],
        "best_epoch": tuned.best_epoch,
        "fitted": tuned.fitted,
        "held_out": tuned.held_out,
        "unusable": len(tuned.unusable),
        "seconds": round(time.monotonic() - started, 1),
        **_keep(resources, run, hyper, tuned),
    }


def read_lesson(resources: Context, run: Run, outputs: Outputs) -> Lesson:
    """Read what a run fine-tunes on, and which network it begins with.

    Photos that the run validates on are held out here too, and those it holds out altogether are
    not looked at: else every later figure on them would flatter.

    Raises:
        WeightsError: the network's weights cannot be had.
    """
    from pipelines.vision.backbones import resolve_backbone
    from pipelines.vision.loading import LabelledPhotos

    settings = resources.settings
    hashes, labels, held = _read_labelled(resources, run, outputs)
    return Lesson(
        resolve_backbone(
            run.params["backbone"],
            weights_dir=settings.weights,
            weights=run.params["weights"],
            seed=run.params["seed"],
        ),
        LabelledPhotos(
            hashes,
            labels,
            lambda row: resources.blobs.read_photo(hashes[row]),
            PhotoLimits(max_bytes=settings.max_photo_bytes, max_pixels=settings.max_photo_pixels),
        ),
        len(run.params["classes"]),
        FineTuning.model_validate(run.params["finetune"]),
        run.params["seed"],
        checkpoint_path(resources, run.id),
        held,
    )


def _read_labelled(
    resources: Context, run: Run, outputs: Outputs
) -> tuple[list[str], NDArray[np.int64], NDArray[np.bool_] | None]:
    """Return hash, label and whether it is held out of each photo to learn from or validate on.

    A run that began before splits came first has none to go by: None.
    """
    classes: list[str] = run.params["classes"]
    with resources.database.read() as connection:
        examples = read_examples(connection, classes, until=run.params["until"])
    parts = read_parts(resources, outputs)
    away = run.params.get("holdout_source")
    kept = [
        example
        for example in examples
        if (away is None or example.source != away)
        and parts.get(example.photo_sha256, FIT) != HOLDOUT
    ]
    labels = np.array([classes.index(example.category) for example in kept], np.int64)
    held = [parts.get(example.photo_sha256, FIT) == VALIDATION for example in kept]
    hashes = [example.photo_sha256 for example in kept]
    return hashes, labels, np.array(held, np.bool_) if parts else None


def checkpoint_path(resources: Context, run_id: int) -> Path:
    """Return where a run's fine-tuning keeps its checkpoint."""
    return resources.settings.data_dir.absolute() / "training" / str(run_id) / "finetune.checkpoint"


def train_lesson(
    resources: Context, lesson: Lesson, watch: "Watch", team: "Team | None" = None
) -> "FineTuned":
    """Train, or go on training, in this process."""
    from pipelines.vision.backbones import pick_device
    from pipelines.vision.finetune import Machine, fine_tune
    from pipelines.vision.team import Team

    settings = resources.settings
    return fine_tune(
        lesson.spec,
        lesson.photos,
        classes=lesson.classes,
        hyper=lesson.hyper,
        seed=lesson.seed,
        held=lesson.held,
        machine=Machine(
            team or Team(device=pick_device(settings.device)),
            threads=settings.train_threads or os.cpu_count() or 1,
            cache_bytes=settings.train_cache_mb * 2**20,
        ),
        checkpoint=lesson.checkpoint,
        watch=watch,
    )


def take_turns(resources: Context, device: str) -> Callable[[], None]:
    """Return what a training calls before each step, so that new accounts get the device first."""
    turns = DeviceTurns(resources.settings.data_dir, device)
    return lambda: turns.wait(resources.settings.train_patience_s)


def tell_flower(curve: EpochCurve) -> None:
    """Show an epoch as the state of the task, in Flower and in the result backend."""
    if not current_task or not current_task.request.id:
        return
    meta = {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in curve.model_dump().items()
    }
    valid = "" if curve.valid_precision is None else f", held out {curve.valid_precision:.1%}"
    line = (
        f"epoch {curve.epoch}/{curve.epochs}: loss {curve.train_loss:.3f}, "
        f"precision {curve.train_precision:.1%}{valid}"
    )
    log.info("%s", line)
    try:
        current_task.update_state(state="PROGRESS", meta=meta)
        # Flower hears of a state only by an event.
        current_task.send_event("task-progress", result=line)
    except Exception as error:  # noqa: BLE001 - brokers fail in many ways; a show stops no training
        log.warning("the broker did not hear of epoch %s: %s", curve.epoch, error)


def _watch(
    resources: Context, run: Run, report: Report, on_epoch: Callable[[EpochCurve], None]
) -> "Watch":
    from pipelines.vision.backbones import pick_device
    from pipelines.vision.finetune import Watch

    looked = time.monotonic()

    def on_step(done: int, total: int) -> None:
        nonlocal looked
        report(done, total)
        if time.monotonic() - looked > CANCEL_CHECK_S:
            looked = time.monotonic()
            with resources.database.read() as connection:
                if not is_current(read_run(connection, run.id), run.generation):
                    raise TrainingError("The run was cancelled")

    device = pick_device(resources.settings.device)
    return Watch(take_turns(resources, device), on_step, on_epoch)


def _train_head(
    resources: Context, run: Run, outputs: Outputs, hyper: FineTuning, watch: "Watch"
) -> "FineTuned":
    from pipelines.vision.finetune import fine_tune_head

    hashes, labels, held = _read_labelled(resources, run, outputs)
    backbone = BackboneRef.model_validate(outputs["backbone"])
    with resources.database.read() as connection:
        vectors = read_image_vectors(connection, backbone.hash, set(hashes))
    rows = [row for row, sha256 in enumerate(hashes) if isinstance(vectors.get(sha256), np.ndarray)]
    return fine_tune_head(
        np.array([vectors[hashes[row]] for row in rows], np.float32).reshape(-1, backbone.width),
        [hashes[row] for row in rows],
        labels[rows],
        classes=len(run.params["classes"]),
        hyper=hyper,
        seed=run.params["seed"],
        held=None if held is None else held[rows],
        watch=watch,
    )


def _train_in_team(resources: Context, run: Run, lesson: Lesson, watch: "Watch") -> None:
    """Let torch's launcher train with several processes, until the checkpoint is complete.

    Raises:
        TrainingError: with the reason that the team left behind.
        RuntimeError: the launcher failed: the stage is tried again from the checkpoint.
    """
    complaint = complaint_path(lesson.checkpoint)
    complaint.unlink(missing_ok=True)
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        f"--nproc-per-node={resources.settings.train_processes}",
        *("-m", "tasks.finetuning_team", str(run.id)),
    ]
    root = str(Path(__file__).parents[1])
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    environment = os.environ | {PARENT: str(os.getpid()), "PYTHONPATH": paths}
    known = len(read_history(lesson.checkpoint))
    # The command is ours: an interpreter, modules by name and numbers.
    with subprocess.Popen(command, env=environment) as launcher:  # noqa: S603
        try:
            while launcher.poll() is None:
                history = read_history(lesson.checkpoint)
                for curve in history[known:]:
                    watch.on_epoch(curve)
                known = len(history)
                watch.on_step(known, lesson.hyper.epochs)
                _wait_a_second(launcher)
        finally:
            launcher.terminate()
    if complaint.exists():
        raise TrainingError(complaint.read_text("utf-8"))
    if launcher.returncode:
        raise RuntimeError(f"The team that trains ended with {launcher.returncode}; see its log.")


def complaint_path(checkpoint: Path) -> Path:
    """Return where a team says why it cannot train."""
    return checkpoint.with_suffix(".complaint")


def _wait_a_second(launcher: "subprocess.Popen[bytes]") -> None:
    try:
        launcher.wait(timeout=1.0)
    except subprocess.TimeoutExpired:
        return


def _keep(resources: Context, run: Run, hyper: FineTuning, tuned: "FineTuned") -> dict[str, Any]:
    """Keep the last layer and, where it was trained, the network, named after its content."""
    from safetensors.numpy import save

    head = f"training/{run.id}/head.safetensors"
    resources.blobs.write(head, save({"weight": tuned.weight, "bias": tuned.bias}))
    if not tuned.body:
        return {"head": head, "tuned": None}
    data = save(tuned.body)
    sha256 = hashlib.sha256(data).hexdigest()
    resources.blobs.write(weights_key(sha256), data)
    weights = TunedWeights(sha256=sha256, input_size=hyper.input_size)
    return {"head": head, "tuned": weights.model_dump()}
