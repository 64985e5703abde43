"""Milliseconds of every page and API call with 100,000 accounts, while a bulk run writes.

Run it as ``make bench NAME=web``, with options as ``ARGS="--accounts 10000 --database URL"``.
"""

import argparse
import http.client
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.bundle import publish_untrained_bundle
from benchmarks.many_accounts import fill, rewrite
from benchmarks.report import describe_machine, note
from storage.campaigns import NewCampaign, save_campaign
from storage.database import Database
from tasks.context import adopt_settings, context

GROUP = 50
START_S = 60.0


def main() -> None:
    """Fill a store, serve it, ask for everything, print the result."""
    options = parse_options()
    with TemporaryDirectory(prefix="afin-bench-") as folder:
        environment = {"AFIN_DATA_DIR": folder, "AFIN_LOG_LEVEL": "WARNING"}
        if options.database:
            environment["AFIN_DATABASE_URL"] = options.database
        adopt_settings(environment)
        resources = context()
        bundle_id = publish_untrained_bundle(resources, options.backbone)
        manifest = resources.bundle(bundle_id).manifest
        note(f"Drawing {options.accounts} accounts with {options.posts} posts each ...")
        began = time.monotonic()
        fill(
            resources.database,
            bundle_id,
            manifest,
            accounts=options.accounts,
            posts_each=options.posts,
        )
        weights = {name: float(place + 1) for place, name in enumerate(manifest.classes[:3])}
        with resources.database.write() as connection:
            save_campaign(connection, NewCampaign(name="bench", weights=weights), "bench")
        with resources.database.engine.connect() as connection:
            connection.exec_driver_sql("ANALYZE")
            connection.commit()
        note(f"Drawn in {time.monotonic() - began:.0f} s.")
        resources.database.close()
        routes = list_routes(bundle_id, manifest.classes)
        with serving(folder) as (host, pid):
            idle = ask_all(host, routes, options.times)
            cpu = ask_cpu(host, pid, routes)
            with writing(bundle_id, options.accounts, options.posts):
                busy = ask_all(host, routes, options.times)
            rss_mib = read_rss_mib(pid)
        kind = resources.database.kind
    print_table(busy, idle, cpu)
    document = {
        "bench": "web",
        "ratios": {},
        "figures": {
            "database": kind,
            "accounts": options.accounts,
            "posts": options.accounts * options.posts,
            "p95_ms": busy,
            "p95_ms_idle": idle,
            "cpu_ms": cpu,
            "load": [round(value, 1) for value in os.getloadavg()],
            "slowest_p95_ms": max(busy.values()),
            "web_rss_mib": round(rss_mib),
        },
        "machine": describe_machine(),
    }
    print(json.dumps(document))


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000, help="how many (100000)")
    parser.add_argument("--posts", type=int, default=20, help="of each account (20)")
    parser.add_argument("--times", type=int, default=60, help="each route is asked (60)")
    parser.add_argument("--database", help="address of an empty PostgreSQL database (SQLite)")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="whose vectors' width")
    return parser.parse_args()


def list_routes(bundle_id: str, classes: tuple[str, ...]) -> dict[str, str]:
    """Return every kind of page and call, by a short name."""
    first = classes[0]
    middle = "/api/v1/accounts?order=certain&limit=1&min_certainty=0.7"
    return {
        "accounts": "/",
        "accounts search": "/?text=gol",
        "accounts search, nothing": "/?text=xyzxyz",
        "accounts by share": f"/?category={first}&min_share=0.5&min_followers=3000",
        "accounts by share, few": f"/?category={first}&min_followers=2500000",
        "accounts certain": "/?order=certain&min_certainty=0.9",
        "accounts uncertain": "/?order=uncertain",
        "campaign": "/campaigns/1",
        "campaigns": "/campaigns",
        "account": "/accounts/{name}",
        "review": "/review",
        "review disputed": "/review?first=disputed",
        "runs": "/runs",
        "run": "/runs/1",
        "models": "/models",
        "model": f"/models/{bundle_id}",
        "threshold": f"/models/{bundle_id}/threshold?category={first}&threshold=0.4",
        "compare": f"/models/compare?bundle={bundle_id}&bundle={bundle_id}",
        "api page": "/api",
        "api accounts": "/api/v1/accounts",
        "api accounts deep": middle,
        "api account": "/api/v1/accounts/{name}",
        "api posts": "/api/v1/accounts/{name}/posts",
        "api verdict": "/api/v1/accounts/{name}/verdict",
        "api ranking": "/api/v1/campaigns/1/accounts",
        "api next review": "/api/v1/reviews/next",
        "api runs": "/api/v1/runs",
        "api run problems": "/api/v1/runs/1/problems",
        "api models": "/api/v1/models",
        "api document": "/api/v1/openapi.json",
    }


@contextmanager
def serving(folder: str) -> Iterator[tuple[str, int]]:
    """Serve the pages as a process of their own."""
    record = Path(folder) / "web.url"
    log = Path(folder) / "web.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [sys.executable, "-m", "web"], stdout=out, stderr=out, env=dict(os.environ)
        ) as process,
    ):
        deadline = time.monotonic() + START_S
        while not record.exists() or not record.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"The pages did not start: {log.read_text()}")
            time.sleep(0.1)
        try:
            yield record.read_text().strip().removeprefix("http://"), process.pid
        finally:
            process.terminate()


@contextmanager
def writing(bundle_id: str, accounts: int, posts_each: int) -> Iterator[None]:
    """Write groups of verdicts from another process, as a bulk run does."""
    spawn = multiprocessing.get_context("spawn")
    stop = spawn.Event()
    process = spawn.Process(target=_write, args=(bundle_id, accounts, posts_each, stop))
    process.start()
    try:
        time.sleep(3)
        yield
    finally:
        stop.set()
        process.join()


def _write(bundle_id: str, accounts: int, posts_each: int, stop: Event) -> None:
    resources = context()
    manifest = resources.bundle(bundle_id).manifest
    first, groups = 1, 0
    database: Database = resources.database
    while not stop.is_set():
        rewrite(
            database,
            bundle_id,
            manifest,
            range(first, min(first + GROUP, accounts + 1)),
            posts_each=posts_each,
        )
        first = first + GROUP if first + GROUP <= accounts else 1
        groups += 1
    note(f"Meanwhile {groups * GROUP} verdicts were written.")


def ask_all(host: str, routes: dict[str, str], times: int) -> dict[str, float]:
    """Ask for every route so many times in turn; return the 95th percentiles in ms."""
    connection = http.client.HTTPConnection(host, timeout=60)
    listed = json.loads(_ask(connection, "/api/v1/accounts?limit=100")[1])["accounts"]
    names = [one["username"] for one in listed]
    spent: dict[str, list[float]] = {name: [] for name in routes}
    for turn in range(times + 1):
        for name, path in routes.items():
            began = time.perf_counter()
            status, _body = _ask(connection, path.format(name=names[turn % len(names)]))
            if status != http.client.OK:
                raise SystemExit(f"{path} answered {status}.")
            if turn:
                spent[name].append(1000 * (time.perf_counter() - began))
    connection.close()
    return {name: round(float(np.percentile(found, 95)), 1) for name, found in spent.items()}


def _ask(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    data = answer.read()
    return answer.status, data if answer.getheader("Content-Encoding") is None else _unpack(data)


def _unpack(data: bytes) -> bytes:
    import gzip

    return gzip.decompress(data)


def read_rss_mib(pid: int) -> float:
    """Return the memory that a process holds, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def ask_cpu(host: str, pid: int, routes: dict[str, str], times: int = 25) -> dict[str, float]:
    """Return the CPU milliseconds that the server spends on each route: load does not count."""
    connection = http.client.HTTPConnection(host, timeout=60)
    listed = json.loads(_ask(connection, "/api/v1/accounts?limit=100")[1])["accounts"]
    spent = {}
    for name, path in routes.items():
        before = _cpu_ticks(pid)
        for turn in range(times):
            _ask(connection, path.format(name=listed[turn]["username"]))
        ticks = _cpu_ticks(pid) - before
        spent[name] = round(1000 * ticks / os.sysconf("SC_CLK_TCK") / times, 1)
    connection.close()
    return spent


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def print_table(busy: dict[str, float], idle: dict[str, float], cpu: dict[str, float]) -> None:
    """Print every route, the slowest first."""
    print(f"{'p95, ms':>26}  {'writing':>8}  {'idle':>8}  {'CPU ms':>8}")
    for name, value in sorted(busy.items(), key=lambda item: -item[1]):
        print(f"{name:>26}  {value:8.1f}  {idle[name]:8.1f}  {cpu[name]:8.1f}")


if __name__ == "__main__":
    main()
