"""What a run sends out, when it ends, and how the sweeper finds what was lost."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from schemas.runs import MemberState, PostScope, Run, RunState
from storage.accounts import PhotoPlace
from storage.members import add_members, claim_members, count_members, note_problem
from storage.photos import photos_of_members
from storage.runs import end_run, read_run
from storage.tables import run_members, runs
from tasks.context import Context
from tasks.runs import feed, fill_shards, resend, send_members, sweep
from tests.adopted import adopted
from tests.unit.storage.builders import new_post, photo
from tests.unit.tasks.builders import (
    BACKBONE,
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


def test_an_account_of_one_shard_is_embedded_and_then_concluded(
    resources: Context, bundle_id: str
) -> None:
    ana = add_plain_account(resources, "ana", posts=2)
    run = start_run(resources, bundle_id, [ana])
    send_members(resources, run, [ana])
    (message,) = sent_messages()
    assert plan([message]) == [("gpu", "images.embed_accounts", (run.id, 0, ana, ana))]
    assert message.body is None
    (after,) = message.callbacks
    assert (after["task"], after["args"]) == ("verdicts.conclude_group", [run.id, 0, ana, ana])
    assert (after["options"]["queue"], after["immutable"]) == ("cpu", True)


def test_an_account_with_many_posts_is_a_chord_of_shards_and_texts(
    resources: Context, bundle_id: str
) -> None:
    size = resources.settings.shard_posts
    ana = add_plain_account(resources, "ana", posts=2 * size + 1)
    run = start_run(resources, bundle_id, [ana])
    send_members(resources, run, [ana])
    messages = sent_messages()
    shards = ((1, size), (size + 1, 2 * size), (2 * size + 1, 2 * size + 1))
    assert plan(messages) == [
        *(("gpu", "images.embed", (run.id, 0, ana, *shard)) for shard in shards),
        ("cpu", "texts.embed", (run.id, 0, ana)),
    ]
    assert len({one.group for one in messages}) == 1
    for one in messages:
        assert one.body is not None
        assert (one.body["task"], one.body["args"]) == ("verdicts.conclude", [run.id, 0, ana])
        assert (one.body["options"]["queue"], one.body["immutable"]) == ("cpu", True)


def test_small_accounts_share_a_shard_and_shards_a_chord(
    resources: Context, bundle_id: str
) -> None:
    members = [add_plain_account(resources, f"ana{number:02}") for number in range(50)]
    run = start_run(resources, bundle_id, members)
    small = Context(resources.settings.model_copy(update={"shard_posts": 2, "chord_shards": 3}))
    send_members(small, run, members)
    small.database.close()
    messages = sent_messages()
    assert [one.args[2:] for one in messages] == [(first, first + 1) for first in range(1, 51, 2)]
    assert {one.task for one in messages} == {"images.embed_accounts"}
    *together, alone = messages
    for number, one in enumerate(together):
        first = number // 3 * 6 + 1
        assert one.body is not None
        body = ("verdicts.conclude_group", [run.id, 0, first, first + 5])
        assert (one.body["task"], one.body["args"]) == body
    assert len({one.group for one in together}) == 8
    assert (alone.body, alone.callbacks[0]["args"]) == (None, [run.id, 0, 49, 50])


def test_a_small_run_is_not_concluded_all_at_once(resources: Context, bundle_id: str) -> None:
    size = resources.settings.shard_posts
    members = [add_plain_account(resources, name, posts=size) for name in ("ana", "eva", "luz")]
    run = start_run(resources, bundle_id, members)
    send_members(resources, run, members)
    assert [one.body for one in sent_messages()] == [None] * 3


def test_a_new_account_is_concluded_without_waiting_for_others(
    resources: Context, bundle_id: str
) -> None:
    size = resources.settings.shard_posts
    members = [add_plain_account(resources, name, posts=size) for name in ("ana", "eva")]
    run = start_run(resources, bundle_id, members, urgent=True)
    send_members(resources, run, members)
    messages = sent_messages()
    assert [one.body for one in messages] == [None, None]
    assert [one.callbacks[0]["args"][2:] for one in messages] == [[1, 1], [2, 2]]


@pytest.mark.parametrize(
    ("counts", "shards"),
    [
        ([], []),
        ([9], [[0]]),
        ([4, 4, 4], [[0, 1], [2]]),
        ([4, 5, 4], [[0], [1], [2]]),
        ([1] * 9, [[0, 1, 2, 3, 4, 5, 6, 7], [8]]),
    ],
)
def test_shards_are_filled_in_order(counts: list[int], shards: list[list[int]]) -> None:
    assert list(fill_shards(list(enumerate(counts)), 8)) == shards


def test_an_account_that_lacks_captions_alone_is_concluded_at_once(
    resources: Context, bundle_id: str
) -> None:
    ana = add_plain_account(resources, "ana")
    keep_vectors(resources, bundle_id, photos=["ana0"])
    send_members(resources, start_run(resources, bundle_id, [ana]), [ana])
    assert [one.task for one in sent_messages()] == ["verdicts.conclude_group"]


def test_only_posts_that_lack_a_vector_are_sent(resources: Context, bundle_id: str) -> None:
    size = resources.settings.shard_posts
    ana = add_plain_account(resources, "ana", posts=size + 3)
    keep_vectors(resources, bundle_id, photos=["ana0", "ana2"])
    run = start_run(resources, bundle_id, [ana])
    send_members(resources, run, [ana])
    assert ("gpu", "images.embed", (run.id, 0, ana, 2, size + 2)) in plan(sent_messages())


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
    ana = add_plain_account(resources, "ana", posts=resources.settings.shard_posts + 1)
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
    embedding = [one for one in messages if one.task == "images.embed_accounts"]
    assert [one.callbacks[0]["options"]["queue"] for one in embedding] == ["cpu.event"]


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
    sent = {one.args[2] for one in sent_messages() if one.task == "images.embed_accounts"}
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
        note_problem(connection, run.id, [1], "The blob store is down.")
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
    assert [one.task for one in sent_messages()] == ["images.embed_accounts"]


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
    assert [one.task for one in sent_messages()] == ["images.embed_accounts"]


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
    assert [one.task for one in sent_messages()] == ["images.embed_accounts"]
    with resources.database.read() as connection:
        assert count_members(connection, run.id)[MemberState.IN_FLIGHT] == 1


def test_the_photos_of_members_in_flight_say_who_shows_them_and_what_was_tried(
    resources: Context, tmp_path: Path
) -> None:
    bundle_id = publish_toy_bundle(resources, tmp_path)
    shown = [new_post(name, photos=shows(name)) for name in ("a", "b")]
    ana = add_account(resources, "ana", shown, photos=["a", "b"])
    eva = add_account(resources, "eva", [new_post("c", photos=shows("c"))], photos=["c"])
    luz = add_account(resources, "luz", [new_post("d", photos=shows("d"))], photos=["d"])
    keep_vectors(resources, bundle_id, photos=["a"])
    run = start_run(resources, bundle_id, [ana, eva])
    with resources.database.read() as connection:
        found = photos_of_members(connection, run.id, BACKBONE.hash, first=ana, last=luz)
        assert found == ({ana, eva}, {photo("a"): True, photo("b"): False, photo("c"): False})
        newest = PostScope(last=1)
        found = photos_of_members(connection, run.id, "another", first=ana, last=ana, scope=newest)
        assert found == ({ana}, {photo("b"): False})
        assert photos_of_members(connection, run.id, "", first=luz, last=luz) == (set(), {})
