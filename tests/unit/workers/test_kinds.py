"""What each worker serves, on brokers with and without an order, and how it waits for servers."""

import pytest
from pydantic import SecretStr

from schemas.errors import BlobError, DatabaseError, LostDatabaseError, UsageError
from schemas.settings import Settings
from tasks.app import QUEUES
from workers.kinds import (
    RESERVED,
    celery_arguments,
    event_slots,
    served_queues,
    wait_for,
    worker_names,
)

ON_REDIS = Settings(broker_url=SecretStr("redis://127.0.0.1/0"))
ON_RABBITMQ = Settings(broker_url=SecretStr("amqp://guest:guest@127.0.0.1//"))


def test_on_redis_one_worker_a_kind_serves_new_accounts_first() -> None:
    assert worker_names(ON_REDIS) == ("scrape", "gpu", "train", "cpu", "control")
    assert served_queues("gpu", ON_REDIS) == ("gpu.event", "gpu")


def test_on_rabbitmq_reserved_workers_have_new_accounts_to_themselves() -> None:
    assert set(worker_names(ON_RABBITMQ)) - set(worker_names(ON_REDIS)) == set(RESERVED)
    assert served_queues("gpu.event", ON_RABBITMQ) == ("gpu.event",)
    assert served_queues("gpu", ON_RABBITMQ) == ("gpu",)


@pytest.mark.parametrize("settings", [ON_REDIS, ON_RABBITMQ])
def test_every_queue_is_served_by_somebody(settings: Settings) -> None:
    served = {queue for name in worker_names(settings) for queue in served_queues(name, settings)}
    assert served == {queue for names in QUEUES.values() for queue in names}


def test_a_reserved_worker_takes_one_task_at_a_time() -> None:
    assert "--concurrency=1" in celery_arguments("gpu.event", ON_RABBITMQ)


def test_on_redis_a_pool_has_slots_beside_those_for_bulk_work() -> None:
    settings = ON_REDIS.model_copy(update={"cpu_processes": 3, "gpu_threads": 16})
    assert "--concurrency=4" in celery_arguments("cpu", settings)
    assert "--concurrency=20" in celery_arguments("gpu", settings)
    none = settings.model_copy(update={"event_slots": 0})
    assert "--concurrency=3" in celery_arguments("cpu", none)


def test_no_slot_is_kept_where_workers_are_or_where_no_new_account_comes() -> None:
    assert event_slots("gpu", ON_RABBITMQ) == event_slots("train", ON_REDIS) == 0


def test_a_kind_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(UsageError, match=r"gpu, train, cpu, control, scrape\.event"):
        celery_arguments("web", ON_REDIS)


@pytest.mark.parametrize("error", [LostDatabaseError("No database."), BlobError("No store.")])
def test_a_server_that_is_away_is_waited_for_with_a_line_each_time(error: Exception) -> None:
    answers: list[Exception | None] = [error, error, None]
    said: list[str] = []

    def reach() -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    wait_for(reach, pause_s=0, say=said.append)
    assert said == [f"{error} Trying again in 0 s."] * 2


def test_an_address_that_can_never_work_is_not_waited_for() -> None:
    def reach() -> None:
        raise DatabaseError("afin keeps its data in SQLite or PostgreSQL, not in oracle.")

    with pytest.raises(DatabaseError, match="oracle"):
        wait_for(reach, pause_s=0)
