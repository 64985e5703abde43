"""The main job on servers that people run themselves: Redis, RabbitMQ, PostgreSQL."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from storage.accounts import list_accounts
from tasks.app import require_broker
from tasks.start import answering_kinds, start_classification
from tests import servers
from tests.houses import House, Verdicts, untrained_house
from tests.postgres import fresh_database

pytestmark = pytest.mark.timeout(600)

ACCOUNTS = 8


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """Everything running on PostgreSQL and on each broker in turn."""
    postgres: str = request.getfixturevalue("postgres_server")
    with ExitStack() as stack:
        redis = stack.enter_context(servers.own_redis())
        if redis is None:
            pytest.skip("No Redis with an empty database answers on 127.0.0.1:6379.")
        broker: str | None = redis
        if request.param == "rabbitmq":
            broker = stack.enter_context(servers.own_vhost())
        if broker is None:
            pytest.skip("No RabbitMQ answers on 127.0.0.1:5672, or rabbitmqctl may not be used.")
        environment = {
            "AFIN_BROKER_URL": broker,
            "AFIN_RESULT_URL": redis,
            "AFIN_DATABASE_URL": stack.enter_context(fresh_database(postgres)),
        }
        folder = tmp_path_factory.mktemp(request.param)
        yield stack.enter_context(untrained_house(folder, environment, accounts=ACCOUNTS))


@pytest.fixture(scope="module")
def undisturbed(house: House) -> Verdicts:
    """The verdicts of a first run that nothing disturbs."""
    return house.wait(house.reclassify())


def test_no_worker_complains_of_queues_when_it_starts(house: House) -> None:
    logs = sorted((house.resources.settings.data_dir / "logs").glob("*.log"))
    assert {log.stem for log in logs} >= {"scrape", "gpu", "cpu", "control"}
    complaints = [
        line
        for log in logs
        for line in log.read_text().splitlines()
        if "Failed to bind" in line or "NOT_FOUND" in line
    ]
    assert complaints == []


def test_every_account_gets_a_verdict(house: House, undisturbed: Verdicts) -> None:
    with house.resources.database.read() as connection:
        assert set(undisturbed) == {account.username for account in list_accounts(connection)}


def test_one_account_is_classified_by_name(house: House, undisturbed: Verdicts) -> None:
    name = sorted(undisturbed)[0]
    run_id = start_classification(house.resources, [name])
    assert house.wait(run_id) == {name: undisturbed[name]}


def test_all_queues_are_served(house: House) -> None:
    assert answering_kinds() == {"scrape", "gpu", "train", "cpu", "control"}


@pytest.mark.parametrize("worker", ["gpu", "control"])
def test_a_killed_worker_costs_no_verdict(house: House, undisturbed: Verdicts, worker: str) -> None:
    run_id = house.start_anew()
    house.kill(worker)
    house.check_once_each(run_id, undisturbed)


def test_an_emptied_broker_costs_no_verdict(house: House, undisturbed: Verdicts) -> None:
    run_id = house.start_anew()
    servers.empty_broker(require_broker(house.resources.settings))
    house.check_once_each(run_id, undisturbed)
