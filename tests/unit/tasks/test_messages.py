"""Law 1: messages only wake someone. Measured on those that lie in a broker."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from schemas.runs import MemberState, Run, RunKind
from storage.accounts import PhotoPlace
from storage.runs import create_run, read_run
from storage.stages import add_stages, finish_stage
from storage.tables import influencers, posts, run_members, runs, training_examples
from storage.training import NewExample, add_examples, newest_example
from tasks.context import Context
from tasks.runs import FEWEST_CHORDS, feed, resend
from tasks.train import STAGES, advance, vectors
from tests.unit.storage.builders import add_photo, new_post
from tests.unit.tasks.builders import (
    BACKBONE,
    CATEGORIES,
    add_account,
    keep_vectors,
    publish_toy_bundle,
    shows,
    start_run,
)
from tests.unit.tasks.sent import Message, forget_messages, sent_messages

MAX_ARGS_BYTES = 256
MAX_MESSAGE_BYTES = 2_000

ENOUGH = 2 * FEWEST_CHORDS
"""Accounts of a shard each, of which two share a chord."""

LAST_ID = 2**62
"""Ids go on from here: no installation will ever have longer ones."""


@pytest.fixture
def crowded(resources: Context) -> Context:
    """A store whose next accounts, posts, examples and runs get ids as long as they can be."""
    now = datetime.now(UTC)
    with resources.database.write() as connection:
        photo = add_photo(connection, "first")
        account = {"username": "first", "created_at": now, "updated_at": now}
        connection.execute(insert(influencers).values(id=LAST_ID, **account))
        connection.execute(
            insert(posts).values(id=LAST_ID, influencer_id=LAST_ID, external_id="first")
        )
        connection.execute(
            insert(training_examples).values(
                id=LAST_ID, source="s", photo_sha256=photo, category="otra", split="test"
            )
        )
        connection.execute(
            insert(runs).values(id=LAST_ID, kind="train", state="done", params={}, created_at=now)
        )
    return resources


def start_long_run(crowded: Context, folder: Path) -> Run:
    """A run over an account of many shards, one that is to be fetched, and one that is cached."""
    bundle_id = publish_toy_bundle(crowded, folder)
    size = crowded.settings.shard_posts
    photos = [f"photo {number}" for number in range(3 * size)]
    caption = "Una leyenda que no tiene por qué viajar. " * 50
    shown = [new_post(name, caption=caption, photos=shows(name)) for name in photos]
    url = PhotoPlace(url="https://example.org/" + "x" * 2000)
    keep_vectors_of = ["cached"]
    members = [
        add_account(crowded, "a" * 30, shown, photos=photos),
        add_account(crowded, "b" * 30, [new_post("p", caption=caption, photos=[url])]),
        add_account(crowded, "c" * 30, [new_post("p", photos=shows("cached"))], photos=["cached"]),
        *(add_account(crowded, f"{number:030}", shown[:size]) for number in range(ENOUGH)),
    ]
    keep_vectors(crowded, bundle_id, photos=keep_vectors_of)
    return start_run(crowded, bundle_id, members, urgent=True)


def do_as_a_worker(task: Any, *args: int) -> None:
    """Run a task as a worker would: what it sends then also names its parent and its root."""
    task.apply(args).get()


def assert_light(messages: list[Message]) -> None:
    for one in messages:
        assert all(isinstance(argument, int) for argument in one.args), one.task
        assert one.args_bytes < MAX_ARGS_BYTES, one.task
        assert one.size_bytes < MAX_MESSAGE_BYTES, one.task


def test_the_messages_of_a_classification_are_light(crowded: Context, tmp_path: Path) -> None:
    run = start_long_run(crowded, tmp_path)
    for member in range(LAST_ID + 1, LAST_ID + 5):
        do_as_a_worker(resend, run.id, run.generation, member)
    # So many at once that they share chords.
    with crowded.database.write() as connection:
        connection.execute(
            update(run_members)
            .where(run_members.c.influencer_id > LAST_ID + 3)
            .values(state=MemberState.PENDING)
        )
        connection.execute(update(runs).where(runs.c.id == run.id).values(params={}))
    do_as_a_worker(feed, run.id)
    messages = sent_messages()
    assert any(one.body for one in messages if one.task == "images.embed_accounts")
    assert {one.task for one in messages} == {
        "images.embed",
        "images.embed_accounts",
        "texts.embed",
        "scrape.photos",
        "verdicts.conclude_group",
    }
    assert min(one.args[0] for one in messages) > LAST_ID
    assert_light(messages)


def test_the_messages_of_a_training_are_light(crowded: Context) -> None:
    with crowded.database.write() as connection:
        for number in range(2 * crowded.settings.shard_photos):
            sha256 = add_photo(connection, f"photo {number}")
            for category in CATEGORIES:
                add_examples(
                    connection,
                    [
                        NewExample(
                            source="dev",
                            photo_sha256=sha256,
                            category=category,
                            split="train",
                            caption="",
                        )
                    ],
                )
        params = {"classes": list(CATEGORIES), "until": newest_example(connection)}
        run_id = create_run(connection, RunKind.TRAIN, params=params)
        add_stages(connection, run_id, STAGES)
        run = read_run(connection, run_id)
    do_as_a_worker(advance, run.id)
    with crowded.database.write() as connection:
        finish_stage(connection, run.id, "backbone", output=BACKBONE.model_dump())
    do_as_a_worker(vectors, run.id, run.generation)
    messages = sent_messages()
    assert [one.task for one in messages] == ["train.backbone", *["images.embed_examples"] * 4]
    assert_light(messages)


def test_a_message_grows_with_no_caption_and_no_number_of_posts(
    resources: Context, tmp_path: Path
) -> None:
    bundle_id = publish_toy_bundle(resources, tmp_path)
    sizes = []
    for username, count in (("ana", 1), ("eva", resources.settings.shard_posts)):
        names = [f"{username} {number}" for number in range(count)]
        shown = [new_post(name, caption=name * count, photos=shows(name)) for name in names]
        member = add_account(resources, username, shown, photos=names)
        run = start_run(resources, bundle_id, [member])
        forget_messages()
        resend(run.id, 0, member)
        sizes.append(sum(one.size_bytes for one in sent_messages()))
    # A few more digits, base64 by four bytes at a time.
    assert abs(sizes[1] - sizes[0]) <= 16
