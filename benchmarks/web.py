"""Milliseconds of every page and API call with 100,000 accounts, while a bulk run writes.

Run it as ``make bench NAME=web``, with options as ``ARGS="--accounts 10000 --database URL"``.
Drawing the database takes minutes: ``--keep FOLDER`` leaves it there and uses it again.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.bundle import publish_untrained_bundle
from benchmarks.drawn import draw_patterns
from benchmarks.drawn_history import freshen
from benchmarks.many_accounts import conclude_again, fill
from benchmarks.report import describe_machine, note
from benchmarks.visits import STATIC, Times, ask_all, list_routes, read_rss_mib, weigh
from schemas.base import Frozen
from storage.campaigns import NewCampaign, save_campaign
from storage.runs import read_run
from tasks.context import Context, adopt_settings, context
from tasks.figures import count_when_due

GROUP = 50
START_S = 60.0
RECORD = "drawn.json"


class Drawn(Frozen):
    """What a store was filled with."""

    database: str
    accounts: int
    posts: int
    bundle_id: str
    run_id: int


def main() -> None:
    """Fill a store or take one that was kept, serve it, ask for everything, print the result."""
    options = parse_options()
    with kept_or_not(options.keep) as folder:
        environment = {"AFIN_DATA_DIR": str(folder), "AFIN_LOG_LEVEL": "WARNING"}
        if options.database:
            environment["AFIN_DATABASE_URL"] = options.database
        adopt_settings(environment)
        resources = context()
        drawn = drawn_before(resources, folder, options) or draw(resources, folder, options)
        freshen(resources.database)
        count_when_due(resources)
        classes = resources.bundle(drawn.bundle_id).manifest.classes
        kind = resources.database.kind
        resources.database.close()
        routes = list_routes(drawn.bundle_id, classes, drawn.run_id)
        loads = [load()]
        with serving(folder) as (host, pid):
            pids = partial(processes, pid)
            idle = ask_all(host, routes, max(options.times // 5, 5), pids)
            backends = pids()
            with writing(drawn) as written:
                busy = ask_all(host, routes, options.times, lambda: backends)
            loads.append(load())
            weights = weigh(host)
            rss_mib = read_rss_mib(pid)
    print_table(busy, idle)
    static = busy[STATIC]
    document = {
        "bench": "web",
        "ratios": {
            name: {"p50": ratio(one.p50, static.p50), "p95": ratio(one.p95, static.p95)}
            for name, one in busy.items()
        },
        "figures": {
            "database": kind,
            "accounts": drawn.accounts,
            "posts": drawn.accounts * drawn.posts,
            "times": options.times,
            "ms": {name: one.model_dump() for name, one in busy.items()},
            "ms_idle": {name: one.model_dump() for name, one in idle.items()},
            "load": loads,
            "verdicts_a_second": round(written[0]),
            "slowest_p95_ms": max(one.p95 for one in busy.values()),
            "slowest_cpu_p95_ms": max(one.cpu_p95 for one in busy.values()),
            "web_rss_mib": round(rss_mib),
            "first_page_bytes": weights,
        },
        "machine": describe_machine(),
    }
    print(json.dumps(document))


def ratio(one: float, other: float) -> float:
    """Return how many times the other it is."""
    return round(one / other, 1)


def load() -> float:
    """Return how many processes waited for a core over the last minute."""
    return round(os.getloadavg()[0], 1)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000, help="how many (100000)")
    parser.add_argument("--posts", type=int, default=20, help="of each account (20)")
    parser.add_argument("--times", type=int, default=300, help="each route is asked (300)")
    parser.add_argument("--database", help="address of an empty PostgreSQL database (SQLite)")
    parser.add_argument("--keep", type=Path, help="folder that keeps what was drawn (none)")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="whose vectors' width")
    return parser.parse_args()


@contextmanager
def kept_or_not(folder: Path | None) -> Iterator[Path]:
    """Give a folder for the store: one that stays, or one that goes."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with TemporaryDirectory(prefix="afin-bench-") as passing:
        yield Path(passing)


def drawn_before(resources: Context, folder: Path, options: argparse.Namespace) -> Drawn | None:
    """Return what an earlier call has left in a folder and its database, if it is the same."""
    record = folder / RECORD
    if not record.exists():
        return None
    found = Drawn.model_validate_json(record.read_text())
    asked = (resources.database.location, options.accounts, options.posts)
    if (found.database, found.accounts, found.posts) != asked:
        raise SystemExit(f"{folder} keeps another store: name another folder, or remove it.")
    note(f"Taking the store that {folder} keeps.")
    return found


def draw(resources: Context, folder: Path, options: argparse.Namespace) -> Drawn:
    """Fill the store and say what with."""
    bundle_id = publish_untrained_bundle(resources, options.backbone)
    manifest = resources.bundle(bundle_id).manifest
    note(f"Drawing {options.accounts} accounts with {options.posts} posts each ...")
    began = time.monotonic()
    run_id = fill(
        resources.database,
        bundle_id,
        manifest,
        accounts=options.accounts,
        posts_each=options.posts,
    )
    weights = {name: float(place + 1) for place, name in enumerate(manifest.classes[:3])}
    with resources.database.write() as connection:
        save_campaign(connection, NewCampaign(name="bench", weights=weights), "bench")
    note(f"Drawn in {time.monotonic() - began:.0f} s.")
    drawn = Drawn(
        database=resources.database.location,
        accounts=options.accounts,
        posts=options.posts,
        bundle_id=bundle_id,
        run_id=run_id,
    )
    (folder / RECORD).write_text(drawn.model_dump_json())
    return drawn


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, int]]:
    """Serve the pages as a process of their own."""
    record, log = folder / "web.url", folder / "web.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [sys.executable, "-m", "web"],
            stdout=out,
            stderr=out,
            env={**os.environ, "AFIN_WEB_PORT": "0"},
        ) as process,
    ):
        try:
            deadline = time.monotonic() + START_S
            while not record.exists() or not record.read_text():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"The pages did not start: {log.read_text()}")
                time.sleep(0.1)
            yield record.read_text().strip().removeprefix("http://"), process.pid
        finally:
            process.terminate()


@contextmanager
def writing(drawn: Drawn) -> Iterator[list[float]]:
    """Write groups of verdicts from another process, as a bulk run does.

    At the end the list has how many verdicts a second it stored.
    """
    spawn = multiprocessing.get_context("spawn")
    stop, begun, count = spawn.Event(), spawn.Event(), spawn.Value("q", 0)
    process = spawn.Process(target=_write, args=(drawn, stop, begun, count), daemon=True)
    process.start()
    rate: list[float] = []
    try:
        if not begun.wait(START_S):
            raise SystemExit("Nothing was written: look at what the other process says.")
        began = time.monotonic()
        yield rate
        rate.append(count.value / (time.monotonic() - began))
    finally:
        stop.set()
        process.join(START_S)


def _write(
    drawn: Drawn, stop: Event, begun: Event, count: "multiprocessing.sharedctypes.Synchronized[int]"
) -> None:
    resources = context()
    manifest = resources.bundle(drawn.bundle_id).manifest
    patterns = draw_patterns(manifest, drawn.posts)
    with resources.database.read() as connection:
        run = read_run(connection, drawn.run_id)
    turn = time.time_ns() % len(patterns)
    for first in cycle(range(1, drawn.accounts + 1, GROUP)):
        if stop.is_set():
            return
        turn += first == 1
        ids: Sequence[int] = range(first, min(first + GROUP, drawn.accounts + 1))
        count.value += conclude_again(
            resources.database, run, patterns, ids, posts_each=drawn.posts, turn=turn
        )
        begun.set()


def processes(pid: int) -> list[int]:
    """Return the process of the pages and, of a PostgreSQL on this machine, those that serve it."""
    database = context().database
    if database.kind != "postgresql":
        return [pid]
    with database.read() as connection:
        found = connection.exec_driver_sql(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
            "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        backends = [row[0] for row in found]
    database.close()
    return [pid, *(one for one in backends if Path(f"/proc/{one}").exists())]


def print_table(busy: dict[str, Times], idle: dict[str, Times]) -> None:
    """Print every route, the one that takes most processor time first."""
    names = ("p50", "p95", "CPU p50", "CPU p95", "idle p95", "x static")
    print(f"{'ms':>26}" + "".join(f"  {name:>8}" for name in names))
    static = busy[STATIC]
    for name, one in sorted(busy.items(), key=lambda item: -item[1].cpu_p95):
        figures = (one.p50, one.p95, one.cpu_p50, one.cpu_p95, idle[name].p95)
        print(
            f"{name:>26}"
            + "".join(f"  {figure:8.1f}" for figure in (*figures, ratio(one.p95, static.p95)))
        )


if __name__ == "__main__":
    main()
