"""Events posted to the web process of a whole afin, and the answers that come back."""

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from redis import Redis
from sqlalchemy import Select, func, select

from pipelines.sources.samples.writer import draw_photo
from pipelines.webhooks import parse_secrets, sign_headers
from schemas.errors import NotFoundError
from schemas.runs import RunKind
from storage.accounts import find_account
from storage.event_tables import inbox, outbox
from storage.runs import list_runs
from storage.tables import photos, posts, verdicts
from tasks.app import QUEUES, require_broker
from tests.collector import Collector, Span, collecting
from tests.houses import CATEGORIES, House, until, untrained_house
from tests.receiver import Receiver, receiving
from tests.served import serve_folder
from workers.supervisor import RestartPolicy

pytestmark = pytest.mark.timeout(300)

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
TOKEN = "readersecret"
CALLBACK_KEY, PEXELS_KEY, GRAPH_TOKEN = "callbacksecret", "pexelssecret", "graphsecret"
FLOWER_PASSWORD = "flowersecret"
STREAM = "platform:events"
ALL_QUEUES = [name for served in QUEUES.values() for name in served]
SECRETS = parse_secrets(SECRET)

# Whoever is killed on purpose is started again at once, and never given up.
PATIENT = RestartPolicy(first_s=0.2, longest_s=1.0, deaths=1000)


SHARED, KILLED, OWN = slice(0, 4), slice(4, 8), slice(8, 9)
"""Which photos accounts have: most the same few, so that these are computed once."""
FRESH = 9, 15
"""Photos that only one test each shows, whose vectors nobody has."""


@dataclass(frozen=True)
class Platform:
    """The platform's side: it posts events, hears of verdicts, and serves its photos."""

    house: House
    receiver: Receiver
    collector: Collector
    photo_urls: Sequence[str]

    def post(self, kind: str, webhook_id: str, **data: Any) -> dict[str, Any]:
        """Post one signed event; return what the web process answers."""
        body = json.dumps({"type": kind, "data": data}).encode()
        headers = sign_headers(SECRETS["default"], webhook_id, int(time.time()), body)
        request = urllib.request.Request(f"{self.house.web_url}/events", body, headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            assert answer.status == 202
            document: dict[str, Any] = json.loads(answer.read())
        return document

    def join(self, username: str, webhook_id: str, photos: slice = SHARED) -> dict[str, Any]:
        """Tell of a new account with a post a photo."""
        told = [
            {"id": f"{username}-{number}", "caption": f"post {number}", "photos": [url]}
            for number, url in enumerate(self.photo_urls[photos])
        ]
        return self.post("influencer.created", webhook_id, username=username, posts=told)

    def told(self, kind: str, username: str) -> list[dict[str, Any]]:
        """Every different message of a kind that was accepted about an account."""
        accepted = list(self.receiver.accepted.values())
        return [
            one["data"]
            for one in accepted
            if one["type"] == kind and one["data"]["username"] == username
        ]

    def hear(self, kind: str, username: str) -> dict[str, Any]:
        """Wait until a message came about an account, and return it."""
        until(lambda: bool(self.told(kind, username)))
        return self.told(kind, username)[0]

    def ask_verdict(self, username: str) -> tuple[int, dict[str, Any]]:
        """Ask for the verdict in force."""
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        url = f"{self.house.web_url}/verdicts/{username}"
        try:
            with urllib.request.urlopen(  # noqa: S310 - loopback
                urllib.request.Request(url, headers=bearer),  # noqa: S310
                timeout=30,
            ) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def count(self, query: Select[int]) -> int:
        """Ask the database for a number."""
        with self.house.resources.database.read() as connection:
            return connection.scalars(query).one()

    def answers(self) -> bool:
        """Whether the pages are served at this moment."""
        try:
            return self.ask_verdict("nobody")[0] == 404
        except (OSError, ValueError):
            return False


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A whole afin with a platform beside it, whose callback fails at its very first try."""
    folder = tmp_path_factory.mktemp("events")
    with (
        receiving(SECRETS, statuses=[503]) as receiver,
        serve_folder(folder / "samples") as base,
        collecting() as collector,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        environment = {
            "AFIN_EVENT_SECRETS": SECRET,
            "AFIN_EVENT_TOKENS": TOKEN,
            "AFIN_CALLBACK_URL": f"{receiver.url}?key={CALLBACK_KEY}",
            "AFIN_PEXELS_KEY": PEXELS_KEY,
            "AFIN_INSTAGRAM_TOKEN": GRAPH_TOKEN,
            "AFIN_FLOWER_AUTH": f"afin:{FLOWER_PASSWORD}",
            "AFIN_CALLBACK_ALLOW_PRIVATE": "true",
            "AFIN_FETCH_ALLOW_LOOPBACK": "true",
            "AFIN_EVENTS_STREAM": STREAM,
            "AFIN_LOG_FORMAT": "json",
        }
        with untrained_house(folder, environment, accounts=1, policy=PATIENT) as house:
            urls = []
            for number in range(FRESH[1]):
                topic = CATEGORIES[number % len(CATEGORIES)]
                photo = draw_photo(topic, Random(number))  # noqa: S311 - chance for tests
                (folder / "samples" / f"{number}.jpg").write_bytes(photo)
                urls.append(f"{base}/{number}.jpg")
            platform = Platform(house, receiver, collector, urls)
            until(platform.answers)
            yield platform


def test_a_new_account_gets_a_signed_verdict(platform: Platform) -> None:
    answer = platform.join("ana", "evt_ana")
    assert answer["duplicate"] is False
    # Signed: the receiver takes nothing else.
    data = platform.hear("verdict.concluded", "ana")
    assert (data["bundle"], data["events"]) == (platform.house.bundle_id, ["evt_ana"])
    assert data["methods"]["nn"]["usable_posts"] == len(platform.photo_urls[SHARED])
    status, verdict = platform.ask_verdict("ana")
    assert (status, verdict["methods"]) == (200, data["methods"])


def test_an_answer_that_failed_comes_again_under_its_id(platform: Platform) -> None:
    platform.hear("verdict.concluded", "ana")
    first = platform.receiver.tries[0]
    assert platform.receiver.tries.count(first) == 2
    assert platform.receiver.accepted[first]["data"]["username"] == "ana"


def test_an_event_posted_twice_changes_nothing(platform: Platform) -> None:
    first = platform.join("ana", "evt_ana")
    platform.hear("verdict.concluded", "ana")
    before = count_runs(platform)
    again = platform.join("ana", "evt_ana")
    assert again == {**first, "state": "done", "duplicate": True}
    # An event behind it is answered, so it had its turn.
    platform.join("bea", "evt_bea")
    platform.hear("verdict.concluded", "bea")
    assert count_runs(platform) == before + 1
    assert len(platform.told("verdict.concluded", "ana")) == 1


def test_web_and_control_killed_in_between_cost_no_verdict_and_double_none(
    platform: Platform,
) -> None:
    until(platform.answers)
    answer = platform.join("killed", "evt_killed", KILLED)
    platform.house.kill("web")
    platform.house.kill("control")
    until(platform.answers)
    # Heard nothing, a platform posts again.
    assert platform.join("killed", "evt_killed", KILLED)["id"] == answer["id"]
    data = platform.hear("verdict.concluded", "killed")
    assert data["methods"]["nn"]["usable_posts"] == KILLED.stop - KILLED.start
    platform.join("behind", "evt_behind")
    platform.hear("verdict.concluded", "behind")
    assert len(platform.told("verdict.concluded", "killed")) == 1
    with platform.house.resources.database.read() as connection:
        account_id = find_account(connection, "killed").id
    assert platform.count(select(func.count()).where(verdicts.c.influencer_id == account_id)) == 1
    assert platform.count(select(func.count()).where(inbox.c.username == "killed")) == 1


def test_an_event_of_the_stream_gets_a_verdict_too(platform: Platform) -> None:
    posts = [{"id": "1", "caption": "playa", "photos": [platform.photo_urls[0]]}]
    event = {"type": "influencer.created", "data": {"username": "inside", "posts": posts}}
    with Redis.from_url(require_broker(platform.house.resources.settings)) as broker:
        broker.xadd(STREAM, {"id": "evt_inside", "event": json.dumps(event)})
    assert platform.hear("verdict.concluded", "inside")["events"] == ["evt_inside"]


def test_a_deleted_account_is_erased(platform: Platform) -> None:
    platform.join("stays", "evt_stays")
    platform.hear("verdict.concluded", "stays")
    shared = platform.count(select(func.count()).select_from(photos))
    platform.join("gone", "evt_gone", slice(SHARED.start, OWN.stop))
    platform.hear("verdict.concluded", "gone")
    with platform.house.resources.database.read() as connection:
        account_id = find_account(connection, "gone").id
    platform.post("influencer.deleted", "evt_gone_2", username="gone")
    assert platform.hear("influencer.erased", "gone")["known"] is True
    assert platform.ask_verdict("gone")[0] == 404
    with (
        platform.house.resources.database.read() as connection,
        pytest.raises(NotFoundError),
    ):
        find_account(connection, "gone")
    assert platform.count(select(func.count()).where(posts.c.influencer_id == account_id)) == 0
    assert platform.count(select(func.count()).where(verdicts.c.influencer_id == account_id)) == 0
    told = select(func.count()).where(
        outbox.c.username == "gone", outbox.c.type != "influencer.erased"
    )
    assert platform.count(told) == 0
    # Photos that others show as well stay, its own one goes.
    assert platform.count(select(func.count()).select_from(photos)) == shared
    with platform.house.resources.database.read() as connection:
        query = select(inbox.c.payload).where(inbox.c.username == "gone")
        assert set(connection.scalars(query)) == {None}


def test_an_event_that_nobody_signed_is_refused(platform: Platform) -> None:
    url = f"{platform.house.web_url}/events"
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, b"{}", headers)  # noqa: S310 - loopback
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)  # noqa: S310
    refused.value.close()
    assert refused.value.code == 401


def test_one_trace_follows_an_event_to_its_verdict(platform: Platform) -> None:
    # The sweeper may come first and handle an event in a trace of its own; not each time.
    spans = next(
        found for number in range(FRESH[0], FRESH[1] - 1) if (found := traced(platform, number))
    )
    by_id = {span.id: span for span in spans}
    assert [span.name for span in spans if span.parent not in by_id] == ["POST /events"]
    embedded, said = "images.embed_accounts", "verdicts.conclude_group"
    way = {"events.handle", "runs.feed", "scrape.photos", embedded, said}
    assert way <= {span.name for span in spans}
    assert {span.process for span in spans} >= {"afin-web", "afin-control", "afin-gpu", "afin-cpu"}
    (concluded,) = (span for span in spans if span.name == said)
    above = concluded.ids["afin.run"], concluded.ids["afin.account"]
    assert all(
        (span.ids["afin.run"], span.ids["afin.account"]) == above
        for span in spans
        if span.name in {"send account", "scrape.photos", embedded}
    )
    assert not any(span.failed for span in spans)


def traced(platform: Platform, number: int) -> list[Span]:
    """Post an event; return the spans of its trace once it is concluded, if they are one."""
    username = f"traced{number}"
    platform.join(username, f"evt_{username}", slice(number, number + 1))
    run_id = platform.hear("verdict.concluded", username)["run"]
    found: list[Span] = []

    def concluded() -> bool:
        found[:] = [
            span
            for span in platform.collector.spans
            if span.name == "verdicts.conclude_group" and span.ids["afin.run"] == run_id
        ]
        return bool(found)

    until(concluded)

    def mine() -> list[Span]:
        return [span for span in platform.collector.spans if span.trace == found[-1].trace]

    # Each process sends its spans when it gets round to it.
    until(lambda: {span.parent for span in mine()} <= {"", *(span.id for span in mine())})
    return mine() if any(span.name == "POST /events" for span in mine()) else []


def test_logs_are_json_lines_that_tell_run_and_account(platform: Platform) -> None:
    platform.join("logged", "evt_logged", slice(FRESH[1] - 1, FRESH[1]))
    run_id = platform.hear("verdict.concluded", "logged")["run"]
    with platform.house.resources.database.read() as connection:
        account_id = find_account(connection, "logged").id
    log = platform.house.resources.settings.data_dir.absolute() / "logs" / "cpu.log"

    def records() -> list[dict[str, Any]]:
        lines = log.read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines if line]

    until(lambda: any(one.get("account") == account_id for one in records()))
    (record,) = (
        one
        for one in records()
        if one.get("account") == account_id and one.get("task") == "verdicts.conclude_group"
    )
    assert (record["run"], record["process"], record["level"]) == (run_id, "cpu", "info")
    assert record["task_id"] in record["message"]


def test_web_control_and_flower_hold_no_library_of_models(platform: Platform) -> None:
    platform.join("light", "evt_light")
    platform.hear("verdict.concluded", "light")

    def held(name: str) -> set[str]:
        mapped = Path(f"/proc/{platform.house.pid(name)}/maps").read_text("utf-8")
        return {lib for lib in ("torch", "sklearn", "fasttext") if f"/{lib}" in mapped}

    assert "torch" in held("gpu")
    assert {name: held(name) for name in ("web", "control", "flower")} == {
        "web": set(),
        "control": set(),
        "flower": set(),
    }


def test_no_secret_is_in_a_log_in_a_message_or_on_a_page_of_flower(platform: Platform) -> None:
    platform.join("last", "evt_last")
    platform.hear("verdict.concluded", "last")
    settings = platform.house.resources.settings
    broker_password = urlsplit(require_broker(settings)).password
    assert broker_password
    secrets = {
        "signing": SECRET.removeprefix("whsec_"),
        "reader": TOKEN,
        "callback": CALLBACK_KEY,
        "pexels": PEXELS_KEY,
        "graph": GRAPH_TOKEN,
        "flower": FLOWER_PASSWORD,
        "broker": broker_password,
    }
    data_dir = settings.data_dir.absolute()
    # The append-only file has every message that ever was, those done long ago as well.
    written = [*(data_dir / "logs").glob("*.log"), *data_dir.rglob("*.aof")]
    places = {path.name: path.read_bytes() for path in written} | flower_pages(platform)
    history = [content for name, content in places.items() if name.endswith(".aof")]
    assert b"events.handle" in b"".join(history)
    assert {"control.log", "web.log", "/workers"} < set(places)
    found = [
        (name, secret)
        for name, content in places.items()
        for secret, value in secrets.items()
        if value.encode() in content
    ]
    assert found == []


def test_flower_shows_every_queue_leads_to_the_pages_and_tells_arguments_in_words(
    platform: Platform,
) -> None:
    platform.join("shown", "evt_shown")
    run_id = platform.hear("verdict.concluded", "shown")["run"]
    shown = flower_pages(platform)
    lengths = shown["/broker"].decode()
    assert all(f">{name}<" in lengths.replace(" ", "").replace("\n", "") for name in ALL_QUEUES)
    assert f'href="{platform.house.web_url}"' in shown["/tasks"].decode()
    tasks = json.loads(shown["/api/tasks"]).values()
    assert f"run {run_id}:" in {task["args"] for task in tasks if task["name"] == "runs.feed"}


def flower_pages(platform: Platform) -> dict[str, bytes]:
    """Every kind of page that Flower shows to who has signed in."""
    pair = base64.b64encode(f"afin:{FLOWER_PASSWORD}".encode()).decode()

    def read(path: str) -> bytes:
        request = urllib.request.Request(  # noqa: S310 - loopback
            platform.house.flower_url + path, headers={"Authorization": f"Basic {pair}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            content: bytes = answer.read()
        return content

    named = json.loads(read("/api/workers?refresh=1"))
    assert named
    paths = ["/workers", "/tasks", "/broker", "/api/tasks", "/metrics"]
    paths += [f"/worker/{quote(name)}" for name in named]
    return {path: read(path) for path in paths}


def count_runs(platform: Platform) -> int:
    with platform.house.resources.database.read() as connection:
        return len(list_runs(connection, kind=RunKind.CLASSIFY))
