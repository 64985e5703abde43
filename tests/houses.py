"""A whole afin for tests, with real workers: on the embedded servers or on others."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, func, select

from benchmarks.bundle import publish_untrained_bundle
from cli.serve import open_house
from cli.verdicts import read_classifying_progress
from pipelines.sources.accounts import read_accounts
from pipelines.sources.samples.writer import write_samples
from schemas.runs import MemberState, Progress, RunState
from schemas.settings import load_settings
from schemas.verdicts import Verdict
from storage.members import count_members
from storage.tables import image_vectors, verdicts
from storage.verdicts import run_verdicts
from tasks.app import app
from tasks.context import Context, adopt_settings, context
from tasks.ingest import take_accounts
from tasks.start import CLASSIFYING, require_workers, start_classification
from tests.adopted import adopted
from workers.supervisor import RestartPolicy, Supervisor

CATEGORIES = ("animal", "comida", "moda")
DEADLINE_S = 240.0

SMALL = {
    "AFIN_SWEEP_S": "1",
    "AFIN_MEMBER_TIMEOUT_S": "8",
    "AFIN_TRAIN_LEASE_S": "10",
    "AFIN_BATCH_SIZE": "8",
    "AFIN_SHARD_POSTS": "8",
    "AFIN_CPU_PROCESSES": "1",
    "AFIN_MAX_ATTEMPTS": "20",
}
"""Settings under which lost work is found within seconds, and an account is several shards."""

Verdicts = dict[str, tuple[Verdict, ...]]


@dataclass(frozen=True)
class House:
    """What a test needs of the running whole."""

    supervisor: Supervisor
    flower_url: str
    bundle_id: str
    web_url: str

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

    def kill(self, name: str) -> None:
        """End one worker as a crash would."""
        os.kill(self.pid(name), signal.SIGKILL)

    def reclassify(self) -> int:
        """Start classifying everyone."""
        return start_classification(self.resources, None)

    def start_anew(self) -> int:
        """Start classifying everyone with nothing computed yet, and return once work is out."""
        with self.resources.database.write() as connection:
            connection.execute(delete(image_vectors))
        run_id = self.reclassify()
        until(lambda: self.count(run_id, MemberState.IN_FLIGHT) > 0)
        return run_id

    def count(self, run_id: int, state: MemberState) -> int:
        """How many members of a run are in a state."""
        with self.resources.database.read() as connection:
            return count_members(connection, run_id)[state]

    def wait(self, run_id: int, deadline_s: float = DEADLINE_S) -> Verdicts:
        """Wait for a run and return its verdicts by username."""
        progress = finish(lambda: read_classifying_progress(run_id), deadline_s)
        assert progress.state is RunState.DONE, progress.error
        assert progress.failed == 0
        with self.resources.database.read() as connection:
            return {one.username: one.verdicts for one in run_verdicts(connection, run_id)}

    def check_once_each(self, run_id: int, expected: Verdicts) -> None:
        """Every account has one verdict of the run, equal to the undisturbed one."""
        assert self.wait(run_id) == expected
        with self.resources.database.read() as connection:
            query = select(func.count()).where(verdicts.c.run_id == run_id)
            assert connection.scalars(query).one() == len(expected)


def until(true: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < end, "It did not happen in time."
        time.sleep(0.05)


def finish(read: Callable[[], Progress], deadline_s: float = DEADLINE_S) -> Progress:
    """Wait for a run to end."""
    until(lambda: read().state.final, deadline_s)
    return read()


@contextmanager
def untrained_house(
    folder: Path,
    environment: Mapping[str, str],
    *,
    accounts: int,
    posts: tuple[int, int] = (3, 10),
    policy: RestartPolicy | None = None,
) -> Iterator[House]:
    """Everything running, accounts imported, and a bundle of the usual shape with drawn weights.

    A real backbone embeds real photos; only what was learnt from them is missing.
    """
    settings = {"AFIN_DATA_DIR": str(folder / "data"), **SMALL, **environment}
    samples = write_samples(
        folder / "samples",
        categories=CATEGORIES,
        training_per_category=1,
        accounts=accounts,
        posts=posts,
    )
    with adopted(settings), open_house(load_settings(), policy=policy) as opened:
        adopt_settings(opened.environment)
        resources = context()
        bundle_id = publish_untrained_bundle(resources, "efficientnet_lite0")
        take_accounts(resources, read_accounts(samples.accounts_file), origin="samples")
        require_workers(resources, (*CLASSIFYING, "scrape"), wait_s=DEADLINE_S)
        yield House(opened.supervisor, opened.flower_url, bundle_id, opened.web_url)
        app.close()
