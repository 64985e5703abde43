"""What the machinery costs: Celery and the database without a model, from few accounts to many.

Run it as ``make bench NAME=orchestration``, with options as ``ARGS="--accounts 200000"``. Vectors
are simulated; every message, chord, row and verdict is real.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from redis import Redis
from sqlalchemy import update

from benchmarks.bundle import publish_untrained_bundle
from benchmarks.house import POLL_S, cpu_times, reclassify
from benchmarks.house import House as BenchHouse
from benchmarks.queues import measure_queues
from benchmarks.report import compare, note, print_result
from benchmarks.simulated import CLOCKS, COUNTED, read_clocks
from benchmarks.simulated_accounts import add_accounts
from schemas.runs import MemberState, RunKind
from schemas.settings import load_settings
from storage.members import add_every_account
from storage.runs import create_run
from storage.tables import run_members
from tasks.app import app, require_broker
from tasks.context import Context, adopt_settings, context
from tasks.runs import FEWEST_CHORDS, feed
from tasks.start import CLASSIFYING, require_workers
from workers.broker import EmbeddedBroker
from workers.processes import ChildSpec
from workers.supervisor import Supervisor, settings_env

BACKBONE = "efficientnet_lite0"
POSTS_EACH = (30, 50)
"""Posts of an account, and with it of a message: within the 25 to 50 that a shard is."""

WINDOWS = 8
"""How many windows of a run are measured, spread evenly over it."""


class Turn(NamedTuple):
    """What a run cost a post in CPU ms: by process, of that for judging; and empty chords beside.

    Judging is numpy and the making of verdicts: neither Celery nor database.
    """

    by_process: dict[str, float]
    judging_ms: float
    empty_ms: float

    @property
    def machinery_ms(self) -> float:
        """What is left for Celery, the database and our own code between them."""
        return sum(self.by_process.values()) - self.judging_ms


class Growth(NamedTuple):
    """What feeding costs in a run of so many accounts; memory is what a full window adds."""

    accounts: int
    feeder_ms_per_account: float
    broker_kib_per_window: float


def main() -> None:
    """Measure and print the result."""
    options = parse_options()
    figures: dict[str, Any] = {}
    ratios: dict[str, list[float]] = {}
    for posts_each in POSTS_EACH:
        turns = measure_cpu(options.cpu_accounts, posts_each, options.pairs)
        middle = sorted(turns, key=lambda turn: turn.machinery_ms)[len(turns) // 2]
        figures[f"accounts_of_{posts_each}_posts"] = {
            "cpu_ms_per_post_by_process": {k: round(v, 4) for k, v in middle.by_process.items()},
            "judging_ms_per_post": round(middle.judging_ms, 4),
            "empty_chords_ms_per_post": round(middle.empty_ms, 4),
        }
        end = "" if posts_each == POSTS_EACH[0] else f"_of_{posts_each}"
        ratios[f"cpu_ms_per_post{end}"] = [turn.machinery_ms for turn in turns]
        ratios[f"vs_empty_chords{end}"] = [turn.machinery_ms / turn.empty_ms for turn in turns]
    sizes = [size for size in (1_000, 20_000, 200_000) if size <= options.accounts]
    growth = [measure_growth(size) for size in sizes]
    figures["growth"] = [one._asdict() for one in growth]
    speeds = measure_queues(options.jobs, options.pairs)
    figures |= {f"{name}_jobs_per_s": round(statistics.median(s)) for name, s in speeds.items()}
    ratios |= {
        "broker_growth": [growth[-1].broker_kib_per_window / growth[0].broker_kib_per_window],
        "feeder_growth": [growth[-1].feeder_ms_per_account / growth[0].feeder_ms_per_account],
        "vs_dramatiq": compare(speeds["celery"], speeds["dramatiq"]),
        "vs_huey": compare(speeds["celery"], speeds["huey"]),
    }
    print_result("orchestration", ratios, figures)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=200_000, help="of the longest run (200000)")
    parser.add_argument("--cpu-accounts", type=int, default=200, help="fully worked off (200)")
    parser.add_argument("--jobs", type=int, default=2_000, help="trivial jobs a turn (2000)")
    parser.add_argument("--pairs", type=int, default=3, help="turns of each measurement (3)")
    options = parser.parse_args()
    if min(options.cpu_accounts, options.jobs, options.pairs) < 1 or options.accounts < 1_000:
        parser.error("--accounts must be at least 1000, the others at least 1")
    return options


def measure_cpu(accounts: int, posts_each: int, turns: int) -> list[Turn]:
    """Work whole runs off by real workers, each beside empty chords of the same shape.

    Accounts of one shard each; whatever starts, and the first run, are not counted.
    """
    found = []
    with TemporaryDirectory(prefix="afin-bench-") as folder:
        clocks = Path(folder) / "clocks"
        clocks.mkdir()
        adopt_settings(
            {
                "AFIN_DATA_DIR": folder,
                "AFIN_CPU_PROCESSES": "1",
                "AFIN_SHARD_POSTS": str(posts_each),
                CLOCKS: str(clocks),
            }
        )
        with EmbeddedBroker.start(Path(folder)) as broker:
            settings = adopt_settings({"AFIN_BROKER_URL": broker.url})
            specs = [
                ChildSpec(
                    name=kind,
                    argv=(sys.executable, "-m", "benchmarks.simulated", kind),
                    env=settings_env(settings) | {"OMP_NUM_THREADS": "1"},
                )
                for kind in CLASSIFYING
            ]
            with Supervisor(specs, logs=Path(folder) / "logs", broker=broker, say=note) as keeper:
                house = BenchHouse(context(), keeper)
                publish_untrained_bundle(house.resources, BACKBONE)
                add_accounts(house.resources, accounts, posts_each=posts_each)
                require_workers(house.resources, CLASSIFYING, wait_s=180)
                posts = accounts * posts_each
                reclassify(house, posts)
                work_off_empty_chords(house, accounts)
                for _ in range(turns):
                    judged_s = read_clocks(clocks)
                    spent = reclassify(house, posts).cpu_s
                    judged_s = read_clocks(clocks) - judged_s
                    empty_s = work_off_empty_chords(house, accounts)
                    turn = Turn(
                        {name: 1000 * s / posts for name, s in spent.items()},
                        1000 * judged_s / posts,
                        1000 * empty_s / posts,
                    )
                    found.append(turn)
                    note(
                        f"{posts_each} posts: {turn.machinery_ms:.3f} CPU ms a post beside "
                        f"{turn.judging_ms:.3f} of judging; empty chords {turn.empty_ms:.3f}"
                    )
    return found


def work_off_empty_chords(house: BenchHouse, accounts: int) -> float:
    """Return the CPU seconds of all processes for chords of the same shape that do nothing."""
    settings = house.resources.settings
    together = max(1, min(settings.chord_shards, accounts // FEWEST_CHORDS))
    with Redis.from_url(require_broker(settings)) as broker:
        broker.delete(COUNTED)
        before = cpu_times(house.supervisor)
        app.send_task("bench.feed", (accounts, together), queue="control")
        while int(broker.get(COUNTED) or 0) < accounts:
            time.sleep(POLL_S)
        after = cpu_times(house.supervisor)
    return sum(after.values()) - sum(before.values())


def measure_growth(accounts: int) -> Growth:
    """Feed windows spread over a run of so many accounts, and see what each costs.

    What lies between them is marked done in one statement, as workers would have done.
    """
    with TemporaryDirectory(prefix="afin-bench-") as folder:
        adopt_settings({"AFIN_DATA_DIR": folder})
        with EmbeddedBroker.start(Path(folder)) as broker:
            adopt_settings({"AFIN_BROKER_URL": broker.url})
            resources = context()
            bundle_id = publish_untrained_bundle(resources, BACKBONE)
            add_accounts(resources, accounts, posts_each=2)
            with resources.database.write() as connection:
                run_id = create_run(connection, RunKind.CLASSIFY, params={}, bundle_id=bundle_id)
                add_every_account(connection, run_id)
            with Redis.from_url(broker.url) as client:
                costs = feed_windows(resources, run_id, accounts, client)
            resources.database.close()
            app.close()
    window = load_settings().run_window
    growth = Growth(
        accounts,
        round(1000 * statistics.median(cpu_s for cpu_s, _ in costs) / window, 4),
        round(statistics.median(size for _, size in costs) / 1024, 1),
    )
    note(str(growth))
    return growth


def feed_windows(
    resources: Context, run_id: int, accounts: int, client: Redis
) -> list[tuple[float, int]]:
    """Return CPU seconds and broker bytes of each window; the first warms up and is left out."""
    window = resources.settings.run_window
    costs = []
    for number in range(WINDOWS + 1):
        first = max(0, number - 1) * (accounts - window) // max(1, WINDOWS - 1)
        mark(resources, run_id, first)
        client.flushdb()
        # Channels and the schemas of queues are there from the first message on.
        empty = int(client.info("memory")["used_memory"])
        started_s = time.process_time()
        answer = feed(run_id)
        cpu_s = time.process_time() - started_s
        if answer != f"sent={window}":
            raise SystemExit(f"The feeder said {answer!r} in window {number}.")
        costs.append((cpu_s, int(client.info("memory")["used_memory"]) - empty))
    return costs[1:]


def mark(resources: Context, run_id: int, first: int) -> None:
    """Let all accounts before the ``first`` be done and the others wait."""
    with resources.database.write() as connection:
        for state, before in ((MemberState.DONE, True), (MemberState.PENDING, False)):
            column = run_members.c.influencer_id
            connection.execute(
                update(run_members)
                .where(run_members.c.run_id == run_id)
                .where(column <= first if before else column > first)
                .values(state=state, attempts=0)
            )


if __name__ == "__main__":
    main()
