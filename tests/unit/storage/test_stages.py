"""A stage of a training is held by one worker and done once."""

import pytest
from sqlalchemy import Connection

from schemas.runs import RunKind
from storage.database import Database
from storage.runs import create_run
from storage.stages import (
    DONE,
    add_stages,
    drop_lease,
    finish_stage,
    keep_lease,
    promise_lease,
    read_stages,
    take_lease,
)


@pytest.fixture
def connection(database: Database):  # type: ignore[no-untyped-def]
    with database.write() as opened:
        yield opened


def start(connection: Connection) -> int:
    run_id = create_run(connection, RunKind.TRAIN, params={})
    add_stages(connection, run_id, ("text",))
    return run_id


def take(connection: Connection, run_id: int, holder: str, lease_s: float = 60) -> bool:
    return take_lease(connection, run_id, "text", holder=holder, lease_s=lease_s)


def test_only_one_worker_holds_a_stage(connection: Connection) -> None:
    run_id = start(connection)
    assert take(connection, run_id, "one")
    assert not take(connection, run_id, "two")


def test_a_lapsed_lease_can_be_taken_over(connection: Connection) -> None:
    run_id = start(connection)
    assert take(connection, run_id, "one", lease_s=-1)
    assert take(connection, run_id, "two")


def test_a_promised_stage_is_held_and_can_be_taken(connection: Connection) -> None:
    run_id = start(connection)
    promise_lease(connection, run_id, "text", lease_s=60)
    assert read_stages(connection, run_id)["text"].held
    assert take(connection, run_id, "one")


def test_only_lost_and_failed_attempts_count(connection: Connection) -> None:
    run_id = start(connection)
    promise_lease(connection, run_id, "text", lease_s=-1)
    promise_lease(connection, run_id, "text", lease_s=-1)
    assert read_stages(connection, run_id)["text"].attempts == 0
    take(connection, run_id, "one", lease_s=-1)
    promise_lease(connection, run_id, "text", lease_s=60)
    assert read_stages(connection, run_id)["text"].attempts == 1
    take(connection, run_id, "two")
    drop_lease(connection, run_id, "text", holder="two", problem="disk full")
    stage = read_stages(connection, run_id)["text"]
    assert (stage.attempts, stage.problem, stage.held) == (2, "disk full", False)


def test_a_worker_that_lost_its_lease_does_not_finish_the_stage(connection: Connection) -> None:
    run_id = start(connection)
    take(connection, run_id, "one", lease_s=-1)
    take(connection, run_id, "two")
    assert not finish_stage(connection, run_id, "text", output={"by": 1}, holder="one")
    assert finish_stage(connection, run_id, "text", output={"by": 2}, holder="two")
    stage = read_stages(connection, run_id)["text"]
    assert (stage.state, stage.output) == (DONE, {"by": 2})


def test_a_worker_that_lost_its_lease_does_not_renew_that_of_another(
    connection: Connection,
) -> None:
    run_id = start(connection)
    take(connection, run_id, "one", lease_s=-1)
    take(connection, run_id, "two", lease_s=-1)
    assert not keep_lease(connection, run_id, "text", holder="one", lease_s=60, done=1)
    stage = read_stages(connection, run_id)["text"]
    assert (stage.held, stage.done) == (False, 0)
    assert keep_lease(connection, run_id, "text", holder="two", lease_s=60, done=2)
    stage = read_stages(connection, run_id)["text"]
    assert (stage.held, stage.done) == (True, 2)


def test_a_worker_that_lost_its_lease_does_not_give_away_that_of_another(
    connection: Connection,
) -> None:
    run_id = start(connection)
    take(connection, run_id, "one", lease_s=-1)
    take(connection, run_id, "two")
    assert not drop_lease(connection, run_id, "text", holder="one", problem="disk full")
    stage = read_stages(connection, run_id)["text"]
    assert (stage.held, stage.attempts, stage.problem) == (True, 0, None)


def test_a_stage_of_many_messages_is_renewed_by_each_but_not_once_a_worker_holds_it(
    connection: Connection,
) -> None:
    run_id = start(connection)
    promise_lease(connection, run_id, "text", lease_s=-1)
    assert keep_lease(connection, run_id, "text", holder=None, lease_s=60)
    take(connection, run_id, "one")
    assert not keep_lease(connection, run_id, "text", holder=None, lease_s=60)


def test_a_finished_stage_is_never_taken_again(connection: Connection) -> None:
    run_id = start(connection)
    finish_stage(connection, run_id, "text", output={})
    assert not take(connection, run_id, "one")
