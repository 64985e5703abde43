"""Training as a chain of stages, each stored when done, so that a killed run goes on from there."""

from collections.abc import Mapping
from typing import Any

from celery import chord, group
from sqlalchemy import Connection

from schemas.bundles import BackboneRef, TunedWeights
from schemas.runs import Run, RunState
from storage.runs import end_run, read_run
from storage.stages import (
    DONE,
    Stage,
    drop_lease,
    finish_stage,
    note_start,
    promise_lease,
    read_stages,
    seconds_since_start,
)
from storage.tagged import count_missing_tagged, tagged_ranges
from storage.training import count_missing_vectors, example_ranges
from tasks.app import app, task
from tasks.context import Context, context
from tasks.finetuning import checkpoint_path, fine_tune_backbone
from tasks.fitting import (
    fit_networks,
    fit_reduction,
    fit_svms,
    mark_network,
    mark_reduction,
    mark_svm,
)
from tasks.fusing import fuse_methods, mark_fusion
from tasks.labelling import believe_tags, mark_labels
from tasks.marks import Compute, MarkOf, remembering
from tasks.publishing import mark_bundle, publish_bundle
from tasks.samples import divide_samples, mark_split
from tasks.stages import Outputs, Report, Work, describe_failure, run_stage
from tasks.text_models import fit_text_models, mark_text

VECTORS_LEASE_S = 600.0
"""Shards may wait this long behind other work before they are sent again."""

STAGES = (
    "backbone",
    "vectors",
    "split",
    "labels",
    "text",
    "reduce",
    "network",
    "svm",
    "fuse",
    "bundle",
)
"""In this order: each needs the outputs of those before it."""

STEPS: dict[str, tuple[MarkOf, Compute]] = {
    "split": (mark_split, divide_samples),
    "labels": (mark_labels, believe_tags),
    "text": (mark_text, fit_text_models),
    "reduce": (mark_reduction, fit_reduction),
    "network": (mark_network, fit_networks),
    "svm": (mark_svm, fit_svms),
    "fuse": (mark_fusion, fuse_methods),
    "bundle": (mark_bundle, publish_bundle),
}
"""Stages that are not done again from the same input: what each depends on, and what it does."""


def stages_for(params: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the stages of a run in order; one that fine-tunes has one more.

    All layers are trained before there is a backbone to speak of, the last one alone on vectors;
    both after the split, so that nothing validated on is ever fitted on.
    """
    hyper = params.get("finetune")
    if not hyper:
        return STAGES
    if hyper["trained"] == "head":
        place = STAGES.index("split") + 1
        return (*STAGES[:place], "finetune", *STAGES[place:])
    return ("split", "finetune", *(name for name in STAGES if name != "split"))


@task("train.advance")
def advance(run_id: int) -> str:
    """Send the next unfinished stage of a training on its way, unless somebody holds it."""
    resources = context()
    with resources.database.write() as connection:
        run = read_run(connection, run_id)
        if run.state is not RunState.RUNNING:
            return f"run is {run.state}"
        stages = read_stages(connection, run_id)
        waiting = [stages[name] for name in stages_for(run.params) if stages[name].state != DONE]
        if not waiting:
            end_run(connection, run_id, RunState.DONE)
            return "done"
        stage = waiting[0]
        if stage.held:
            return f"{stage.stage} is held"
        if stage.attempts >= resources.settings.max_attempts:
            reason = stage.problem or "its worker was lost each time; see the workers' logs"
            end_run(
                connection, run_id, RunState.FAILED, error=describe_failure(stage.stage, reason)
            )
            return "failed"
        settings = resources.settings
        lease_s = VECTORS_LEASE_S if stage.stage == "vectors" else settings.train_lease_s
        promise_lease(connection, run_id, stage.stage, lease_s=lease_s)
    # Once the promise has lapsed another message is sent: this one must not come late.
    app.send_task(f"train.{stage.stage}", (run_id, run.generation), expires=lease_s)
    return f"sent {stage.stage}"


@task("train.backbone")
def backbone(run_id: int, generation: int) -> str:
    """Load the backbone, so that its exact identity is known before anything is computed."""
    return _run(run_id, generation, "backbone", identify_backbone)


# Acknowledged before it runs, like the network below.
@task("train.finetune", acks_late=False)
def finetune(run_id: int, generation: int) -> str:
    """Fine-tune the backbone, or a last layer on its vectors; goes on from its last checkpoint."""
    status = _run(run_id, generation, "finetune", fine_tune_backbone)
    if status.startswith("done"):
        checkpoint_path(context(), run_id).unlink(missing_ok=True)
    return status


@task("train.vectors")
def vectors(run_id: int, generation: int) -> str:
    """Send the training photos that have no vector yet to the gpu workers, in shards.

    The stage ends when its chord's body finds every vector; a lost chord is sent again.
    """
    resources = context()
    with resources.database.read() as connection:
        run = read_run(connection, run_id)
    if run.generation != generation or run.state is not RunState.RUNNING:
        return "stale"
    missing = _missing(resources, run)
    if not missing:
        return gather_vectors(run_id, generation)
    with resources.database.write() as connection:
        note_start(connection, run_id, "vectors", total=missing)
        size, params = resources.settings.shard_photos, run.params
        ranges = {
            "images.embed_examples": example_ranges(
                connection, params["classes"], until=params["until"], size=size
            ),
            "images.embed_tagged": tagged_ranges(
                connection, params["classes"], until=params.get("tagged_until", 0), size=size
            ),
        }
    head = (run_id, generation)
    header = [
        app.signature(name, (*head, *part), immutable=True)
        for name, parts in ranges.items()
        for part in parts
    ]
    chord(group(header, app=app), app=app)(
        app.signature("train.gather_vectors", head, immutable=True)
    )
    return f"shards={len(header)}"


@task("train.gather_vectors")
def gather_vectors(run_id: int, generation: int) -> str:
    """End the stage of vectors if none is missing; else leave it to be sent again."""
    resources = context()
    with resources.database.read() as connection:
        run = read_run(connection, run_id)
    if run.generation != generation or run.state is not RunState.RUNNING:
        return "stale"
    missing = _missing(resources, run)
    with resources.database.write() as connection:
        if missing:
            problem = f"{missing} training photos got no vector; see the gpu worker's log"
            drop_lease(connection, run_id, "vectors", holder=None, problem=problem)
            return f"missing={missing}"
        seconds = seconds_since_start(connection, run_id, "vectors")
        computed = read_stages(connection, run_id)["vectors"].total if seconds else 0
        output = {"rows": computed}
        finish_stage(connection, run_id, "vectors", output=output, seconds=seconds)
    advance(run_id)
    return "done"


@task("train.split")
def split(run_id: int, generation: int) -> str:
    """Divide all samples into those fitted on, those validated on, and a held-out source."""
    return _run_step(run_id, generation, "split")


@task("train.labels")
def labels(run_id: int, generation: int) -> str:
    """Keep the tagged posts whose tag two image models confirm."""
    return _run_step(run_id, generation, "labels")


@task("train.text")
def text(run_id: int, generation: int) -> str:
    """Train the text models on every caption there is, and on the labelled ones."""
    return _run_step(run_id, generation, "text")


@task("train.reduce")
def reduce(run_id: int, generation: int) -> str:
    """Fit standardisation and PCA, and bring every sample into arrays."""
    return _run_step(run_id, generation, "reduce")


# Acknowledged before it runs: a training outlives what a broker waits for an acknowledgement, and
# its lease in the database does better.
@task("train.network", acks_late=False)
def network(run_id: int, generation: int) -> str:
    """Train the networks over image and text; each goes on from its last checkpoint."""
    return _run_step(run_id, generation, "network")


@task("train.svm", acks_late=False)
def svm(run_id: int, generation: int) -> str:
    """Fit the support vector machines."""
    return _run_step(run_id, generation, "svm")


@task("train.fuse")
def fuse(run_id: int, generation: int) -> str:
    """Fit weight and thresholds of every method, and score all of them."""
    return _run_step(run_id, generation, "fuse")


@task("train.bundle")
def bundle(run_id: int, generation: int) -> str:
    """Put everything into one bundle, publish it, and activate it if it is the first."""
    return _run_step(run_id, generation, "bundle")


def identify_backbone(
    resources: Context, run: Run, outputs: Outputs, _report: Report
) -> dict[str, Any]:
    """Load the run's backbone on this worker and return its identity."""
    found = outputs.get("finetune", {}).get("tuned")
    tuned = TunedWeights.model_validate(found) if found else None
    return resources.embedder(run.params["backbone"], tuned=tuned).backbone.ref.model_dump()


def _run(run_id: int, generation: int, stage: str, work: Work) -> str:
    status = run_stage(run_id, generation, stage, work)
    advance(run_id)
    return status


def _run_step(run_id: int, generation: int, stage: str) -> str:
    mark_of, compute = STEPS[stage]
    return _run(run_id, generation, stage, remembering(stage, mark_of, compute))


def count_vectors(connection: Connection, run: Run, stages: Mapping[str, Stage]) -> tuple[int, int]:
    """Return how many training photos have been embedded, or tried, and how many there are.

    A photo that is an example and in a tagged post counts twice, and is embedded once.
    """
    ref = BackboneRef.model_validate(stages["backbone"].output)
    return count_embedded(connection, run.params, ref)


def count_embedded(
    connection: Connection, params: Mapping[str, Any], backbone: BackboneRef
) -> tuple[int, int]:
    """Return the same for what a training with these parameters would need of a backbone."""
    classes = params["classes"]
    missing, total = count_missing_vectors(
        connection, classes, until=params["until"], backbone=backbone.hash
    )
    more_missing, more = count_missing_tagged(
        connection, classes, until=params.get("tagged_until", 0), backbone=backbone.hash
    )
    return total + more - missing - more_missing, total + more


def _missing(resources: Context, run: Run) -> int:
    with resources.database.read() as connection:
        done, total = count_vectors(connection, run, read_stages(connection, run.id))
    return total - done
