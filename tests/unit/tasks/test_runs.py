"""What a run sends out, when it ends, and how the sweeper finds what was lost."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from schemas.runs import MemberState, Run, RunState
from storage.accounts import PhotoPlace
from storage.members import add_members, claim_members, count_members, note_problem
from storage.runs import end_run, read_run
from storage.tables import run_members, runs
from tasks.context import Context
from tasks.runs import feed, resend, send_members, sweep
from tests.adopted import adopted
from tests.unit.storage.builders import new_post
from tests.unit.tasks.builders import (
    add_account,
    keep_vectors,
    publish_toy_bundle,
    shows,
    start_run,
)
from tests.unit.tasks.sent import Message, forget_messages, sent_messages


@pytest.fixture
def bundle_id(resources: Context, tmp_path: Path) -> str:
    return publish_toy_bundle(resources, tmp_path)


def add_plain_account(resources: Context, username: str, posts: int = 1) -> int:
    """An account of whose posts each shows a photo of its own and says something."""
    names = [f"{username}{number}" for number in range(posts)]
    made = [new_post(name, caption=name, photos=shows(name)) for name in names]
    return add_account(resources, username, made, photos=names)


def add_cached_account(resources: Context, bundle_id: str, username: str) -> int:
    found = add_plain_account(resources, username)
    keep_vectors(resources, bundle_id, photos=[f"{username}0"], captions=[f"{username}0"])
    return found


def plan(messages: list[Message]) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(one.queue, one.task, one.args) for one in messages]


def read(resources: Context, run: Run) -> Run:
    with resources.database.read() as connection:
        return read_run(connection, run.id)


def age(resources: Context, run: Run, seconds: float) -> None:
    with resources.database.write() as connection:
        connection.execute(
            update(run_members)
            .where(run_members.c.run_id == run.id)
            .values(touched_at=datetime.now(UTC) - timedelta(seconds=seconds))
        )


def test_an_account_to_embed_is_a_chord_of_photos_and_texts(
    resources: Context, bundle_id: str
) -> None:
    ana = add_plain_account(resources, "ana", posts=2)
    run = start_run(resources, bundle_id, [ana])
    send_members(resources, run, [ana])
    messages = sent_messages()
    assert plan(messages) == [
        ("gpu", "images.embed", (run.id, 0, ana, 1, 2)),
        ("cpu", "texts.embed", (run.id, 0, ana)),
    ]
    assert len({one.group for one in messages}) == 1
    for one in messages:
        assert one.body is not None
        assert (one.body["task"], one.body["args"]) == ("verdicts.conclude", [run.id, 0, ana])
        assert one.body["options"]["queue"] == "cpu"


def test_the_body_is_told_nothing_of_the_headers(resources: Context, bundle_id: str) -> None:
    ana = add_plain_account(resources, "ana")
    send_members(resources, start_run(resources, bundle_id, [ana]), [ana])
    assert all(one.body and one.body["immutable"] for one in sent_messages())


def test_an_account_with_many_posts_is_cut_into_shards(resources: Context, bundle_id: str) -> None:
    size = resources.settings.shard_posts
    ana = add_plain_account(resources, "ana", posts=2 * size + 1)
    run = start_run(resources, bundle_id, [ana])
    send_members(resources, run, [ana])
    shards = [one.args[3:] for one in sent_messages() if one.task == "images.embed"]
    assert shards == [(1, size), (size + 1, 2 * size), (2 * size + 1, 2 * size + 1)]


def test_only_posts_that_lack_a_vector_are_sent(resources: Context, bundle_id: str) -> None:
    ana = add_plain_account(resources, "ana", posts=3)
    keep_vectors(resources, bundle_id, photos=["ana0", "ana2"])
    run = start_run(resources, bundle_id, [ana])
    send_members(resources, run, [ana])
    assert ("gpu", "images.embed", (run.id, 0, ana, 2, 2)) in plan(sent_messages())


def test_photos_are_fetched_before_anything_is_embedded(resources: Context, bundle_id: str) -> None:
    posts = [
        new_post("p1", photos=[PhotoPlace(url="https://example.org/a.jpg")]),
        new_post("p2", caption="hola", photos=shows("a")),
    ]
    ana = add_account(resources, "ana", posts, photos=["a"])
    run = start_run(resources, bundle_id, [ana])
    send_members(resources, run, [ana])
    (message,) = sent_messages()
    assert plan([message]) == [("scrape", "scrape.photos", (run.id, 0, ana, 1, 1))]
    assert message.body is not None
    assert (message.body["task"], message.body["args"]) == ("runs.resend", [run.id, 0, ana])


def test_accounts_that_lack_nothing_go_in_groups_without_a_chord(
    resources: Context, bundle_id: str
) -> None:
    names = ["ana", "eva", "luz", "sol", "paz"]
    members = [add_cached_account(resources, bundle_id, name) for name in names]
    run = start_run(resources, bundle_id, members)
    small = Context(resources.settings.model_copy(update={"group_accounts": 2}))
    send_members(small, run, members)
    small.database.close()
    messages = sent_messages()
    assert plan(messages) == [
        ("cpu", "verdicts.conclude_group", (run.id, 0, first, last))
        for first, last in ((1, 2), (3, 4), (5, 5))
    ]
    assert all(one.body is None for one in messages)


def test_an_account_without_posts_is_concluded_with_the_cached_ones(
    resources: Context, bundle_id: str
) -> None:
    ana = add_account(resources, "ana", [])
    run = start_run(resources, bundle_id, [ana])
    send_members(resources, run, [ana])
    assert plan(sent_messages()) == [("cpu", "verdicts.conclude_group", (run.id, 0, ana, ana))]


def test_a_bundle_without_text_embeds_none(resources: Context, tmp_path: Path) -> None:
    bundle_id = publish_toy_bundle(resources, tmp_path, with_text=False)
    ana = add_plain_account(resources, "ana")
    send_members(resources, start_run(resources, bundle_id, [ana]), [ana])
    assert {one.task for one in sent_messages()} == {"images.embed"}


def test_new_accounts_have_queues_of_their_own_at_every_step(
    resources: Context, bundle_id: str
) -> None:
    url = [PhotoPlace(url="https://example.org/a.jpg")]
    members = [
        add_plain_account(resources, "ana"),
        add_account(resources, "eva", [new_post("p1", photos=url)]),
        add_cached_account(resources, bundle_id, "luz"),
    ]
    run = start_run(resources, bundle_id, members, urgent=True)
    send_members(resources, run, members)
    messages = sent_messages()
    assert {one.queue for one in messages} == {"scrape.event", "gpu.event", "cpu.event"}
    bodies = [one.body for one in messages if one.task == "images.embed"]
    assert [body["options"]["queue"] for body in bodies if body] == ["cpu.event"]


def test_feeding_fills_the_window_and_no_more(resources: Context, bundle_id: str) -> None:
    members = [add_plain_account(resources, name) for name in ("ana", "eva", "luz")]
    run = start_run(resources, bundle_id, members[:1])
    with resources.database.write() as connection:
        add_members(connection, run.id, members)
    with adopted(
        {
            "AFIN_DATA_DIR": str(resources.settings.data_dir),
            "AFIN_BROKER_URL": "memory://",
            "AFIN_RESULT_URL": "cache+memory://",
            "AFIN_RUN_WINDOW": "2",
        }
    ):
        assert feed(run.id) == "sent=1"
        assert feed(run.id) == "in flight=2"
    sent = {one.args[2] for one in sent_messages() if one.task == "images.embed"}
    assert sent == {members[1]}


def test_a_run_ends_when_nobody_is_left(resources: Context, bundle_id: str) -> None:
    run = start_run(resources, bundle_id, [])
    assert feed(run.id) == "done"
    assert read(resources, run).state is RunState.DONE


def test_a_run_of_which_every_account_died_has_failed_and_says_why(
    resources: Context, bundle_id: str
) -> None:
    run = start_run(resources, bundle_id, [add_plain_account(resources, "ana")])
    with resources.database.write() as connection:
        note_problem(connection, run.id, 1, "The blob store is down.")
        connection.execute(update(run_members).values(attempts=resources.settings.max_attempts))
    age(resources, run, resources.settings.member_timeout_s)
    sweep()
    ended = read(resources, run)
    assert ended.state is RunState.FAILED
    assert ended.error == "No account was concluded: The blob store is down."


@pytest.mark.parametrize("state", [RunState.PAUSED, RunState.CANCELLED, RunState.DONE])
def test_a_run_that_is_not_running_is_not_fed(
    resources: Context, bundle_id: str, state: RunState
) -> None:
    run = start_run(resources, bundle_id, [add_plain_account(resources, "ana")])
    with resources.database.write() as connection:
        connection.execute(update(run_members).values(state=MemberState.PENDING))
        connection.execute(update(runs).values(state=state))
    assert feed(run.id) == f"run is {state}"
    assert sent_messages() == []


def test_the_sweeper_sends_silent_accounts_again(resources: Context, bundle_id: str) -> None:
    ana = add_plain_account(resources, "ana")
    run = start_run(resources, bundle_id, [ana])
    assert sweep() == "runs=1 recalled=0"
    assert sent_messages() == []
    age(resources, run, 2 * resources.settings.member_timeout_s)
    assert sweep() == "runs=1 recalled=1"
    assert [one.task for one in sent_messages()] == ["images.embed", "texts.embed"]


def test_the_sweeper_ends_what_nobody_came_back_to_end(resources: Context, bundle_id: str) -> None:
    run = start_run(resources, bundle_id, [])
    sweep()
    assert read(resources, run).state is RunState.DONE


def test_the_sweeper_leaves_ended_runs_alone(resources: Context, bundle_id: str) -> None:
    run = start_run(resources, bundle_id, [add_plain_account(resources, "ana")])
    with resources.database.write() as connection:
        end_run(connection, run.id, RunState.CANCELLED)
    age(resources, run, 2 * resources.settings.member_timeout_s)
    assert sweep() == "runs=0 recalled=0"
    assert sent_messages() == []


def test_a_fetched_account_goes_on_to_be_embedded(resources: Context, bundle_id: str) -> None:
    ana = add_plain_account(resources, "ana")
    run = start_run(resources, bundle_id, [ana])
    assert resend(run.id, 0, ana) == "sent=1"
    assert [one.task for one in sent_messages()] == ["images.embed", "texts.embed"]


def test_a_fetched_account_of_a_cancelled_run_goes_nowhere(
    resources: Context, bundle_id: str
) -> None:
    ana = add_plain_account(resources, "ana")
    run = start_run(resources, bundle_id, [ana])
    assert resend(run.id, 1, ana) == "stale"
    assert sent_messages() == []


def test_sending_again_sends_only_what_is_still_missing(resources: Context, bundle_id: str) -> None:
    ana = add_plain_account(resources, "ana", posts=2)
    run = start_run(resources, bundle_id, [ana])
    send_members(resources, run, [ana])
    forget_messages()
    keep_vectors(resources, bundle_id, photos=["ana0", "ana1"], captions=["ana0", "ana1"])
    send_members(resources, run, [ana])
    assert [one.task for one in sent_messages()] == ["verdicts.conclude_group"]


def test_members_claimed_by_a_feeder_that_died_are_found_by_the_sweeper(
    resources: Context, bundle_id: str
) -> None:
    ana = add_plain_account(resources, "ana")
    run = start_run(resources, bundle_id, [])
    with resources.database.write() as connection:
        add_members(connection, run.id, [ana])
        claim_members(connection, run.id, window=1)
    age(resources, run, 2 * resources.settings.member_timeout_s)
    sweep()
    assert [one.task for one in sent_messages()] == ["images.embed", "texts.embed"]
    with resources.database.read() as connection:
        assert count_members(connection, run.id)[MemberState.IN_FLIGHT] == 1
