"""Answers reach a real receiver, signed; one that refuses is asked again for a day, not longer."""

import asyncio
import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.sources.http import FetchPolicy
from pipelines.sources.http.send import Posted, Sender
from pipelines.webhooks import parse_secrets
from schemas.errors import FetchError
from schemas.events import AnswerType, DeliveryState
from storage.outbox import DueAnswer, add_answer, retry_answers
from tasks.context import Context, context
from tasks.deliver import DELAYS_S, due, judge_delivery
from tests.adopted import adopted
from tests.receiver import receiving
from tests.unit.tasks.events import answers, hurry

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
KEYS = parse_secrets(SECRET)


@contextmanager
def answering(tmp_path: Path, url: str, **extra: str) -> Iterator[Context]:
    """A store whose answers go to an address."""
    environment = {
        "AFIN_DATA_DIR": str(tmp_path / "data"),
        "AFIN_BROKER_URL": "memory://",
        "AFIN_RESULT_URL": "cache+memory://",
        "AFIN_EVENT_SECRETS": SECRET,
        "AFIN_CALLBACK_URL": url,
        "AFIN_CALLBACK_ALLOW_PRIVATE": "true",
        **extra,
    }
    with adopted(environment):
        yield context()


def tell(resources: Context, key: str = "k", username: str = "ana") -> None:
    with resources.database.write() as connection:
        add_answer(
            connection,
            AnswerType.CONCLUDED,
            key=key,
            sender="default",
            username=username,
            data={"events": ["e1"], "greeting": "¡Hola!"},
        )


def an_answer(attempts: int = 1) -> DueAnswer:
    return DueAnswer(id=1, webhook_id="msg_1", sender="default", payload={}, attempts=attempts)


def test_an_answer_arrives_signed_with_its_id(tmp_path: Path) -> None:
    with receiving(KEYS) as receiver, answering(tmp_path, receiver.url) as resources:
        tell(resources)
        tell(resources)
        assert due() == "due=1 delivered=1"
        (delivery,) = answers(resources)
        assert delivery.state is DeliveryState.DELIVERED
        assert receiver.accepted[delivery.webhook_id]["data"]["greeting"] == "¡Hola!"
        assert due() == "due=0"


def test_a_receiver_in_trouble_is_asked_again_under_the_same_id(tmp_path: Path) -> None:
    with receiving(KEYS, [500, 302]) as receiver, answering(tmp_path, receiver.url) as resources:
        tell(resources)
        for _ in range(3):
            due()
            hurry(resources)
        (delivery,) = answers(resources)
        assert receiver.tries == [delivery.webhook_id] * 3
        assert (delivery.state, delivery.attempts) == (DeliveryState.DELIVERED, 3)


def test_a_receiver_that_is_away_hurts_no_other(tmp_path: Path) -> None:
    with receiving(KEYS) as receiver:
        both = f"{receiver.url} agency=http://127.0.0.1:1/gone"
        secrets = f"{SECRET} agency={SECRET}"
        with answering(tmp_path, both, AFIN_EVENT_SECRETS=secrets) as resources:
            tell(resources)
            with resources.database.write() as connection:
                add_answer(
                    connection, AnswerType.FAILED, key="x", sender="agency", username="eva", data={}
                )
            assert due() == "due=2 delivered=1"
            states = {one.sender: one for one in answers(resources)}
            assert states["agency"].state is DeliveryState.PENDING
            assert "cannot be reached" in (states["agency"].problem or "")


def test_after_a_day_of_tries_an_answer_is_dead_until_somebody_asks(tmp_path: Path) -> None:
    most = len(DELAYS_S) + 1
    with receiving(KEYS, [503] * most) as receiver, answering(tmp_path, receiver.url) as resources:
        tell(resources)
        for _ in range(most + 2):
            due()
            hurry(resources)
        (delivery,) = answers(resources)
        assert (delivery.state, delivery.attempts) == (DeliveryState.DEAD, most)
        assert len(receiver.tries) == most
        with resources.database.write() as connection:
            assert retry_answers(connection) == 1
        assert due() == "due=1 delivered=1"


def test_the_pauses_make_up_a_day() -> None:
    assert 20 * 3600 < sum(DELAYS_S) < 25 * 3600
    assert list(DELAYS_S) == sorted(DELAYS_S)


@pytest.mark.parametrize("attempts", range(1, len(DELAYS_S) + 1))
def test_each_pause_is_about_as_long_as_planned(attempts: int) -> None:
    state, problem, wait_s = judge_delivery(an_answer(attempts), Posted(status=500))
    assert state is DeliveryState.PENDING
    assert problem == "The receiver answered 500."
    assert 0.9 <= wait_s / DELAYS_S[attempts - 1] <= 1.1


def test_a_receivers_own_word_on_when_to_come_back_counts() -> None:
    _state, _problem, wait_s = judge_delivery(an_answer(), Posted(status=429, retry_after_s=900.0))
    assert wait_s == 900.0


def test_a_receiver_that_is_gone_for_good_is_not_asked_again() -> None:
    state, _problem, _wait = judge_delivery(an_answer(), Posted(status=410))
    assert state is DeliveryState.DEAD


def post(url: str, **policy: bool) -> Posted:
    async def run() -> Posted:
        async with Sender(FetchPolicy(total_timeout_s=3.0)) as sender:
            return await sender.post(url, b"{}", {})

    return asyncio.run(run())


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/",
        "http://[::1]:9/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://0x7f.1:9/",
    ],
)
def test_a_callback_into_a_private_network_has_to_be_allowed(url: str) -> None:
    with pytest.raises(FetchError) as caught:
        post(url)
    assert caught.value.reason == "forbidden-address"


def test_a_name_that_leads_into_a_private_network_is_refused_too() -> None:
    async def lookup(_host: str) -> list[str]:
        return ["127.0.0.1"]

    async def run() -> None:
        async with Sender(FetchPolicy(total_timeout_s=3.0), lookup=lookup) as sender:
            await sender.post("http://platform.example:9/", b"{}", {})

    with pytest.raises(FetchError) as caught:
        asyncio.run(run())
    assert caught.value.reason == "forbidden-address"
