"""Signed events are kept once and answered at once; everything else leaves no trace."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.events import EventState, event_schema
from schemas.verdicts import Verdict
from storage.database import Database
from storage.verdicts import save_verdicts
from tasks.context import Context
from tests.unit.storage.builders import new_post
from tests.unit.tasks.builders import add_account, publish_toy_bundle, start_run
from tests.unit.tasks.sent import sent_messages
from tests.unit.web.events.conftest import OTHER, TOKEN, get, kept, post, signed

CREATED: dict[str, Any] = {
    "type": "influencer.created",
    "data": {
        "username": "Ana",
        "followers": 5000,
        "posts": [{"id": "1", "caption": "hola", "photos": ["https://example.org/1.jpg"]}],
    },
}


def test_a_signed_event_is_kept_and_answered_with_where_its_status_is(resources: Context) -> None:
    reply = post(resources, CREATED)
    assert reply.status == 202
    assert reply.headers["Location"] == reply.document["status"]
    (event,) = kept(resources)
    assert (event.id, event.username, event.state) == (
        reply.document["id"],
        "ana",
        EventState.RECEIVED,
    )
    assert [(one.queue, one.task) for one in sent_messages()] == [
        ("control.event", "events.handle")
    ]


def test_its_status_can_be_asked_for_by_its_address(resources: Context) -> None:
    address = post(resources, CREATED).document["status"]
    status = get(resources, address)
    assert status.status == 200
    assert (status.document["state"], status.document["webhook_id"]) == ("received", "evt_1")


def test_an_event_sent_again_is_kept_once(resources: Context) -> None:
    first, again = post(resources, CREATED), post(resources, CREATED)
    assert (again.status, again.document["id"]) == (202, first.document["id"])
    assert (first.document["duplicate"], again.document["duplicate"]) == (False, True)
    assert len(kept(resources)) == 1


def test_two_senders_may_use_the_same_id(resources: Context) -> None:
    post(resources, CREATED)
    post(resources, CREATED, secret=OTHER)
    assert len(kept(resources)) == 2


def test_a_replay_after_the_tolerance_is_refused(
    resources: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps(CREATED).encode()
    headers = signed(body)
    later = time.time() + resources.settings.event_tolerance_s + 2
    monkeypatch.setattr("web.events.time.time", lambda: later)
    assert post(resources, body, headers=headers).status == 401
    assert kept(resources) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": ""},
        {"webhook-timestamp": "1"},
        {"webhook-id": "evt_2"},
    ],
)
def test_what_is_not_signed_is_refused_and_not_kept(
    resources: Context, headers: dict[str, str]
) -> None:
    reply = post(resources, CREATED, headers=headers)
    assert reply.status == 401
    assert kept(resources) == []


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"type": "influencer.created", "data": {}}, "username"),
        ({"type": "influencer.exploded", "data": {"username": "ana"}}, "influencer.exploded"),
        ({**CREATED, "version": 2}, "version"),
        ({**CREATED, "surprise": 1}, "surprise"),
        ({"type": "post.created", "data": {"username": "ana"}}, "post"),
        ({"type": "influencer.deleted", "data": {"username": "no name"}}, "username"),
        ([], "event"),
        (b"{", "no JSON"),
        (b"\xff", "not UTF-8"),
        (b"[" * 100_000, "no JSON"),
        (b'{"type": ' + b"9" * 5000 + b"}", "no JSON"),
    ],
)
def test_an_event_that_makes_no_sense_is_told_what_is_wrong(
    resources: Context, document: object, named: str
) -> None:
    reply = post(resources, document)
    assert reply.status == 422
    assert named in reply.document["error"]
    assert kept(resources) == []


@pytest.mark.parametrize("photo", ["/etc/passwd", "file:///etc/passwd", "../secret.jpg", ""])
def test_a_photo_can_only_be_a_web_address(resources: Context, photo: str) -> None:
    document = json.loads(json.dumps(CREATED))
    document["data"]["posts"][0]["photos"] = [photo]
    assert post(resources, document).status == 422


def test_only_json_is_taken(resources: Context) -> None:
    reply = post(resources, CREATED, headers={"content-type": "text/plain"})
    assert reply.status == 415
    assert kept(resources) == []


def test_a_large_body_is_refused_whatever_its_signature(resources: Context) -> None:
    strict = Context(resources.settings.model_copy(update={"event_max_bytes": 2000}))
    assert post(strict, b" " * 2001).status == 413
    assert kept(resources) == []


def test_a_sender_in_a_hurry_is_told_when_to_come_back(resources: Context) -> None:
    most = 3
    hurried = Context(resources.settings.model_copy(update={"events_per_minute": most}))
    answers = [post(hurried, CREATED, webhook_id=f"evt_{number}") for number in range(most + 1)]
    assert [reply.status for reply in answers] == [202] * most + [429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert post(hurried, CREATED, secret=OTHER).status == 202
    hurried.database.close()


def test_while_the_database_is_away_a_sender_is_asked_to_come_back(
    resources: Context, tmp_path: Path
) -> None:
    away = Context(resources.settings)
    vars(away)["database"] = Database("postgresql://postgres@127.0.0.1:1/none")
    reply = post(away, CREATED)
    assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
    assert "127.0.0.1" not in reply.document["error"]
    away.database.close()


def test_an_unknown_event_is_not_found(resources: Context) -> None:
    assert get(resources, "/events/evt_none").status == 404


def test_the_schema_is_published_and_the_committed_one_is_the_same(resources: Context) -> None:
    published = get(resources, "/events/schema/v1.json").document
    committed = Path(__file__).parents[4] / "docs" / "events.v1.schema.json"
    assert published == event_schema() == json.loads(committed.read_text("utf-8"))


def test_a_verdict_is_read_by_name_with_a_token(resources: Context, tmp_path: Path) -> None:
    bundle_id = publish_toy_bundle(resources, tmp_path)
    ana = add_account(resources, "ana", [new_post("p1")])
    run = start_run(resources, bundle_id, [ana])
    verdict = Verdict(
        method="nn", categories=(), shares=(), usable=0, unknown=0, lacking=1, enough=False
    )
    with resources.database.write() as connection:
        save_verdicts(connection, bundle_id=bundle_id, run_id=run.id, concluded={ana: [verdict]})
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    reply = get(resources, "/verdicts/ANA", bearer)
    assert (reply.status, reply.document["username"]) == (200, "ana")
    assert datetime.fromisoformat(reply.document["concluded_at"]) <= datetime.now(UTC)
    assert get(resources, "/verdicts/eva", bearer).status == 404
    for headers in ({}, {"Authorization": "Bearer open"}, {"Authorization": TOKEN}):
        assert get(resources, "/verdicts/ana", headers).status == 401
