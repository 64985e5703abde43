"""One scrape worker's process: a crawl's own tasks on a list of addresses, timed.

The tasks are those of a worker, with their database and blobs; only the broker lies in memory.
"""

import argparse
import contextlib
import json
import os
import sys
import time
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path
from urllib.parse import urlsplit

from kombu.transport.memory import Channel

from schemas.runs import RunKind, RunState
from storage.crawl_parts import NewPart, add_parts, claim_parts, finish_parts
from storage.crawl_report import read_crawl_report
from storage.crawl_urls import NewUrl, Use, add_urls
from storage.runs import create_run, read_run
from tasks.context import Context, adopt_settings, context
from tasks.crawl import fetch
from tasks.fetching import close_fetching
from tasks.garbage import spare_collector
from tasks.runs import feed, sweep

CATEGORY = "comida"
POLL_S = 0.02
WARM = 200
"""So many first addresses are crawled before the clock starts, and counted nowhere."""

SWEEP_S = 3.0


def prepare(resources: Context, urls: list[str]) -> int:
    """Make a crawl that has listed all addresses already."""
    with resources.database.write() as connection:
        params = {"source": "imagenet", "categories": [CATEGORY]}
        run_id = create_run(connection, RunKind.CRAWL, params=params)
        add_parts(connection, run_id, [NewPart(kind="synset", name="n1", category=CATEGORY)])
        (part_id,) = claim_parts(connection, run_id, window=1)
        found = [
            NewUrl(
                url=url,
                host=urlsplit(url).netloc,
                external_id=f"n1_{number}",
                category=CATEGORY,
                use=Use(use="example", category=CATEGORY),
            )
            for number, url in enumerate(urls)
        ]
        add_urls(connection, run_id, part_id, found)
        finish_parts(connection, [part_id])
    return run_id


def work(resources: Context, run_id: int, memory: list[int]) -> float:
    """Work as a control and a scrape worker do until the crawl has ended; return the seconds."""
    started = swept = time.monotonic()
    feed(run_id)
    with ThreadPoolExecutor(resources.settings.scrape_threads) as threads:
        ended = False
        while not ended:
            for task, args in _receive():
                if task == "runs.feed":
                    ended = feed(*args) == RunState.DONE
                else:
                    threads.submit(fetch, *args)
            if time.monotonic() > swept + SWEEP_S:
                swept = time.monotonic()
                sweep()
                memory.append(read_rss_mib())
                with resources.database.read() as connection:
                    ended = ended or read_run(connection, run_id).state is not RunState.RUNNING
            time.sleep(POLL_S)
    return time.monotonic() - started


def _receive() -> list[tuple[str, list[int]]]:
    """Take what lies in the broker; of several wake-ups one is enough."""
    found: dict[str, tuple[str, list[int]]] = {}
    for queue in list(Channel.queues.values()):
        while not queue.empty():
            message = queue.get_nowait()
            task, body = message["headers"]["task"], json.loads(b64decode(message["body"]))
            found[f"{task}{body[0]}"] = (task, body[0])
    return list(found.values())


def read_rss_mib() -> int:
    """Memory of this process and those that it started, now, without the files they map.

    Of SQLite's file as much is mapped as there is of it, from the system's own cache.
    """
    return sum(map(_own_kib, _processes())) // 2**10


def _own_kib(process: Path) -> int:
    lines = (process / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def read_cpu_s() -> list[float]:
    """Processor time until now of this process, and of each that it started."""
    ticks = [path.joinpath("stat").read_text().rpartition(")")[2].split() for path in _processes()]
    return [(int(one[11]) + int(one[12])) / os.sysconf("SC_CLK_TCK") for one in ticks]


def _processes() -> list[Path]:
    found = [Path("/proc/self")]
    for task in Path("/proc/self/task").iterdir():
        # A thread may end meanwhile.
        with contextlib.suppress(FileNotFoundError):
            found += [Path("/proc", pid) for pid in (task / "children").read_text().split()]
    return found


def main() -> None:
    """Crawl a file of addresses and print how it went as one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("urls", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--check", choices=["header", "decode"], default="decode")
    options = parser.parse_args()
    adopt_settings(
        {
            "AFIN_DATA_DIR": str(options.data),
            "AFIN_BROKER_URL": "memory://",
            "AFIN_RESULT_URL": "cache+memory://",
            "AFIN_FETCH_ALLOW_LOOPBACK": "true",
            "AFIN_FETCH_CHECK": options.check,
        }
    )
    resources, memory = context(), [read_rss_mib()]
    urls = options.urls.read_text().split()
    # Modules, certificates, connections and statements: what a worker has since its first crawl.
    work(resources, prepare(resources, urls[:WARM]), memory)
    run_id = prepare(resources, urls[WARM:])
    spare_collector()
    before = read_cpu_s()
    seconds = work(resources, run_id, memory)
    cpu_s = [now - then for now, then in zip_longest(read_cpu_s(), before, fillvalue=0.0)]
    memory.append(read_rss_mib())
    close_fetching()
    with resources.database.read() as connection:
        report = read_crawl_report(connection, run_id)
    document = {
        "seconds": seconds,
        "cpu_s": cpu_s,
        "kept": report.stored + report.duplicates,
        "stored": report.stored,
        "dead": report.dead,
        "found": report.found,
        "memory_mib": memory,
    }
    sys.stdout.write(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
