"""An account concluded for one run is concluded for every run that waits for the same."""

from pathlib import Path

import pytest

from schemas.runs import MemberState, PostScope, RunKind
from storage.accounts import account_posts
from storage.evidence import Evidence, read_evidence
from storage.members import add_members, count_members
from storage.runs import create_run, read_run
from storage.sharing import adopt_verdicts, runs_alike
from storage.verdicts import run_verdicts
from tasks.context import Context
from tasks.runs import feed
from tasks.verdicts import conclude
from tests.unit.storage.builders import new_post
from tests.unit.tasks.builders import add_account, publish_toy_bundle, start_run
from tests.unit.tasks.sent import forget_messages, sent_messages


@pytest.fixture
def bundle_id(resources: Context, tmp_path: Path) -> str:
    return publish_toy_bundle(resources, tmp_path, with_text=False)


def state(resources: Context, run_id: int) -> dict[MemberState, int]:
    with resources.database.read() as connection:
        found = count_members(connection, run_id)
    return {key: count for key, count in found.items() if count}


def open_run(resources: Context, bundle_id: str, member: int, *, urgent: bool = False) -> int:
    """A run whose account still waits its turn."""
    with resources.database.write() as connection:
        params = {"urgent": urgent}
        run_id = create_run(connection, RunKind.CLASSIFY, params=params, bundle_id=bundle_id)
        add_members(connection, run_id, [member])
    return run_id


def test_one_conclusion_serves_every_run(resources: Context, bundle_id: str) -> None:
    ana = add_account(resources, "ana", [new_post("p1")])
    first = start_run(resources, bundle_id, [ana])
    waiting = open_run(resources, bundle_id, ana)
    conclude(first.id, 0, ana)
    for run_id in (first.id, waiting):
        assert state(resources, run_id) == {MemberState.DONE: 1}
        with resources.database.read() as connection:
            assert [one.username for one in run_verdicts(connection, run_id)] == ["ana"]


def test_a_run_by_another_bundle_or_over_other_posts_is_left_alone(
    resources: Context, bundle_id: str
) -> None:
    ana = add_account(resources, "ana", [new_post("p1")])
    first = start_run(resources, bundle_id, [ana])
    with resources.database.write() as connection:
        scope = PostScope(last=5).model_dump(mode="json")
        params = {"scope": scope}
        other = create_run(connection, RunKind.CLASSIFY, params=params, bundle_id=bundle_id)
        add_members(connection, other, [ana])
    conclude(first.id, 0, ana)
    assert state(resources, other) == {MemberState.PENDING: 1}


def test_a_verdict_without_the_newest_posts_serves_its_own_run_only(
    resources: Context, bundle_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = add_account(resources, "ana", [new_post("p1")])
    first = start_run(resources, bundle_id, [ana])
    other = start_run(resources, bundle_id, [ana])

    def read_then_change(*arguments: object) -> Evidence:
        found = read_evidence(*arguments)  # type: ignore[arg-type]
        monkeypatch.undo()
        add_account(Context(resources.settings), "ana", [new_post("p2")])
        return found

    monkeypatch.setattr("tasks.verdicts.read_evidence", read_then_change)
    conclude(first.id, 0, ana)
    assert state(resources, first.id) == {MemberState.DONE: 1}
    assert state(resources, other.id) == {MemberState.IN_FLIGHT: 1}
    assert ("runs.resend", (other.id, 0, ana)) in [(one.task, one.args) for one in sent_messages()]


def test_what_another_run_has_on_its_way_is_not_sent_twice(
    resources: Context, bundle_id: str
) -> None:
    ana = add_account(resources, "ana", [new_post("p1")])
    start_run(resources, bundle_id, [ana])
    second = open_run(resources, bundle_id, ana)
    assert feed(second) == "sent=0 shared=1"
    assert sent_messages() == []


def test_an_urgent_run_waits_for_no_bulk_run(resources: Context, bundle_id: str) -> None:
    ana = add_account(resources, "ana", [new_post("p1")])
    start_run(resources, bundle_id, [ana])
    urgent = open_run(resources, bundle_id, ana, urgent=True)
    forget_messages()
    assert feed(urgent) == "sent=1"


def test_what_a_run_that_goes_on_has_concluded_is_taken_over(
    resources: Context, bundle_id: str
) -> None:
    ana = add_account(resources, "ana", [new_post("p1")])
    eva = add_account(resources, "eva", [new_post("p1")])
    first = start_run(resources, bundle_id, [ana, eva])
    conclude(first.id, 0, ana)
    conclude(first.id, 0, eva)
    add_account(resources, "eva", [new_post("p2")])
    with resources.database.write() as connection:
        params = {"urgent": False}
        second = create_run(connection, RunKind.CLASSIFY, params=params, bundle_id=bundle_id)
        add_members(connection, second, [ana, eva])
        run = read_run(connection, second)
        assert adopt_verdicts(connection, run, [r.id for r in runs_alike(connection, run)]) == 1
    assert state(resources, second) == {MemberState.DONE: 1, MemberState.PENDING: 1}


def test_only_the_newest_posts_count_where_the_run_says_so(
    resources: Context, bundle_id: str
) -> None:
    ana = add_account(resources, "ana", [new_post(f"p{number}") for number in range(5)])
    with resources.database.read() as connection:
        found = account_posts(connection, [ana], PostScope(last=2))[ana]
    assert [post.external_id for post in found] == ["p3", "p4"]
