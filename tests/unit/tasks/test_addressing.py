"""How the application speaks to brokers of each kind."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from pydantic import SecretStr

from schemas.settings import Settings
from tasks.app import app, configure
from tasks.results import CountingBackend


def configured(broker: str, **settings: Any) -> Celery:
    made = Celery("test", set_as_current=False)
    results = SecretStr("redis://127.0.0.1:9/0")
    configure(made, Settings(broker_url=SecretStr(broker), result_url=results, **settings))
    return made


def test_on_rabbitmq_every_queue_is_replicated() -> None:
    queues = configured("amqp://guest:guest@127.0.0.1//").conf.task_queues
    assert {one.queue_arguments["x-queue-type"] for one in queues} == {"quorum"}


def test_on_rabbitmq_the_exchange_can_hold_messages_back() -> None:
    queues = configured("amqp://guest:guest@127.0.0.1//").conf.task_queues
    assert {one.exchange.type for one in queues} == {"topic"}


def test_on_redis_queues_ask_for_nothing() -> None:
    queues = configured("redis://127.0.0.1/0").conf.task_queues
    assert {one.queue_arguments for one in queues} == {None}


@pytest.mark.parametrize(
    ("broker", "key"), [("rediss://h/0", "ssl_cert_reqs"), ("amqps://h//", "cert_reqs")]
)
def test_with_tls_a_certificate_is_always_asked_for(broker: str, key: str) -> None:
    checks = configured(broker, tls_ca_file=Path("/ca.pem")).conf.broker_use_ssl
    assert checks[key] == ssl.CERT_REQUIRED
    assert checks[key.replace("cert_reqs", "ca_certs")] == "/ca.pem"


def test_without_tls_nothing_is_asked_for() -> None:
    assert not configured("redis://h/0").conf.broker_use_ssl


def test_a_broker_that_went_away_is_waited_for_without_end() -> None:
    assert configured("redis://h/0").conf.broker_connection_max_retries is None


def test_results_are_counted_and_not_listened_for() -> None:
    backend = app.loader.override_backends["redis"]
    assert backend == f"{CountingBackend.__module__}:{CountingBackend.__name__}"
