"""Training as a chain of stages, each stored when done, so that a killed run goes on from there."""

from collections.abc import Mapping
from typing import Any

from celery import chord, group
from sqlalchemy import Connection

from schemas.bundles import BackboneRef, TunedWeights
from schemas.runs import Run, RunState
from storage.runs import end_run, read_run
from storage.stages import DONE, Stage, drop_lease, finish_stage, promise_lease, read_stages
from storage.training import count_missing_vectors, example_ranges
from tasks.app import app, task
from tasks.context import Context, context
from tasks.finetuning import checkpoint_path, fine_tune_backbone
from tasks.fitting import fit_network, fit_reduction, fit_text_model, publish_bundle
from tasks.stages import Outputs, Report, Work, describe_failure, run_stage

VECTORS_LEASE_S = 600.0
"""Shards may wait this long behind other work before they are sent again."""

STAGES = ("backbone", "vectors", "text", "reduce", "network", "bundle")
"""In this order: each needs the outputs of those before it."""


def stages_for(params: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the stages of a run in order; one that fine-tunes has one more.

    All layers are trained before there is a backbone to speak of, the last one alone on vectors.
    """
    hyper = params.get("finetune")
    if not hyper:
        return STAGES
    place = STAGES.index("vectors") + 1 if hyper["trained"] == "head" else 0
    return (*STAGES[:place], "finetune", *STAGES[place:])


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
    if not _missing(resources, run):
        return gather_vectors(run_id, generation)
    with resources.database.read() as connection:
        ranges = example_ranges(
            connection,
            run.params["classes"],
            until=run.params["until"],
            size=resources.settings.shard_photos,
        )
    head = (run_id, generation)
    header = [
        app.signature("images.embed_examples", (*head, *part), immutable=True) for part in ranges
    ]
    chord(group(header, app=app), app=app)(
        app.signature("train.gather_vectors", head, immutable=True)
    )
    return f"shards={len(ranges)}"


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
            drop_lease(connection, run_id, "vectors", problem=problem)
            return f"missing={missing}"
        finish_stage(connection, run_id, "vectors", output={})
    advance(run_id)
    return "done"


@task("train.text")
def text(run_id: int, generation: int) -> str:
    """Train the text model on every caption there is."""
    return _run(run_id, generation, "text", fit_text_model)


@task("train.reduce")
def reduce(run_id: int, generation: int) -> str:
    """Fit standardisation and PCA on the training photos' vectors."""
    return _run(run_id, generation, "reduce", fit_reduction)


# Acknowledged before it runs: a training outlives what a broker waits for an acknowledgement, and
# its lease in the database does better.
@task("train.network", acks_late=False)
def network(run_id: int, generation: int) -> str:
    """Train the network over image and text; goes on from its last checkpoint."""
    return _run(run_id, generation, "network", fit_network)


@task("train.bundle")
def bundle(run_id: int, generation: int) -> str:
    """Put everything into one bundle, publish it, and activate it if it is the first."""
    return _run(run_id, generation, "bundle", publish_bundle)


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


def count_vectors(connection: Connection, run: Run, stages: Mapping[str, Stage]) -> tuple[int, int]:
    """Return how many training photos have been embedded, or tried, and how many there are."""
    ref = BackboneRef.model_validate(stages["backbone"].output)
    missing, total = count_missing_vectors(
        connection, run.params["classes"], until=run.params["until"], backbone=ref.hash
    )
    return total - missing, total


def _missing(resources: Context, run: Run) -> int:
    with resources.database.read() as connection:
        done, total = count_vectors(connection, run, read_stages(connection, run.id))
    return total - done
