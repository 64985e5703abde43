"""Events become runs, runs become answers, and nothing is lost or told twice on the way."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu.transport.memory import Channel
from sqlalchemy import func, select, update

from schemas.events import AnswerType, DeliveryState, EventState
from schemas.runs import MemberState, Run, RunState
from storage.accounts import PhotoPlace, account_posts, find_account
from storage.event_tables import inbox
from storage.inbox import claim_events, mark_fetching, replay_events
from storage.members import read_member
from storage.outbox import claim_answers, settle_answer
from storage.photos import doomed_photos
from storage.runs import end_run, list_runs
from storage.tables import image_vectors, influencers, photos, run_members, text_vectors
from tasks.context import Context, context
from tasks.erasing import erase_doomed
from tasks.events import fetch, handle, sweep_events
from tasks.runs import feed
from tasks.verdicts import conclude
from tests.adopted import adopted
from tests.unit.storage.builders import new_post, photo
from tests.unit.tasks.builders import add_account, keep_vectors, publish_toy_bundle, shows
from tests.unit.tasks.events import a_post, answers, events, hurry, payloads, tell
from tests.unit.tasks.sent import forget_messages, sent_messages

SETTINGS = {
    "AFIN_BROKER_URL": "memory://",
    "AFIN_RESULT_URL": "cache+memory://",
    "AFIN_CALLBACK_URL": "https://platform.example/verdicts",
    "AFIN_MAX_ATTEMPTS": "3",
}


@pytest.fixture
def resources(tmp_path: Path) -> Iterator[Context]:
    """A store whose events are answered."""
    with adopted({"AFIN_DATA_DIR": str(tmp_path / "data"), **SETTINGS}):
        yield context()
        Channel.queues.clear()


@pytest.fixture
def bundle_id(resources: Context, tmp_path: Path) -> str:
    return publish_toy_bundle(resources, tmp_path)


def the_runs(resources: Context) -> list[Run]:
    with resources.database.read() as connection:
        return list_runs(connection)[::-1]


def account_id(resources: Context, username: str = "ana") -> int:
    with resources.database.read() as connection:
        return find_account(connection, username).id


def conclude_all(resources: Context) -> None:
    """Do what workers would do for every run: feed it, and conclude its accounts."""
    for run in the_runs(resources):
        feed(run.id)
        with resources.database.read() as connection:
            query = select(run_members.c.influencer_id).where(run_members.c.run_id == run.id)
            members = list(connection.scalars(query))
        for member in members:
            conclude(run.id, run.generation, member)


def test_an_event_is_taken_in_and_its_account_classified_before_bulk_work(
    resources: Context, bundle_id: str
) -> None:
    tell(resources, "e1", posts=[a_post("p1", ["https://example.org/1.jpg"])])
    assert handle() == "events=1 accounts=1"
    (run,) = the_runs(resources)
    assert run.urgent
    assert run.bundle_id == bundle_id
    assert events(resources)["e1"].state is EventState.CLASSIFYING
    messages = [(one.queue, one.task, one.args) for one in sent_messages()]
    assert messages == [("control.event", "runs.feed", (run.id,))]
    forget_messages()
    feed(run.id)
    (message,) = sent_messages()
    assert (message.queue, message.task) == ("scrape.event", "scrape.photos")
    assert message.body is not None
    assert message.body["options"]["queue"] == "control.event"


def test_a_verdict_is_answered_once_in_the_transaction_that_stores_it(
    resources: Context, bundle_id: str
) -> None:
    tell(resources, "e1", posts=[])
    handle()
    conclude_all(resources)
    conclude_all(resources)
    (answer,) = answers(resources)
    assert (answer.type, answer.state) == (AnswerType.CONCLUDED, DeliveryState.PENDING)
    (payload,) = payloads(resources)
    assert payload["data"]["events"] == ["e1"]
    assert payload["data"]["username"] == "ana"
    assert payload["data"]["methods"]["nn"]["categories"] == []
    assert events(resources)["e1"].state is EventState.DONE
    sent = [one.task for one in sent_messages()]
    assert sent.count("deliver.due") == 1


def test_an_event_of_a_sender_without_callback_is_done_without_an_answer(
    tmp_path: Path,
) -> None:
    quiet = {name: value for name, value in SETTINGS.items() if name != "AFIN_CALLBACK_URL"}
    with adopted({"AFIN_DATA_DIR": str(tmp_path / "data"), **quiet}):
        resources = context()
        publish_toy_bundle(resources, tmp_path)
        tell(resources, "e1", posts=[])
        handle()
        conclude_all(resources)
        assert answers(resources) == []
        assert events(resources)["e1"].state is EventState.DONE
        Channel.queues.clear()


def test_a_burst_for_one_account_is_one_verdict_and_one_answer(
    resources: Context, bundle_id: str
) -> None:
    for number in range(10):
        tell(resources, f"e{number}", kind="post.created", posts=[a_post(f"p{number}")])
    handle()
    keep_vectors(resources, bundle_id)
    (run,) = the_runs(resources)
    with resources.database.read() as connection:
        ana = account_id(resources)
        assert len(account_posts(connection, [ana])[ana]) == 10
        assert run.params["accounts"] == 1
        captions = [post.caption for post in account_posts(connection, [ana])[ana]]
    assert len(captions) == 10


def test_what_comes_while_an_account_is_classified_waits_and_then_goes_together(
    resources: Context, bundle_id: str
) -> None:
    tell(resources, "e1", posts=[])
    handle()
    for number in (2, 3):
        tell(resources, f"e{number}", kind="influencer.updated", posts=[])
    assert handle() == "events=0 accounts=0"
    conclude_all(resources)
    assert "events.handle" in [one.task for one in sent_messages()]
    assert handle() == "events=2 accounts=1"
    conclude_all(resources)
    assert [payload["data"]["events"] for payload in payloads(resources)] == [
        ["e1"],
        ["e2", "e3"],
    ]


def test_each_sender_gets_an_answer_of_its_own(resources: Context, bundle_id: str) -> None:
    tell(resources, "e1", posts=[])
    tell(resources, "e1", posts=[], sender="agency")
    handle()
    conclude_all(resources)
    assert sorted(answer.sender for answer in answers(resources)) == ["agency", "default"]


def test_an_event_whose_handler_died_is_taken_up_again(resources: Context, bundle_id: str) -> None:
    tell(resources, "e1", posts=[])
    with resources.database.write() as connection:
        claim_events(connection, limit=10, lease_s=60)
    assert handle() == "events=0 accounts=0"
    hurry(resources)
    assert handle() == "events=1 accounts=1"


def test_without_a_model_an_event_is_tried_a_few_times_and_then_dead(resources: Context) -> None:
    tell(resources, "e1", posts=[])
    for _ in range(5):
        handle()
        hurry(resources)
    event = events(resources)["e1"]
    assert (event.state, event.attempts) == (EventState.DEAD, 3)
    assert "afin train" in (event.problem or "")
    (payload,) = payloads(resources)
    assert payload["type"] == "verdict.failed"
    assert "afin train" in payload["data"]["problem"]


def test_a_dead_event_can_be_replayed(resources: Context, tmp_path: Path) -> None:
    test_without_a_model_an_event_is_tried_a_few_times_and_then_dead(resources)
    publish_toy_bundle(resources, tmp_path)
    with resources.database.write() as connection:
        assert replay_events(connection) == 1
    handle()
    conclude_all(resources)
    assert events(resources)["e1"].state is EventState.DONE
    assert [answer.type for answer in answers(resources)] == [
        AnswerType.FAILED,
        AnswerType.CONCLUDED,
    ]


def test_an_unknown_name_that_nobody_may_ask_for_is_dead_at_once_and_says_what_to_do(
    resources: Context, bundle_id: str
) -> None:
    tell(resources, "e1")
    tell(resources, "e2", "eva", posts=[])
    assert handle() == "events=2 accounts=1"
    event = events(resources)["e1"]
    assert event.state is EventState.DEAD
    assert "AFIN_INSTAGRAM_TOKEN" in (event.problem or "")
    assert events(resources)["e2"].state is EventState.CLASSIFYING


def test_a_known_account_is_classified_by_the_posts_there_are(
    resources: Context, bundle_id: str
) -> None:
    add_account(resources, "ana", [new_post("p1")])
    tell(resources, "e1", kind="influencer.updated")
    assert handle() == "events=1 accounts=1"


def test_a_lost_fetch_is_repeated_and_given_up_in_the_end(
    resources: Context, bundle_id: str
) -> None:
    tell(resources, "e1")
    for attempt in range(1, 4):
        with resources.database.write() as connection:
            (row,) = claim_events(connection, limit=1, lease_s=60)
            mark_fetching(connection, row.id, timeout_s=-1)
        sweep_events(resources)
        assert events(resources)["e1"].attempts == attempt
        hurry(resources)
    assert events(resources)["e1"].state is EventState.DEAD


def test_a_fetch_that_comes_late_does_nothing(resources: Context) -> None:
    tell(resources, "e1")
    assert fetch(1) == "stale"
    assert fetch(99) == "stale"


def test_an_account_given_up_by_its_run_is_answered_with_the_reason(
    resources: Context, bundle_id: str
) -> None:
    tell(resources, "e1", posts=[])
    handle()
    with resources.database.write() as connection:
        connection.execute(
            update(run_members).values(state=MemberState.DEAD, problem="The disk is full.")
        )
    sweep_events(resources)
    assert events(resources)["e1"].state is EventState.DEAD
    assert payloads(resources)[0]["data"]["problem"] == "The disk is full."


def test_an_event_whose_run_was_cancelled_gets_another_run(
    resources: Context, bundle_id: str
) -> None:
    tell(resources, "e1", posts=[])
    handle()
    (run,) = the_runs(resources)
    with resources.database.write() as connection:
        end_run(connection, run.id, RunState.CANCELLED)
    sweep_events(resources)
    assert events(resources)["e1"].state is EventState.RECEIVED
    hurry(resources)
    handle()
    assert len(the_runs(resources)) == 2


def test_an_erased_account_leaves_nothing_behind(resources: Context, bundle_id: str) -> None:
    sha256 = resources.blobs.write_photo(b"a photo of ana alone")
    with resources.database.write() as connection:
        connection.execute(
            photos.insert().values(
                sha256=sha256,
                size_bytes=20,
                width=1,
                height=1,
                format="jpeg",
                credit="",
                created_at=func.now(),
            )
        )
    mine = new_post("p1", caption="hola", photos=[PhotoPlace(sha256=sha256), *shows("both")])
    add_account(resources, "ana", [mine], photos=["both"])
    add_account(resources, "eva", [new_post("p1", caption="chao", photos=shows("both"))])
    keep_vectors(resources, bundle_id, photos=["both"], captions=["hola", "chao"])
    tell(resources, "e1", posts=[a_post("p2")])
    tell(resources, "e2", kind="influencer.deleted")
    handle()
    with resources.database.read() as connection:
        assert list(connection.scalars(select(influencers.c.username))) == ["eva"]
        assert list(connection.scalars(select(photos.c.sha256))) == [photo("both")]
        assert len(list(connection.scalars(select(image_vectors.c.photo_sha256)))) == 1
        assert list(connection.scalars(select(text_vectors.c.caption_sha256))) == [photo("chao")]
        assert list(connection.scalars(select(inbox.c.payload))) == [None, None]
    assert not resources.blobs.exists(f"photos/{sha256[:2]}/{sha256[2:4]}/{sha256}")
    assert events(resources)["e1"].problem == "The account was erased meanwhile."
    (payload,) = payloads(resources)
    assert (payload["type"], payload["data"]["known"]) == ("influencer.erased", True)
    assert the_runs(resources) == []


def test_an_account_that_comes_back_after_its_erasure_is_classified(
    resources: Context, bundle_id: str
) -> None:
    tell(resources, "e1", posts=[a_post("p1")])
    tell(resources, "e2", kind="influencer.deleted")
    tell(resources, "e3", posts=[a_post("p3")])
    handle()
    ana = account_id(resources)
    with resources.database.read() as connection:
        assert [post.external_id for post in account_posts(connection, [ana])[ana]] == ["p3"]
    assert events(resources)["e3"].state is EventState.CLASSIFYING


def test_an_erasure_waits_for_nothing_under_way(resources: Context, bundle_id: str) -> None:
    tell(resources, "e1", posts=[])
    handle()
    tell(resources, "e2", kind="influencer.deleted")
    assert handle() == "events=1 accounts=0"
    (run,) = the_runs(resources)
    with resources.database.read() as connection:
        assert read_member(connection, run.id, 1) is None
    conclude_all(resources)
    sweep_events(resources)
    assert {event.state for event in events(resources).values()} == {EventState.DONE}
    assert [answer.type for answer in answers(resources)] == [AnswerType.ERASED]


def test_bytes_doomed_by_a_process_that_died_are_erased_by_the_sweeper(
    resources: Context,
) -> None:
    sha256 = resources.blobs.write_photo(b"left behind")
    with resources.database.write() as connection:
        from storage.event_tables import doomed_blobs

        connection.execute(doomed_blobs.insert().values(sha256=sha256, created_at=func.now()))
    sweep_events(resources)
    with resources.database.read() as connection:
        assert doomed_photos(connection) == []
    assert not resources.blobs.exists(f"photos/{sha256[:2]}/{sha256[2:4]}/{sha256}")
    assert erase_doomed(resources) == 0


def test_the_sweeper_takes_up_what_nobody_was_woken_for(resources: Context, bundle_id: str) -> None:
    tell(resources, "e1", posts=[])
    sweep_events(resources)
    assert events(resources)["e1"].state is EventState.CLASSIFYING
    conclude_all(resources)
    forget_messages()
    sweep_events(resources)
    assert [one.task for one in sent_messages()] == ["deliver.due"]


def test_an_answer_is_handed_out_once_at_a_time(resources: Context, bundle_id: str) -> None:
    tell(resources, "e1", posts=[])
    handle()
    conclude_all(resources)
    with resources.database.write() as connection:
        (answer,) = claim_answers(connection, limit=10, lease_s=60)
        assert claim_answers(connection, limit=10, lease_s=60) == []
        settle_answer(connection, answer.id, DeliveryState.DELIVERED)
    hurry(resources)
    with resources.database.write() as connection:
        assert claim_answers(connection, limit=10, lease_s=60) == []
