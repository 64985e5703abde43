"""afin train and afin models."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.output import JsonFlag, note, print_json, print_table, warn
from cli.progress import wait_for_run
from schemas.bundles import BundleInfo
from schemas.categories import parse_category_set
from schemas.errors import TrainingError, UsageError
from schemas.finetuning import FineTuning, parse_finetuning
from schemas.methods import DEFAULT_METHODS, parse_methods
from schemas.runs import Progress, RunState
from storage.bundles import find_bundle, list_bundles, promote_bundle
from storage.runs import read_run
from storage.stages import DONE, read_stages
from tasks.context import context
from tasks.forecast import Forecast, forecast_training
from tasks.fusing import TARGET_PRECISION
from tasks.start import TrainingOptions, start_training
from tasks.train import count_vectors, stages_for
from tasks.tuning import tune_bundle


class TuningRule(StrEnum):
    """How share thresholds are chosen."""

    PRECISION = "precision"
    BALANCE = "balance"
    HAMMING = "hamming"


class Weights(StrEnum):
    """What a backbone begins with."""

    PRETRAINED = "pretrained"
    RANDOM = "random"


class TextKind(StrEnum):
    """How fastText learns words without labels."""

    SKIPGRAM = "skipgram"
    CBOW = "cbow"


app = typer.Typer(no_args_is_help=True, help="See, compare and promote bundles (model versions).")


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
    text: Annotated[
        TextKind, typer.Option(help="How fastText learns words without labels.")
    ] = TextKind.SKIPGRAM,
    search_svm: Annotated[
        bool, typer.Option(help="Search gamma and C on the thesis' grid first; takes minutes.")
    ] = False,
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
        text_kind=text.value,
        search_svm=search_svm,
        target_precision=precision,
        preset=None if finetune == "none" else finetune,
        finetune=_read_finetuning(finetune, changes or []),
        weights=weights.value,
        with_otra=otra,
    )
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
        print_json({"run": run_id, **_document(info)})
    else:
        _print_bundles([info])


def _read_finetuning(preset: str, changes: list[str]) -> FineTuning | None:
    if preset != "none":
        return parse_finetuning(preset, changes)
    if changes:
        raise UsageError("--set changes a fine-tuning: name its preset with --finetune too.")
    return None


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """List bundles, newest first."""
    with context().database.read() as connection:
        bundles = list_bundles(connection)
    if as_json:
        print_json([_document(info) for info in bundles])
    elif bundles:
        _print_bundles(bundles)
    else:
        note("No bundle yet: 'afin train' makes one.")


@app.command()
def show(
    bundle: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")],
    as_json: JsonFlag = False,
) -> None:
    """Show all that a bundle says of itself."""
    with context().database.read() as connection:
        info = find_bundle(connection, bundle)
    if as_json:
        print_json({**_document(info), "manifest": info.manifest.model_dump(mode="json")})
        return
    _print_bundles([info])
    fields = info.manifest.model_dump(mode="json", exclude={"files"})
    print_table(("field", "value"), [(name, value) for name, value in fields.items()])


@app.command()
def promote(
    bundle: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")],
    as_json: JsonFlag = False,
) -> None:
    """Make a bundle the one that judges accounts from now on."""
    with context().database.write() as connection:
        info = promote_bundle(connection, bundle)
    if as_json:
        print_json(_document(info))
    else:
        note(f"{info.id} is active. 'afin reclassify --all' judges everybody by it.")


@app.command()
def tune(
    bundle: Annotated[
        str | None, typer.Argument(help="Its id or the beginning of it; else the active one.")
    ] = None,
    by: Annotated[
        TuningRule,
        typer.Option(
            help="precision: one threshold a category; balance (precision = recall) or hamming: "
            "one for all."
        ),
    ] = TuningRule.PRECISION,
    precision: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="What each category has to reach.")
    ] = TARGET_PRECISION,
    seed: Annotated[int, typer.Option(help="Which half of the accounts it is fitted on.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Make a candidate with share thresholds fitted on half of the labelled accounts."""
    found = tune_bundle(context(), bundle, rule=by.value, target_precision=precision, seed=seed)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    print_table(
        ("method", "", "Hamming (of nothing)", "precision", "recall", "macro-F1"),
        [
            (
                method,
                when,
                f"{scores.hamming:.3f} ({scores.hamming_of_nothing:.3f})",
                *(
                    "" if value is None else f"{value:.1%}"
                    for value in (scores.micro.precision, scores.micro.recall, scores.macro.f1)
                ),
            )
            for method in found.before
            for when, scores in (("before", found.before[method]), ("after", found.after[method]))
        ],
    )
    note(
        f"Fitted on {found.fitted_on} accounts, measured on the {found.measured_on} others. "
        f"{found.bundle_id} is a candidate: 'afin models promote {found.bundle_id}' makes it judge."
    )


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


def _document(info: BundleInfo) -> dict[str, Any]:
    manifest = info.manifest
    return {
        "bundle": info.id,
        "state": info.state,
        "categories": list(manifest.classes),
        "reject_class": manifest.reject,
        "backbone": manifest.backbone.name,
        "metrics": manifest.metrics,
        "created_at": manifest.created_at.isoformat(),
    }


def _print_bundles(bundles: list[BundleInfo]) -> None:
    print_table(
        ("bundle", "state", "backbone", "categories", "created"),
        [
            (
                info.id,
                info.state,
                info.manifest.backbone.name,
                ", ".join(info.manifest.classes) + (" (+otra)" if info.manifest.reject else ""),
                f"{info.manifest.created_at:%Y-%m-%d %H:%M}",
            )
            for info in bundles
        ],
    )
