"""What commands ask for is checked before anything is started."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.categories import parse_category_set
from schemas.errors import (
    AfinError,
    BrokerError,
    NotFoundError,
    TrainingError,
    UsageError,
    WorkersError,
)
from storage.runs import list_runs
from storage.training import NewExample, add_examples
from tasks.context import Context, context
from tasks.start import MIN_EXAMPLES, start_classification, start_training
from tests.adopted import adopted
from tests.unit.storage.builders import add_photo, new_post
from tests.unit.tasks.builders import add_account, publish_toy_bundle


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Context]:
    """A store for which no broker runs."""
    with adopted({"AFIN_DATA_DIR": str(tmp_path / "data")}):
        yield context()


@pytest.fixture
def deserted(tmp_path: Path) -> Iterator[Context]:
    """A store with a broker, but no worker."""
    environment = {
        "AFIN_DATA_DIR": str(tmp_path / "data"),
        "AFIN_BROKER_URL": "memory://",
        "AFIN_RESULT_URL": "cache+memory://",
        "AFIN_WORKERS_WAIT_S": "0.01",
    }
    with adopted(environment):
        yield context()


def add_examples_of(resources: Context, **counts: int) -> None:
    with resources.database.write() as connection:
        for category, count in counts.items():
            made = [
                NewExample(
                    source="dev",
                    photo_sha256=add_photo(connection, f"{category}{number}"),
                    category=category,
                    split="train",
                    caption="",
                )
                for number in range(count)
            ]
            add_examples(connection, made)


def assert_nothing_began(resources: Context) -> None:
    with resources.database.read() as connection:
        assert list_runs(connection) == []


def test_without_a_model_nobody_is_classified(alone: Context) -> None:
    add_account(alone, "ana", [new_post("p1")])
    with pytest.raises(NotFoundError, match="train one with 'afin train'"):
        start_classification(alone, None)


def test_without_accounts_there_is_nothing_to_classify(alone: Context, tmp_path: Path) -> None:
    publish_toy_bundle(alone, tmp_path)
    with pytest.raises(UsageError, match="'afin import accounts FILE' adds some"):
        start_classification(alone, None)


def test_an_account_that_does_not_exist_stops_a_classification_before_it_begins(
    alone: Context, tmp_path: Path
) -> None:
    publish_toy_bundle(alone, tmp_path)
    add_account(alone, "ana", [new_post("p1")])
    with pytest.raises(NotFoundError, match="No account named 'eva'"):
        start_classification(alone, ["ana", "eva"])
    assert_nothing_began(alone)


@pytest.mark.parametrize("usernames", [None, ["ana"], ["@Ana "]])
def test_without_a_broker_nothing_begins(
    alone: Context, tmp_path: Path, usernames: list[str] | None
) -> None:
    publish_toy_bundle(alone, tmp_path)
    add_account(alone, "ana", [new_post("p1")])
    with pytest.raises(BrokerError, match="start 'afin up' first"):
        start_classification(alone, usernames)
    assert_nothing_began(alone)


def test_without_workers_nothing_begins(deserted: Context, tmp_path: Path) -> None:
    publish_toy_bundle(deserted, tmp_path)
    add_account(deserted, "ana", [new_post("p1")])
    with pytest.raises(WorkersError, match="No worker answers for: control, cpu, gpu"):
        start_classification(deserted, None)
    assert_nothing_began(deserted)


def test_training_needs_workers_of_its_own_too(deserted: Context) -> None:
    add_examples_of(deserted, animal=MIN_EXAMPLES, comida=MIN_EXAMPLES)
    with pytest.raises(WorkersError, match="control, cpu, gpu, train"):
        start_training(deserted, ["animal", "comida"], backbone="toy", seed=0)
    assert_nothing_began(deserted)


@pytest.mark.parametrize(
    "counts",
    [
        {},
        {"animal": MIN_EXAMPLES},
        {"animal": MIN_EXAMPLES, "comida": MIN_EXAMPLES - 1},
        {"otra": MIN_EXAMPLES},
    ],
)
def test_too_few_photos_are_told_with_their_counts(alone: Context, counts: dict[str, int]) -> None:
    add_examples_of(alone, **counts)
    with pytest.raises(TrainingError) as caught:
        start_training(alone, parse_category_set("five"), backbone="toy", seed=0)
    assert f"animal {counts.get('animal', 0)}, comida {counts.get('comida', 0)}" in str(
        caught.value
    )
    assert_nothing_began(alone)


@pytest.mark.parametrize("broker", ["memory://", "amqp://guest@127.0.0.1//"])
def test_a_broker_that_cannot_gather_results_needs_a_redis_beside_it(
    tmp_path: Path, broker: str
) -> None:
    environment = {"AFIN_DATA_DIR": str(tmp_path), "AFIN_BROKER_URL": broker}
    with pytest.raises(AfinError, match="AFIN_RESULT_URL"), adopted(environment):
        pass


def test_a_broker_that_is_not_there_is_told_without_its_password(tmp_path: Path) -> None:
    environment = {
        "AFIN_DATA_DIR": str(tmp_path / "data"),
        "AFIN_BROKER_URL": "redis://:hunter2@127.0.0.1:1/0",
    }
    with adopted(environment):
        resources = context()
        publish_toy_bundle(resources, tmp_path)
        add_account(resources, "ana", [new_post("p1")])
        with pytest.raises(BrokerError, match="cannot be reached") as caught:
            start_classification(resources, None)
        assert "hunter2" not in str(caught.value)
        assert_nothing_began(resources)
