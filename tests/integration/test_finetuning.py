"""A fine-tuning whose worker is killed goes on to the very weights of an undisturbed one."""

import os
import signal

import pytest

from schemas.finetuning import FineTuning, parse_finetuning
from schemas.runs import RunState
from storage.bundles import find_bundle
from storage.runs import read_run
from storage.stages import DONE, Stage, read_stages
from tasks.start import TrainingOptions, start_training
from tests.houses import CATEGORIES, House, until

pytestmark = pytest.mark.timeout(1200)

EPOCHS = 4


def begin(house: House, hyper: FineTuning, backbone: str = "test_resnet") -> int:
    run_id, _left_out = start_training(
        house.resources,
        CATEGORIES,
        backbone=backbone,
        seed=0,
        options=TrainingOptions(preset="thesis", finetune=hyper, weights="random"),
    )
    return run_id


def stage(house: House, run_id: int, name: str = "finetune") -> Stage:
    with house.resources.database.read() as connection:
        return read_stages(connection, run_id)[name]


def epochs(house: House, run_id: int) -> int:
    return len((stage(house, run_id).output or {}).get("history", ()))


def end(house: House, run_id: int) -> Stage:
    """Wait for the whole training and return its fine-tuning."""

    def over() -> bool:
        with house.resources.database.read() as connection:
            return read_run(connection, run_id).state.final

    until(over, 480)
    with house.resources.database.read() as connection:
        run = read_run(connection, run_id)
    assert run.state is RunState.DONE, run.error
    return stage(house, run_id)


def test_a_killed_fine_tuning_ends_in_the_weights_of_an_undisturbed_one(house: House) -> None:
    # As slow as a small network can be: large photos, two a step.
    hyper = parse_finetuning("thesis", [f"epochs={EPOCHS}", "batch_size=2", "rate=0.01"])
    killed = begin(house, hyper)
    until(lambda: epochs(house, killed) >= 2)
    os.kill(house.pid("train"), signal.SIGKILL)
    assert epochs(house, killed) < EPOCHS
    known = stage(house, killed).done
    steps: list[int] = []

    def done() -> bool:
        now = stage(house, killed)
        steps.append(now.done)
        return now.state == DONE

    until(done, 480)
    # From the first step on it would have counted from 1 again.
    assert min(steps) >= known > stage(house, killed).total / EPOCHS
    output = end(house, killed).output or {}
    assert [one["epoch"] for one in output["history"]] == list(range(1, EPOCHS + 1))

    undisturbed = end(house, begin(house, hyper)).output or {}
    assert output["history"] == undisturbed["history"]
    assert output["tuned"] == undisturbed["tuned"]


def test_a_bundle_names_the_weights_that_were_fine_tuned_for_it(house: House) -> None:
    hyper = parse_finetuning("thesis", ["epochs=1", "input_size=32"])
    run_id = begin(house, hyper)
    tuned = (end(house, run_id).output or {})["tuned"]
    bundle_id = (stage(house, run_id, "bundle").output or {})["bundle_id"]
    with house.resources.database.read() as connection:
        manifest = find_bundle(connection, bundle_id).manifest
    assert manifest.backbone.tuned is not None
    assert manifest.backbone.tuned.model_dump() == tuned
    assert manifest.training["finetuning"]["preset"] == "thesis"
