"""A run's members move from waiting to done, and what gets lost is found again."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, select, update

from schemas.errors import NotFoundError
from schemas.runs import MemberState, RunKind, RunState
from storage.database import Database
from storage.members import (
    PATIENCE,
    add_every_account,
    add_members,
    claim_members,
    count_members,
    dead_members,
    finish_members,
    note_problem,
    recall_overdue,
)
from storage.runs import create_run, end_run, is_current, read_progress, read_run
from storage.tables import run_members
from tests.unit.storage.builders import add_account, add_some_bundle

TIMEOUT_S = 60.0


def start_run(connection: Connection, names: str) -> tuple[int, list[int]]:
    members = [add_account(connection, name) for name in names]
    run_id = create_run(
        connection, RunKind.CLASSIFY, params={}, bundle_id=add_some_bundle(connection)
    )
    add_members(connection, run_id, members)
    return run_id, members


def age(connection: Connection, run_id: int, influencer_id: int, seconds: float) -> None:
    connection.execute(
        update(run_members)
        .where(run_members.c.run_id == run_id, run_members.c.influencer_id == influencer_id)
        .values(touched_at=datetime.now(UTC) - timedelta(seconds=seconds))
    )


def recall(connection: Connection, run_id: int, max_attempts: int = 5) -> tuple[int, int]:
    return recall_overdue(connection, run_id, timeout_s=TIMEOUT_S, max_attempts=max_attempts)


def test_claiming_never_exceeds_the_window(database: Database) -> None:
    with database.write() as connection:
        run_id, members = start_run(connection, "abcde")
        assert claim_members(connection, run_id, window=3) == members[:3]
        assert claim_members(connection, run_id, window=3) == []
        finish_members(connection, run_id, members[:2])
        assert claim_members(connection, run_id, window=3) == members[3:]


def test_a_member_added_twice_is_one(database: Database) -> None:
    with database.write() as connection:
        run_id, members = start_run(connection, "ab")
        add_members(connection, run_id, members)
        assert sum(count_members(connection, run_id).values()) == 2


def test_every_account_becomes_a_member(database: Database) -> None:
    with database.write() as connection:
        for name in "abc":
            add_account(connection, name)
        run_id = create_run(connection, RunKind.CLASSIFY, params={})
        assert add_every_account(connection, run_id) == 3
        assert count_members(connection, run_id)[MemberState.PENDING] == 3


def test_progress_counts_the_dead_as_done_and_failed(database: Database) -> None:
    with database.write() as connection:
        run_id, members = start_run(connection, "abc")
        claim_members(connection, run_id, window=3)
        finish_members(connection, run_id, members[:1])
        age(connection, run_id, members[0], TIMEOUT_S * 2)
        age(connection, run_id, members[1], TIMEOUT_S * 2)
        age(connection, run_id, members[2], TIMEOUT_S * 2)
        recall(connection, run_id, max_attempts=1)
        progress = read_progress(connection, run_id)
    assert (progress.total, progress.done, progress.failed) == (3, 3, 2)


def test_a_silent_run_sends_its_members_again(database: Database) -> None:
    with database.write() as connection:
        run_id, members = start_run(connection, "ab")
        claim_members(connection, run_id, window=2)
        for member in members:
            age(connection, run_id, member, TIMEOUT_S * 1.5)
        assert recall(connection, run_id) == (2, 0)
        assert claim_members(connection, run_id, window=2) == members


def test_a_silent_member_waits_its_turn_while_others_move(database: Database) -> None:
    with database.write() as connection:
        run_id, members = start_run(connection, "ab")
        claim_members(connection, run_id, window=2)
        age(connection, run_id, members[0], TIMEOUT_S * 1.5)
        assert recall(connection, run_id) == (0, 0)
        age(connection, run_id, members[0], TIMEOUT_S * (PATIENCE + 1))
        assert recall(connection, run_id) == (1, 0)


def test_the_sweeper_brings_a_moved_clock_to_this_moment(database: Database) -> None:
    with database.write() as connection:
        run_id, members = start_run(connection, "a")
        claim_members(connection, run_id, window=1)
        age(connection, run_id, members[0], -3600)
        recall(connection, run_id)
        touched = connection.scalar(select(run_members.c.touched_at))
    assert touched is not None
    assert touched <= datetime.now(UTC)


def test_an_attempt_known_to_have_failed_is_repeated_soon(database: Database) -> None:
    with database.write() as connection:
        run_id, members = start_run(connection, "ab")
        claim_members(connection, run_id, window=2)
        note_problem(connection, run_id, members[:1], "no weights")
        age(connection, run_id, members[0], TIMEOUT_S / 4)
        age(connection, run_id, members[1], TIMEOUT_S / 4)
        assert recall(connection, run_id) == (1, 0)


def test_a_member_that_failed_too_often_is_given_up_with_its_reason(database: Database) -> None:
    with database.write() as connection:
        run_id, members = start_run(connection, "a")
        claim_members(connection, run_id, window=1)
        note_problem(connection, run_id, members[:1], "no weights")
        age(connection, run_id, members[0], TIMEOUT_S * 2)
        assert recall(connection, run_id, max_attempts=1) == (0, 1)
        assert dead_members(connection, run_id) == [("a", "no weights")]


def test_a_run_ends_once(database: Database) -> None:
    with database.write() as connection:
        run_id, _members = start_run(connection, "a")
        assert end_run(connection, run_id, RunState.DONE)
        assert not end_run(connection, run_id, RunState.FAILED, error="late")
        assert read_run(connection, run_id).state is RunState.DONE


def test_messages_of_a_cancelled_run_are_stale(database: Database) -> None:
    with database.write() as connection:
        run_id, _members = start_run(connection, "a")
        generation = read_run(connection, run_id).generation
        assert is_current(read_run(connection, run_id), generation)
        end_run(connection, run_id, RunState.CANCELLED)
        cancelled = read_run(connection, run_id)
    assert not is_current(cancelled, generation)
    assert not is_current(cancelled, cancelled.generation)


def test_an_unknown_run_is_said_to_be_unknown(database: Database) -> None:
    with database.read() as connection, pytest.raises(NotFoundError, match="no run 77"):
        read_run(connection, 77)
