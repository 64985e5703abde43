"""The main job over a real broker and real workers, undisturbed and disturbed."""

from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from redis import Redis
from sqlalchemy import func, select

from storage.accounts import list_accounts
from storage.bundles import find_bundle
from storage.evidence import read_evidence
from storage.tables import image_vectors, post_photos
from tasks.app import require_broker
from tasks.start import start_classification
from tasks.verdicts import judge_accounts
from tests.houses import House, Verdicts, until

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="session")
def undisturbed(house: House) -> Verdicts:
    """The verdicts of a first run that nothing disturbs."""
    return house.wait(house.reclassify())


def test_every_account_gets_a_verdict(house: House, undisturbed: Verdicts) -> None:
    with house.resources.database.read() as connection:
        names = {account.username for account in list_accounts(connection)}
    assert set(undisturbed) == names


def test_photos_named_by_address_were_fetched_or_have_a_reason(
    house: House, undisturbed: Verdicts
) -> None:
    with house.resources.database.read() as connection:
        fetched = select(post_photos).where(post_photos.c.url.is_not(None))
        rows = connection.execute(fetched).all()
    assert rows
    assert all(row.photo_sha256 or row.problem for row in rows)


def test_broken_photos_are_recorded_and_hurt_only_themselves(
    house: House, undisturbed: Verdicts
) -> None:
    with house.resources.database.read() as connection:
        query = select(post_photos.c.problem).where(post_photos.c.problem.is_not(None))
        problems = set(connection.scalars(query))
    assert problems
    assert any(one.lacking for found in undisturbed.values() for one in found)


def test_verdicts_equal_those_computed_without_queues(house: House, undisturbed: Verdicts) -> None:
    bundle = house.resources.bundle(house.bundle_id)
    with house.resources.database.read() as connection:
        accounts = list_accounts(connection)
        evidence = read_evidence(
            connection,
            [account.id for account in accounts],
            bundle.manifest.backbone,
            bundle.manifest.text_models,
        )
    results = judge_accounts(bundle, evidence)
    names = {account.id: account.username for account in accounts}
    assert {names[key]: verdicts for key, (_own, verdicts) in results.items()} == undisturbed


def test_a_second_run_embeds_nothing_and_says_the_same(house: House, undisturbed: Verdicts) -> None:
    def count() -> int:
        with house.resources.database.read() as connection:
            return connection.scalars(select(func.count()).select_from(image_vectors)).one()

    before = count()
    house.check_once_each(house.reclassify(), undisturbed)
    assert count() == before


def test_one_account_is_classified_by_name(house: House, undisturbed: Verdicts) -> None:
    name = sorted(undisturbed)[0]
    run_id = start_classification(house.resources, [name])
    assert house.wait(run_id) == {name: undisturbed[name]}


def test_the_first_bundle_is_the_active_one(house: House) -> None:
    with house.resources.database.read() as connection:
        assert find_bundle(connection).id == house.bundle_id


@pytest.mark.parametrize("worker", ["gpu", "cpu", "control"])
def test_a_killed_worker_costs_no_verdict(house: House, undisturbed: Verdicts, worker: str) -> None:
    run_id = house.start_anew()
    house.kill(worker)
    house.check_once_each(run_id, undisturbed)


def test_an_emptied_broker_costs_no_verdict(house: House, undisturbed: Verdicts) -> None:
    run_id = house.start_anew()
    with Redis.from_url(require_broker(house.resources.settings)) as broker:
        broker.flushall()
    house.check_once_each(run_id, undisturbed)


def test_flower_hears_of_tasks_because_it_asks_for_their_events(
    house: House, undisturbed: Verdicts
) -> None:
    def heard() -> bool:
        # Workers tell nobody of tasks until Flower has asked, which it does again and again.
        house.wait(house.reclassify())
        with urlopen(f"{house.flower_url}/metrics", timeout=30) as answer:  # noqa: S310 - loopback
            text = answer.read().decode()
        return any(
            'type="task-succeeded"' in line and 'task="verdicts.conclude_group"' in line
            for line in text.splitlines()
        )

    until(heard)


def test_flower_answers_and_refuses_to_act(house: House) -> None:
    with urlopen(f"{house.flower_url}/tasks", timeout=30) as answer:  # noqa: S310 - loopback
        assert answer.status == 200
    act = Request(f"{house.flower_url}/api/worker/shutdown/gpu", method="POST")  # noqa: S310
    with pytest.raises(HTTPError) as refused:
        urlopen(act, timeout=30)  # noqa: S310 - loopback
    refused.value.close()
    assert refused.value.code in {401, 403, 404, 405}
