"""Whatever is posted: no fault of ours, and nothing kept that was not signed.

Short by default; AFIN_TEST_FUZZ_EXAMPLES=2500 runs as many examples of each of the four kinds.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from pipelines.webhooks import parse_secrets, sign_headers
from schemas.events import EventType
from storage.event_tables import inbox
from tasks.context import Context
from tasks.loop import BackgroundLoop
from tests.unit.web.events.conftest import OTHER, SECRET
from web.events import event_routes

EXAMPLES = int(os.environ.get("AFIN_TEST_FUZZ_EXAMPLES", "150"))
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
pytestmark = pytest.mark.timeout(1800)
STRANGER = "whsec_" + "x" * 32

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
names = st.from_regex(r"[A-Za-z0-9._]{0,31}", fullmatch=True) | st.text(max_size=35)
moments = st.datetimes().map(lambda when: when.isoformat() + "Z") | st.text(max_size=12)
urls = st.text(max_size=12).map("https://example.org/{}".format) | st.text(max_size=12)
a_post = st.fixed_dictionaries(
    {"id": st.text(max_size=12) | anything},
    optional={
        "caption": st.text(max_size=40) | anything,
        "photos": st.lists(urls, max_size=3) | anything,
        "posted_at": moments,
        "likes": st.integers() | st.floats(),
    },
)
data = st.fixed_dictionaries(
    {"username": names},
    optional={"posts": st.lists(a_post, max_size=3), "post": a_post, "followers": st.integers()},
)
types = st.sampled_from([kind.value for kind in EventType]) | st.text(max_size=20)
an_event = st.fixed_dictionaries(
    {"type": types, "data": data | anything},
    optional={"version": st.integers(0, 2), "timestamp": moments, "extra": anything},
)


def write(document: object) -> bytes:
    # Half characters, NaN and Infinity pass: what strangers send is not what libraries would.
    return json.dumps(document).encode("utf-8", "surrogatepass")


bodies = an_event.map(write) | anything.map(write) | st.binary(max_size=60)
header = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
ids = st.from_regex(r"[!-~]{1,20}", fullmatch=True)


@dataclass(frozen=True)
class Desk:
    """A served application, and what it has kept."""

    loop: BackgroundLoop
    client: TestClient[web.Request, web.Application]
    resources: Context

    def ask(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        async def run() -> tuple[int, str]:
            async with self.client.request(method, path, **options) as answer:
                return answer.status, await answer.text()

        return self.loop.run(run(), timeout_s=30)

    def kept(self) -> int:
        with self.resources.database.read() as connection:
            return connection.scalars(select(func.count()).select_from(inbox)).one()

    def has(self, sender: str, webhook_id: str) -> bool:
        query = select(inbox.c.id).where(inbox.c.sender == sender, inbox.c.webhook_id == webhook_id)
        with self.resources.database.read() as connection:
            return connection.execute(query).first() is not None


@pytest.fixture
def desk(resources: Context, tmp_path: Path) -> Iterator[Desk]:
    """One application for all examples; its sender is in no danger of being too fast."""
    patient = Context(resources.settings.model_copy(update={"events_per_minute": 10**9}))
    app = web.Application()
    app.add_routes(event_routes(patient))
    with BackgroundLoop("fuzz") as loop:

        async def start() -> TestClient[web.Request, web.Application]:
            client = TestClient(TestServer(app, host="127.0.0.1"))
            await client.start_server()
            return client

        client = loop.run(start(), timeout_s=10)
        yield Desk(loop, client, patient)
        loop.run(client.close(), timeout_s=10)
    patient.database.close()


def headers_of(secret: str, webhook_id: str, body: bytes, moment: float) -> dict[str, str]:
    (keys,) = parse_secrets(secret).values()
    return sign_headers(keys, webhook_id, int(moment), body)


@FUZZ
@given(body=bodies, webhook_id=ids, secret=st.sampled_from([SECRET, OTHER]))
@example(
    body=b'{"type":"influencer.created","data":{"username":"a"}}', webhook_id="1", secret=SECRET
)
@example(
    body=b'{"type":"influencer.created","data":{"username":"\\ud800"}}',
    webhook_id="2",
    secret=SECRET,
)
@example(
    body=b'{"type":"post.created","data":{"username":"a","post":{"id":"\\u0000x"}}}',
    webhook_id="3",
    secret=SECRET,
)
def test_a_signed_body_is_kept_or_refused_with_a_reason(
    desk: Desk, body: bytes, webhook_id: str, secret: str
) -> None:
    sender = "agency" if secret == OTHER else "default"
    known, before = desk.has(sender, webhook_id), desk.kept()
    headers = headers_of(secret, webhook_id, body, time.time())
    status, text = desk.ask("POST", "/events", data=body, headers=headers)
    assert status in {202, 422}, text
    assert desk.kept() == before + (status == 202 and not known)
    assert desk.has(sender, webhook_id) == (known or status == 202)


@FUZZ
@given(
    body=bodies,
    given_headers=st.fixed_dictionaries(
        {},
        optional={
            "webhook-id": header,
            "webhook-timestamp": header | st.integers(0, 2**40).map(str),
            "webhook-signature": header | header.map("v1,{}".format),
            "content-type": header,
        },
    ),
)
def test_without_a_signature_nothing_is_kept(
    desk: Desk, body: bytes, given_headers: dict[str, str]
) -> None:
    status, _text = desk.ask("POST", "/events", data=body, headers=given_headers)
    assert 400 <= status < 500
    assert desk.kept() == 0


@FUZZ
@given(
    body=bodies,
    webhook_id=ids,
    change=st.sampled_from(["stranger", "body", "id", "early", "late", "twice"]),
)
def test_a_signature_of_something_else_is_refused(
    desk: Desk, body: bytes, webhook_id: str, change: str
) -> None:
    shift = {"early": 400, "late": -400}.get(change, 0)
    secret = STRANGER if change == "stranger" else SECRET
    headers: Any = headers_of(secret, webhook_id, body, time.time() + shift)
    sent = body + b" " if change == "body" else body
    if change == "id":
        headers["webhook-id"] += "x"
    if change == "twice":
        headers = [*headers.items(), ("webhook-id", webhook_id)]
    status, _text = desk.ask("POST", "/events", data=sent, headers=headers)
    assert status == 401
    assert desk.kept() == 0


@FUZZ
@given(path=st.text(max_size=30), place=st.sampled_from(["/events/", "/verdicts/"]))
def test_whatever_is_asked_for_is_found_or_not(desk: Desk, path: str, place: str) -> None:
    from urllib.parse import quote

    address = place + quote(path.encode("utf-8", "surrogatepass"), safe="")
    headers = {"Authorization": "Bearer sesame"}
    status, text = desk.ask("GET", address, headers=headers)
    assert status < 500, text
