"""Bulk runs under disturbances: every account has exactly one verdict, the undisturbed one."""

import os
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
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
from tests.houses import House, Verdicts, until, untrained_house
from tests.postgres import Cluster, find_binaries, running_cluster
from workers.supervisor import RestartPolicy

CLOSE = 1e-3
"""A share this near its threshold may fall on either side of it."""

SHORT_ACCOUNTS, LONG_ACCOUNTS = 20, 300
LONG_KILLS = 50

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
    with untrained_house(
        tmp_path, ENVIRONMENT, accounts=SHORT_ACCOUNTS, posts=(1, 4), policy=PATIENT
    ) as house:
        plan = [*random.sample(KILLS, 3), *LOSSES, fill_disk]
        random.shuffle(plan)
        disturb_runs(house, plan, random)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_fifty_kills_cost_no_verdict(tmp_path: Path, random: Random, cluster: Cluster) -> None:
    environment = {**ENVIRONMENT, "AFIN_DATABASE_URL": cluster.url}
    with untrained_house(
        tmp_path, environment, accounts=LONG_ACCOUNTS, posts=(1, 6), policy=PATIENT
    ) as house:
        plan = [random.choice(KILLS) for _ in range(LONG_KILLS)]
        plan += [*LOSSES * 2, fill_disk, fill_disk, *[restart_database(cluster)] * 3]
        random.shuffle(plan)
        disturb_runs(house, plan, random)


@pytest.mark.timeout(900)
def test_a_database_that_crashes_costs_no_verdict(
    tmp_path: Path, random: Random, cluster: Cluster
) -> None:
    environment = {**ENVIRONMENT, "AFIN_DATABASE_URL": cluster.url}
    with untrained_house(tmp_path, environment, accounts=20, posts=(1, 4), policy=PATIENT) as house:
        disturb_runs(house, [restart_database(cluster)] * 2, random)


def disturb_runs(house: House, plan: Sequence[Disturbance], random: Random) -> None:
    """Disturb one run after another, until the plan is carried out, and check each of them."""
    expected = house.wait(house.reclassify())
    run_id = house.start_anew()
    for disturb in plan:
        if is_over(house, run_id):
            check(house, run_id, expected)
            run_id = house.start_anew()
        print(f"run {run_id}: {getattr(disturb, '__qualname__', disturb)}", file=sys.stderr)
        disturb(house, random)
        # Chance decides how much work comes in between.
        time.sleep(random.uniform(0.1, 1.5))
    until(lambda: is_over(house, run_id))
    check(house, run_id, expected)


def is_over(house: House, run_id: int) -> bool:
    """Whether no member of a run is left to be concluded."""
    try:
        waiting = house.count(run_id, MemberState.PENDING)
        return waiting + house.count(run_id, MemberState.IN_FLIGHT) == 0
    except (DatabaseError, OperationalError):
        return False


def check(house: House, run_id: int, expected: Verdicts) -> None:
    """No member was lost, each has one verdict of the run, and it is the undisturbed one."""
    found = house.wait(run_id)
    assert set(found) == set(expected)
    for username, concluded in found.items():
        assert agree(concluded, expected[username]), username
    with house.resources.database.read() as connection:
        query = select(func.count()).where(verdicts.c.run_id == run_id)
        assert connection.scalars(query).one() == len(expected)


def agree(found: Sequence[Verdict], expected: Sequence[Verdict]) -> bool:
    """Whether verdicts are the same, but for shares that lie at their threshold."""
    for one, other in zip(found, expected, strict=True):
        differing = set(one.categories) ^ set(other.categories)
        near = {s.category for s in other.shares if abs(s.share - s.threshold) <= CLOSE}
        if differing - near or (one.usable, one.lacking) != (other.usable, other.lacking):
            return False
    return True
