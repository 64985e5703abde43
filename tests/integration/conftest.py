"""A whole afin for tests: embedded broker, SQLite, every kind of worker, one trained bundle."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.serve import open_house
from cli.training import read_training_progress
from cli.verdicts import read_classifying_progress
from pipelines.sources.accounts import read_accounts
from pipelines.sources.photos import read_labelled_photos
from pipelines.sources.samples.writer import write_samples
from schemas.runs import Progress, RunState
from schemas.settings import load_settings
from schemas.verdicts import Verdict
from storage.stages import read_stages
from storage.verdicts import run_verdicts
from tasks.app import app
from tasks.context import Context, adopt_settings, context
from tasks.ingest import take_accounts, take_photos
from tasks.start import TRAINING, require_workers, start_classification, start_training
from tests.adopted import adopted
from tests.served import serve_folder
from workers.supervisor import Supervisor

CATEGORIES = ("animal", "comida", "moda")
DEADLINE_S = 240.0


@dataclass(frozen=True)
class House:
    """What a test needs of the running whole."""

    supervisor: Supervisor
    flower_url: str
    bundle_id: str

    @property
    def resources(self) -> Context:
        return context()

    def pid(self, name: str) -> int:
        """The process of one worker, once it runs."""
        found: list[int] = []

        def running() -> bool:
            found[:] = [s.pid for s in self.supervisor.status() if s.name == name and s.pid]
            return bool(found)

        until(running)
        return found[0]

    def reclassify(self) -> int:
        """Start classifying everyone."""
        return start_classification(self.resources, None)

    def wait(self, run_id: int) -> dict[str, tuple[Verdict, ...]]:
        """Wait for a run and return its verdicts by username."""
        progress = finish(lambda: read_classifying_progress(run_id))
        assert progress.state is RunState.DONE, progress.error
        assert progress.failed == 0
        with self.resources.database.read() as connection:
            return {one.username: one.verdicts for one in run_verdicts(connection, run_id)}


def until(true: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < end, "It did not happen in time."
        time.sleep(0.05)


def finish(read: Callable[[], Progress]) -> Progress:
    """Wait for a run to end."""
    until(lambda: read().state.final)
    return read()


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Everything running, samples imported (some photos by address), one bundle trained."""
    folder: Path = tmp_path_factory.mktemp("house")
    environment = {
        "AFIN_DATA_DIR": str(folder / "data"),
        "AFIN_FETCH_ALLOW_LOOPBACK": "true",
        "AFIN_SWEEP_S": "1",
        "AFIN_MEMBER_TIMEOUT_S": "8",
        "AFIN_TRAIN_LEASE_S": "10",
        "AFIN_BATCH_SIZE": "8",
        "AFIN_SHARD_POSTS": "8",
        "AFIN_CPU_PROCESSES": "1",
        "AFIN_MAX_ATTEMPTS": "20",
    }
    with adopted(environment), serve_folder(folder / "samples") as base_url:
        samples = write_samples(
            folder / "samples",
            categories=CATEGORIES,
            training_per_category=12,
            accounts=9,
            posts=(3, 10),
            photo_base_url=base_url,
        )
        with open_house(load_settings()) as opened:
            adopt_settings(opened.environment)
            resources = context()
            take_photos(resources, read_labelled_photos(samples.photos_table), source="samples")
            take_accounts(resources, read_accounts(samples.accounts_file), origin="samples")
            require_workers(resources, (*TRAINING, "scrape"), wait_s=DEADLINE_S)
            run_id, _left_out = start_training(
                resources, CATEGORIES, backbone="efficientnet_lite0", seed=0
            )
            progress = finish(lambda: read_training_progress(run_id))
            assert progress.state is RunState.DONE, progress.error
            bundle_id = _bundle_of(resources, run_id)
            yield House(opened.supervisor, opened.flower_url, bundle_id)
            app.close()


def _bundle_of(resources: Context, run_id: int) -> str:
    with resources.database.read() as connection:
        output = read_stages(connection, run_id)["bundle"].output
    assert output is not None
    return str(output["bundle_id"])
