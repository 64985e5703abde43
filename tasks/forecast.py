"""What a training would compute, what it would keep from earlier ones, and how long it takes."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pipelines.vision.backbones import resolve_backbone
from schemas.base import Frozen
from schemas.runs import Run, RunKind, RunState
from storage.stages import find_done_stage
from tasks.context import Context
from tasks.marks import find_kept
from tasks.samples import read_candidates
from tasks.start import TrainingOptions, plan_training
from tasks.train import STEPS, count_embedded, stages_for


class StageForecast(Frozen):
    """One stage: whether it would run, on how much, and for how long; None where nobody knows."""

    stage: str
    runs: bool
    kept_from: int | None = None
    rows: int | None = None
    seconds: float | None = None


class Forecast(Frozen):
    """A whole training, stage by stage; ``left_out`` names categories with too few photos."""

    stages: tuple[StageForecast, ...]
    left_out: dict[str, int]


def forecast_training(
    resources: Context,
    categories: Sequence[str],
    *,
    backbone: str,
    seed: int,
    options: TrainingOptions,
) -> Forecast:
    """Say what a training on what is imported now would do, without starting it.

    A stage is kept if an earlier run had the very same input. Times are those that the newest run
    of the stage took, scaled by the number of samples.

    Raises:
        TrainingError: fewer than two classes have enough photos.
        WeightsError: the backbone's weights cannot be had on this machine.
    """
    params, left_out = plan_training(
        resources, categories, backbone=backbone, seed=seed, options=options
    )
    tuned = options.finetune is not None and options.finetune.trained != "head"
    ref = None
    if not tuned:
        ref = resolve_backbone(backbone, weights_dir=resources.settings.weights).ref
    with resources.database.read() as connection:
        samples = len(read_candidates(connection, params))
        missing = samples
        if ref is not None:
            done, total = count_embedded(connection, params, ref)
            missing = total - done
    run = Run(
        id=0,
        kind=RunKind.TRAIN,
        state=RunState.RUNNING,
        generation=0,
        bundle_id=None,
        params=params,
        error=None,
        created_at=datetime.now(UTC),
        finished_at=None,
    )
    # Weights still to be made have no vectors yet that anything could have been computed from.
    outputs = {"backbone": ref.model_dump() if ref else {"name": "", "hash": "", "width": 1}}
    stages = []
    for stage in stages_for(params):
        if stage == "vectors":
            forecast = _forecast_run(resources, stage, missing)
        elif stage in STEPS:
            forecast = _forecast_step(resources, run, stage, outputs, samples)
        else:
            rows = samples if stage == "finetune" else 1
            forecast = _forecast_run(resources, stage, rows)
        stages.append(forecast)
    return Forecast(stages=tuple(stages), left_out=left_out)


def _forecast_step(
    resources: Context,
    run: Run,
    stage: str,
    outputs: dict[str, dict[str, Any]],
    samples: int,
) -> StageForecast:
    """Look for an earlier run of a step with the same mark, which the marks after it rest on."""
    mark_of, _compute = STEPS[stage]
    mark = mark_of(resources, run, outputs)
    outputs[stage] = {"mark": mark}
    kept = find_kept(resources, stage, mark)
    if kept is not None:
        return StageForecast(stage=stage, runs=False, kept_from=kept.run_id, seconds=0.0)
    return _forecast_run(resources, stage, samples)


def _forecast_run(resources: Context, stage: str, rows: int) -> StageForecast:
    with resources.database.read() as connection:
        timed = find_done_stage(connection, stage, timed=True)
    seconds = None
    if rows == 0:
        seconds = 0.0
    elif timed is not None and timed.seconds is not None:
        before = timed.output.get("rows") or rows
        seconds = timed.seconds * rows / before
    return StageForecast(stage=stage, runs=rows > 0, rows=rows, seconds=seconds)
