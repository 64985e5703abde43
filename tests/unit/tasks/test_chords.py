"""A header task never fails its chord, and what hurt a member is noted on it."""

import logging
from pathlib import Path

import pytest
from celery.exceptions import Reject
from sqlalchemy import select

from schemas.errors import AfinError, BlobError, LostDatabaseError
from storage.tables import run_members
from tasks.chords import handing_back, never_failing, noting_problems, waiting_for_database
from tasks.context import Context
from tests.unit.storage.builders import new_post
from tests.unit.tasks.builders import add_account, publish_toy_bundle, start_run


def test_what_a_task_returns_passes_through() -> None:
    @never_failing
    def add(first: int, second: int) -> str:
        return f"sum={first + second}"

    assert add(2, second=3) == "sum=5"
    assert add.__name__ == "add"


def test_an_error_of_ours_becomes_a_status_with_its_message() -> None:
    @never_failing
    def fetch() -> str:
        raise BlobError("The blob store is down.")

    assert fetch() == "failed: The blob store is down."


def test_any_other_error_becomes_a_status_and_is_logged_whole(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @never_failing
    def divide(number: int) -> str:
        return str(number // 0)

    with caplog.at_level(logging.ERROR):
        assert divide(7) == "failed: ZeroDivisionError"
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "divide(7,)" in record.message


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_a_worker_that_is_told_to_stop_stops(signal: type[BaseException]) -> None:
    @never_failing
    def wait() -> str:
        raise signal

    with pytest.raises(signal):
        wait()


def test_a_problem_is_noted_on_the_member_it_hurt(resources: Context, tmp_path: Path) -> None:
    bundle_id = publish_toy_bundle(resources, tmp_path)
    hurt, other = (add_account(resources, name, [new_post("p1")]) for name in ("ana", "eva"))
    run = start_run(resources, bundle_id, [hurt, other])
    with (
        pytest.raises(BlobError),
        noting_problems(resources, run.id, hurt),
    ):
        raise BlobError("The blob store is down.")
    with resources.database.read() as connection:
        found = dict(
            connection.execute(select(run_members.c.influencer_id, run_members.c.problem)).all()
        )
    assert found == {hurt: "The blob store is down.", other: None}


def test_a_database_that_is_away_is_a_status_for_the_sweeper() -> None:
    @waiting_for_database
    def ask() -> str:
        raise LostDatabaseError("The database cannot be reached.")

    assert ask() == "no database"


def test_a_shard_that_a_stopping_worker_cannot_end_goes_back_to_its_queue() -> None:
    @never_failing
    def embed() -> str:
        with handing_back(lambda: True):
            raise AfinError("The worker is stopping.")

    with pytest.raises(Reject) as rejected:
        embed()
    assert rejected.value.requeue


def test_a_shard_that_fails_in_a_worker_at_work_is_answered() -> None:
    @never_failing
    def embed() -> str:
        with handing_back(lambda: False):
            raise AfinError("The photo store does not answer.")

    assert embed() == "failed: The photo store does not answer."
