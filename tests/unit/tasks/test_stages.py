"""A stage of a training is done once, tried again when it should be, and heard of meanwhile."""

import threading
import time
from typing import Any

import pytest

from schemas.errors import AfinError, BlobError, DatabaseError, TrainingError
from schemas.runs import Run, RunKind, RunState
from storage.runs import create_run, end_run, read_run
from storage.stages import (
    DONE,
    PENDING,
    RUNNING,
    Stage,
    add_stages,
    finish_stage,
    promise_lease,
    read_stages,
    take_lease,
)
from tasks.context import Context
from tasks.stages import Outputs, Report, Work, _heartbeat, describe_failure, run_stage
from tasks.train import STAGES, advance
from tests.unit.tasks.sent import forget_messages, sent_messages


@pytest.fixture
def run(resources: Context) -> Run:
    with resources.database.write() as connection:
        run_id = create_run(connection, RunKind.TRAIN, params={"classes": ["comida"], "until": 0})
        add_stages(connection, run_id, STAGES)
        return read_run(connection, run_id)


def read(resources: Context, run: Run) -> Run:
    with resources.database.read() as connection:
        return read_run(connection, run.id)


def stage(resources: Context, run: Run, name: str) -> Stage:
    with resources.database.read() as connection:
        return read_stages(connection, run.id)[name]


def give(output: dict[str, Any]) -> Work:
    return lambda _resources, _run, _outputs, _report: output


def fail(error: Exception) -> Work:
    def work(_resources: Context, _run: Run, _outputs: Outputs, _report: Report) -> dict[str, Any]:
        raise error

    return work


def test_the_output_of_a_stage_is_kept_for_the_next(resources: Context, run: Run) -> None:
    found: list[Outputs] = []

    def look(_resources: Context, _run: Run, outputs: Outputs, _report: Report) -> dict[str, Any]:
        found.append(outputs)
        return {}

    assert run_stage(run.id, 0, "text", give({"text_model": None})).startswith("done in ")
    run_stage(run.id, 0, "reduce", look)
    assert found == [{"text": {"text_model": None}}]
    assert stage(resources, run, "text").state == DONE


def test_a_stage_that_is_done_is_not_done_again(resources: Context, run: Run) -> None:
    run_stage(run.id, 0, "text", give({"first": True}))
    assert run_stage(run.id, 0, "text", give({"first": False})) == "held by another worker"
    assert stage(resources, run, "text").output == {"first": True}


def test_a_stage_that_somebody_holds_is_left_to_them(resources: Context, run: Run) -> None:
    with resources.database.write() as connection:
        assert take_lease(connection, run.id, "text", holder="somebody", lease_s=60)
    assert run_stage(run.id, 0, "text", give({})) == "held by another worker"


def test_a_lease_that_has_lapsed_is_taken_over(resources: Context, run: Run) -> None:
    with resources.database.write() as connection:
        assert take_lease(connection, run.id, "text", holder="dead", lease_s=0)
    assert run_stage(run.id, 0, "text", give({})).startswith("done in ")


@pytest.mark.parametrize("generation", [-1, 1])
def test_a_message_of_another_generation_does_nothing(
    resources: Context, run: Run, generation: int
) -> None:
    assert run_stage(run.id, generation, "text", give({})) == "stale"
    assert stage(resources, run, "text").state == PENDING


@pytest.mark.parametrize("error", [TrainingError("No photo is left."), AfinError("No luck.")])
def test_an_error_of_ours_fails_the_run_with_one_clear_sentence(
    resources: Context, run: Run, error: AfinError
) -> None:
    assert run_stage(run.id, 0, "reduce", fail(error)) == f"failed: {error}"
    ended = read(resources, run)
    assert ended.state is RunState.FAILED
    assert ended.error == f"Training stopped at stage 'reduce': {error}"
    advance(run.id)
    assert sent_messages() == []


def test_a_failure_is_described_with_one_full_stop() -> None:
    assert describe_failure("text", "No words.") == describe_failure("text", "No words")


@pytest.mark.parametrize("error", [BlobError("The store is down."), ZeroDivisionError("oops")])
def test_an_error_that_may_pass_gives_the_stage_back(
    resources: Context, run: Run, error: Exception
) -> None:
    assert run_stage(run.id, 0, "reduce", fail(error)).startswith("failed: ")
    left = stage(resources, run, "reduce")
    assert (left.state, left.attempts, left.held) == (PENDING, 1, False)
    assert str(error) in str(left.problem)
    assert read(resources, run).state is RunState.RUNNING


def test_a_stage_is_tried_again_as_often_as_allowed_and_then_fails_the_run(
    resources: Context, run: Run
) -> None:
    most = resources.settings.max_attempts
    for _attempt in range(most):
        assert advance(run.id) == "sent backbone"
        run_stage(run.id, 0, "backbone", fail(ZeroDivisionError("oops")))
    assert len(sent_messages()) == most
    assert advance(run.id) == "failed"
    ended = read(resources, run)
    assert ended.state is RunState.FAILED
    assert ended.error == "Training stopped at stage 'backbone': ZeroDivisionError: oops."


def test_a_stage_whose_worker_is_lost_each_time_fails_the_run(resources: Context, run: Run) -> None:
    for _attempt in range(resources.settings.max_attempts):
        with resources.database.write() as connection:
            assert take_lease(connection, run.id, "backbone", holder="lost", lease_s=0)
            promise_lease(connection, run.id, "backbone", lease_s=0)
    assert advance(run.id) == "failed"
    assert "its worker was lost each time" in str(read(resources, run).error)


def test_a_message_that_waits_for_a_worker_is_no_attempt(resources: Context, run: Run) -> None:
    for _message in range(3 * resources.settings.max_attempts):
        with resources.database.write() as connection:
            promise_lease(connection, run.id, "backbone", lease_s=0)
    assert advance(run.id) == "sent backbone"


def test_stages_are_sent_in_order_and_only_while_nobody_holds_them(
    resources: Context, run: Run
) -> None:
    assert advance(run.id) == "sent backbone"
    assert advance(run.id) == "backbone is held"
    for name in STAGES:
        with resources.database.write() as connection:
            finish_stage(connection, run.id, name, output={})
        advance(run.id)
    assert sorted(one.task for one in sent_messages()) == sorted(f"train.{name}" for name in STAGES)
    assert read(resources, run).state is RunState.DONE


def test_each_stage_goes_to_the_worker_that_can_do_it(resources: Context, run: Run) -> None:
    for name in STAGES:
        advance(run.id)
        with resources.database.write() as connection:
            finish_stage(connection, run.id, name, output={})
    assert {one.task.removeprefix("train."): one.queue for one in sent_messages()} == {
        "backbone": "gpu",
        "vectors": "control",
        "split": "cpu",
        "labels": "train",
        "text": "cpu",
        "reduce": "cpu",
        "network": "train",
        "svm": "cpu",
        "fuse": "cpu",
        "bundle": "cpu",
    }


def test_a_training_that_was_cancelled_is_not_gone_on_with(resources: Context, run: Run) -> None:
    with resources.database.write() as connection:
        end_run(connection, run.id, RunState.CANCELLED)
    assert advance(run.id) == "run is cancelled"
    assert sent_messages() == []


def test_progress_is_heard_of_while_a_stage_works(resources: Context, run: Run) -> None:
    heard = threading.Event()

    def work(_resources: Context, _run: Run, _outputs: Outputs, report: Report) -> dict[str, Any]:
        report(3, 25)
        for _look in range(500):
            if stage(resources, run, "network").total == 25:
                heard.set()
                break
            heard.wait(0.02)
        return {}

    run_stage(run.id, 0, "network", work)
    assert heard.is_set()


def test_a_stage_finished_by_another_worker_keeps_that_ones_output(
    resources: Context, run: Run
) -> None:
    def overtaken(
        _resources: Context, _run: Run, _outputs: Outputs, _report: Report
    ) -> dict[str, Any]:
        with resources.database.write() as connection:
            finish_stage(connection, run.id, "text", output={"whose": "theirs"})
        return {"whose": "ours"}

    run_stage(run.id, 0, "text", overtaken)
    assert stage(resources, run, "text").output == {"whose": "theirs"}
    forget_messages()


def test_a_failure_of_a_worker_that_was_overtaken_ends_nothing(
    resources: Context, run: Run
) -> None:
    def overtaken(
        _resources: Context, _run: Run, _outputs: Outputs, _report: Report
    ) -> dict[str, Any]:
        with resources.database.write() as connection:
            promise_lease(connection, run.id, "text", lease_s=60)
            assert take_lease(connection, run.id, "text", holder="another", lease_s=60)
        raise TrainingError("No photo is left.")

    run_stage(run.id, 0, "text", overtaken)
    assert read(resources, run).state is RunState.RUNNING
    assert stage(resources, run, "text").held


def test_a_worker_that_was_silent_goes_on_if_nobody_took_its_stage(
    resources: Context, run: Run
) -> None:
    def silent(_resources: Context, _run: Run, _outputs: Outputs, report: Report) -> dict[str, Any]:
        with resources.database.write() as connection:
            promise_lease(connection, run.id, "text", lease_s=-1)
        end = time.monotonic() + 30
        while stage(resources, run, "text").state != RUNNING and time.monotonic() < end:
            report(1, 2)
        return {"whose": "ours"}

    run_stage(run.id, 0, "text", silent)
    assert stage(resources, run, "text").output == {"whose": "ours"}


def test_a_database_that_is_away_for_a_moment_does_not_end_the_signs_of_life(
    resources: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = threading.Event()
    calls: list[int] = []

    def keep(*_arguments: object, **_fields: object) -> bool:
        calls.append(1)
        if len(calls) == 1:
            raise DatabaseError("The database is away.")
        heard.set()
        return True

    monkeypatch.setattr("tasks.stages.keep_lease", keep)
    with _heartbeat(resources, 1, "network", "one"):
        assert heard.wait(30)
