"""A whole afin on a folder of its own: embedded broker, SQLite, and real worker processes."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

from sqlalchemy import delete, func, select

from benchmarks.photos import CATEGORIES
from cli.serve import open_house
from pipelines.sources.samples.captions import compose_caption
from schemas.errors import AfinError
from schemas.posts import SourceAccount, SourcePhoto, SourcePost
from schemas.runs import MemberState, RunState
from schemas.settings import load_settings
from storage.members import count_members
from storage.runs import read_run
from storage.tables import image_vectors, outcomes, text_vectors, verdicts
from tasks.context import Context, adopt_settings, context
from tasks.ingest import take_accounts
from tasks.start import CLASSIFYING, require_workers, start_classification
from workers.supervisor import Supervisor

ADDRESSES = ("DATABASE_URL", "BROKER_URL", "RESULT_URL", "BLOB_URL")
"""Settings that could point at somebody's real data; a benchmark wipes what it measures on."""

STARTING_S = 180.0
"""Six processes that import their libraries at once, perhaps on a busy machine."""

POLL_S = 0.1
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
MOST_POSTS = 40


class House(NamedTuple):
    """A running afin: this process's resources in it, and who keeps its processes."""

    resources: Context
    supervisor: Supervisor


class RunTime(NamedTuple):
    """How long a run took from its creation to its end, and the CPU time of each process."""

    seconds: float
    cpu_s: dict[str, float]


@contextmanager
def run_house(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[House]:
    """Start everything on an empty folder, wait until the workers answer, and stop it after.

    ``environment`` is added to this process's and to that of the workers.
    """
    for name in ADDRESSES:
        os.environ.pop(f"AFIN_{name}", None)
    adopt_settings({"AFIN_DATA_DIR": str(folder), **(environment or {})})
    with open_house(load_settings()) as house:
        adopt_settings(house.environment)
        require_workers(context(), CLASSIFYING, wait_s=STARTING_S)
        yield House(context(), house.supervisor)


def take_in(resources: Context, paths: Sequence[Path], random: Random) -> int:
    """Import photos as the posts of accounts, one each, and return how many accounts there are."""
    accounts = list(make_accounts(paths, random))
    intake = take_accounts(resources, accounts, origin="benchmark")
    if intake.photos != len(paths) or intake.problems:
        raise AfinError(f"Of {len(paths)} photos {intake.photos} were taken: {intake.problems}.")
    return len(accounts)


def make_accounts(paths: Sequence[Path], random: Random) -> Iterator[SourceAccount]:
    """Give out photos to accounts of 1 to 40 posts, each with a drawn caption."""
    start = 0
    while start < len(paths):
        own = paths[start : start + random.randint(1, MOST_POSTS)]
        posts = tuple(
            SourcePost(
                external_id=path.stem,
                caption=compose_caption(random.choice(CATEGORIES), random),
                photos=(SourcePhoto(path=path),),
            )
            for path in own
        )
        yield SourceAccount(username=f"bench_{start:06d}", posts=posts)
        start += len(own)


def reclassify(house: House, photos: int, *, keep_vectors: bool = False) -> RunTime:
    """Classify every account from nothing, as ``afin reclassify --all --wait`` does.

    With ``keep_vectors`` only verdicts are made anew, as after a new head.

    Raises:
        AfinError: the run failed, or it did not embed every photo.
    """
    resources = house.resources
    forget_results(resources, keep_vectors=keep_vectors)
    before = cpu_times(house.supervisor)
    run_id = start_classification(resources, None)
    while True:
        with resources.database.read() as connection:
            run = read_run(connection, run_id)
        if run.state.final and run.finished_at is not None:
            break
        time.sleep(POLL_S)
    after = cpu_times(house.supervisor)
    with resources.database.read() as connection:
        counts = count_members(connection, run_id)
        usable = image_vectors.c.vector.is_not(None)
        embedded = connection.scalar(select(func.count()).where(usable))
    if run.state is not RunState.DONE or counts[MemberState.DEAD] or embedded != photos:
        raise AfinError(f"Run {run_id} is {run.state} with {embedded} of {photos} photos embedded.")
    seconds = (run.finished_at - run.created_at).total_seconds()
    return RunTime(seconds, {name: after[name] - before[name] for name in after})


def forget_results(resources: Context, *, keep_vectors: bool = False) -> None:
    """Delete every outcome and verdict, and every vector, so that the next run computes them."""
    vectors = () if keep_vectors else (image_vectors, text_vectors)
    with resources.database.write() as connection:
        for table in (*vectors, outcomes, verdicts):
            connection.execute(delete(table))


def cpu_times(supervisor: Supervisor) -> dict[str, float]:
    """Return the CPU seconds each command, with its living children, has used so far."""
    return {
        status.name: _cpu_of(status.pid) for status in supervisor.status() if status.pid is not None
    }


def _cpu_of(pid: int) -> float:
    """Add up what /proc says of a process and its descendants (fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own_s = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own_s + sum(_cpu_of(int(child)) for child in children)
