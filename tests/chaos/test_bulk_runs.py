"""Bulk runs under disturbances: every account has exactly one verdict, the undisturbed one."""

import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from schemas.errors import DatabaseError
from schemas.runs import MemberState
from schemas.verdicts import Verdict
from storage.tables import verdicts
from tests.chaos.disturbances import (
    KILLS,
    LOSSES,
    VISIBILITY_S,
    Disturbance,
    fill_disk,
    restart_database,
)
from tests.chaos.teller import SECRET, SECRETS, Teller
from tests.houses import DEADLINE_S, House, Verdicts, until, untrained_house
from tests.postgres import Cluster, find_binaries, running_cluster
from tests.receiver import Receiver, receiving
from workers.supervisor import RestartPolicy

CLOSE = 1e-3
"""A share this near its threshold may fall on either side of it."""

SHORT_ACCOUNTS, LONG_ACCOUNTS = 20, 300
LONG_KILLS = 50
LONG_PAUSE_S = 8.0
"""Workers take seconds to start: killed again at once, they would never be killed at work."""

LONG_S = 1800.0
"""A thousand photos on a machine with two cores that others work on too."""

# Whoever is killed fifty times on purpose is not to be given up.
PATIENT = RestartPolicy(first_s=0.2, longest_s=1.0, deaths=1000)
ENVIRONMENT = {
    "AFIN_VISIBILITY_TIMEOUT_S": str(VISIBILITY_S),
    "AFIN_RUN_WINDOW": "20",
    "AFIN_MAX_ATTEMPTS": "100",
}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL that nobody else uses."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL's own programs are not installed: no server can be started.")
    with running_cluster(binaries) as running:
        yield running


@pytest.fixture
def random() -> Random:
    """Chance that can be repeated: its seed is printed, and taken from AFIN_TEST_SEED."""
    seed = int(os.environ.get("AFIN_TEST_SEED", secrets.randbelow(10**6)))
    print(f"AFIN_TEST_SEED={seed}", file=sys.stderr)
    return Random(seed)  # noqa: S311 - chance for tests


@pytest.mark.timeout(900)
def test_a_short_run_loses_nothing_on_sqlite(tmp_path: Path, random: Random) -> None:
    with chaotic_house(tmp_path, {}, accounts=SHORT_ACCOUNTS, posts=(1, 4)) as (house, receiver):
        plan = [*random.sample(KILLS, 3), *LOSSES, fill_disk]
        random.shuffle(plan)
        disturb_runs(house, receiver, plan, random)


@pytest.mark.chaos
@pytest.mark.timeout(7200)
def test_fifty_kills_cost_no_verdict(tmp_path: Path, random: Random, cluster: Cluster) -> None:
    environment = {"AFIN_DATABASE_URL": cluster.url}
    with chaotic_house(tmp_path, environment, accounts=LONG_ACCOUNTS, posts=(1, 6)) as (
        house,
        receiver,
    ):
        # Each kind of kill at least a few times, whatever chance says.
        plan = [*KILLS * 4, *random.choices(KILLS, k=LONG_KILLS - 4 * len(KILLS))]
        plan += [*LOSSES * 2, fill_disk, fill_disk, *[restart_database(cluster)] * 3]
        random.shuffle(plan)
        disturb_runs(house, receiver, plan, random, pause_s=LONG_PAUSE_S, deadline_s=LONG_S)


@pytest.mark.timeout(900)
def test_a_database_that_crashes_costs_no_verdict(
    tmp_path: Path, random: Random, cluster: Cluster
) -> None:
    environment = {"AFIN_DATABASE_URL": cluster.url}
    with chaotic_house(tmp_path, environment, accounts=20, posts=(1, 4)) as (house, receiver):
        disturb_runs(house, receiver, [restart_database(cluster)] * 2, random)


@contextmanager
def chaotic_house(
    folder: Path, environment: Mapping[str, str], *, accounts: int, posts: tuple[int, int]
) -> Iterator[tuple[House, Receiver]]:
    """A whole afin that gives nobody up, and the callback that it tells verdicts."""
    with receiving(SECRETS) as receiver:
        events = {
            "AFIN_EVENT_SECRETS": SECRET,
            "AFIN_CALLBACK_URL": receiver.url,
            "AFIN_CALLBACK_ALLOW_PRIVATE": "true",
        }
        with untrained_house(
            folder,
            {**ENVIRONMENT, **events, **environment},
            accounts=accounts,
            posts=posts,
            policy=PATIENT,
        ) as house:
            yield house, receiver


def disturb_runs(
    house: House,
    receiver: Receiver,
    plan: Sequence[Disturbance],
    random: Random,
    *,
    pause_s: float = 1.5,
    deadline_s: float = DEADLINE_S,
) -> None:
    """Disturb one run after another, until the plan is carried out, and check each of them."""
    expected = house.wait(house.reclassify(), deadline_s)
    teller = Teller(house, receiver, list(expected))
    run_id = house.start_anew()
    for number, disturb in enumerate(plan):
        if is_over(house, run_id):
            check(house, run_id, expected, deadline_s)
            run_id = house.start_anew()
        name = getattr(disturb, "__qualname__", disturb)
        print(f"run {run_id}, {number + 1} of {len(plan)}: {name}", file=sys.stderr)
        disturb(house, random)
        if number % 3 == 0:
            teller.tell(random)
        # Chance decides how much work comes in between.
        time.sleep(random.uniform(0.1, pause_s))
    until(lambda: is_over(house, run_id), deadline_s)
    check(house, run_id, expected, deadline_s)
    teller.check(deadline_s)


def is_over(house: House, run_id: int) -> bool:
    """Whether no member of a run is left to be concluded."""
    try:
        waiting = house.count(run_id, MemberState.PENDING)
        return waiting + house.count(run_id, MemberState.IN_FLIGHT) == 0
    except (DatabaseError, OperationalError):
        return False


def check(house: House, run_id: int, expected: Verdicts, deadline_s: float) -> None:
    """No member was lost, each has one verdict of the run, and it is the undisturbed one."""
    found = house.wait(run_id, deadline_s)
    assert set(found) == set(expected)
    for username, concluded in found.items():
        assert agree(concluded, expected[username]), username
    with house.resources.database.read() as connection:
        query = select(func.count()).where(verdicts.c.run_id == run_id)
        assert connection.scalars(query).one() == len(expected)


def agree(found: Sequence[Verdict], expected: Sequence[Verdict]) -> bool:
    """Whether verdicts are the same in every share, but for choices where one is at its threshold.

    A photo's vector may differ in its last digits with the batch it was in, which no share shows.
    """
    for one, other in zip(found, expected, strict=True):
        shares = {share.category: share for share in other.shares}
        near = {s.category for s in other.shares if abs(s.share - s.threshold) <= CLOSE}
        differing = set(one.categories) ^ set(other.categories)
        if differing - near or (one.usable, one.lacking) != (other.usable, other.lacking):
            return False
        if any(abs(s.share - shares[s.category].share) > CLOSE for s in one.shares):
            return False
    return True
