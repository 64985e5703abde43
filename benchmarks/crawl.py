"""Images a second that one scrape worker stores, against img2dataset and a bare loop.

Run it as ``make bench NAME=crawl``, with options as ``ARGS="--photos 4000 --pairs 3"``; with
``ARGS=--many``, 100,000 addresses of which 40 % are dead or slow. It needs img2dataset in an
environment of its own, because that wants other versions of our packages: ``python -m venv DIR``,
``DIR/bin/pip install img2dataset``, then ``ARGS="--img2dataset DIR/bin/img2dataset"``.
"""

import argparse
import asyncio
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

from benchmarks.crawl_server import SLOW_HOSTS, run_server
from benchmarks.crawl_worker import WARM
from benchmarks.photos import REAL
from benchmarks.report import compare, note, print_result

AT_ONCE = 64
WARM_FROM = 90_000_000
MEMORY = Path("/dev/shm")  # noqa: S108 - so that no disk, nor who else writes to it, is measured

TREATMENTS = {
    "img2dataset": ("--resize_mode=no", "--disable_all_reencoding=True"),
    "img2dataset_decode": ("--resize_mode=no",),
    "img2dataset_readme": ("--image_size=256",),
}
"""What img2dataset does with a photo: nothing at all; decode it and write it anew; or, as its own
README runs it, shrink it to 256 pixels on a white square besides.
"""

Way = Callable[[Path], tuple[int, float]]


def main() -> None:
    """Measure and print the result."""
    options = parse_options()
    with tempfile.TemporaryDirectory(prefix="afin-bench-", dir=options.scratch) as folder:
        if options.many:
            measure_many(Path(folder), options)
        else:
            measure(Path(folder), options)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=4000, help="how many to crawl (4000)")
    parser.add_argument("--pairs", type=int, default=3, help="turns each way takes (3)")
    parser.add_argument("--many", action="store_true", help="a long list, 40 %% dead or slow")
    parser.add_argument("--urls", type=int, default=100_000, help="of the long list (100000)")
    parser.add_argument("--folder", type=Path, default=REAL, help="photos, in folders")
    parser.add_argument(
        "--scratch",
        type=Path,
        default=MEMORY if MEMORY.is_dir() else None,
        help="where all of them write (memory, where there is such a folder)",
    )
    found = shutil.which("img2dataset") or "/nowhere/img2dataset"
    parser.add_argument("--img2dataset", type=Path, default=Path(found), help="its command")
    options = parser.parse_args()
    if not options.many and not options.img2dataset.exists():
        parser.error(f"img2dataset is not here. {(__doc__ or '').partition('It needs ')[2]}")
    return options


def measure(folder: Path, options: argparse.Namespace) -> None:
    """Let every way take its turns, next to each other; all are timed without their start."""
    speeds: dict[str, list[float]] = {}
    with run_server(options.folder, options.photos) as (live, _slow):
        urls = [f"{live[number % len(live)]}/{number}.jpg" for number in range(options.photos)]
        listed = folder / "urls.txt"
        listed.write_text("\n".join(urls) + "\n")
        ours = folder / "ours.txt"
        ours.write_text("\n".join(list_warm(live) + urls) + "\n")
        for turn in range(options.pairs):
            # What is compared stands side by side, in either order: the machine's speed changes.
            ways: dict[str, Way] = {
                "bare_loop": lambda at: run_bare_loop(urls, at),
                "ours_header": lambda at: crawl(ours, at, "header"),
                **{
                    name: partial(run_img2dataset, options.img2dataset, listed, treatment)
                    for name, treatment in TREATMENTS.items()
                },
                "ours_decode": lambda at: crawl(ours, at, "decode"),
            }
            for name, way in list(ways.items())[:: -1 if turn % 2 else 1]:
                at = folder / f"{name}-{turn}"
                at.mkdir()
                used = _children_cpu_s()
                kept, seconds = way(at)
                used = _children_cpu_s() - used
                speeds.setdefault(name, []).append(kept / seconds)
                note(
                    f"{name}: {kept} photos in {seconds:.1f} s, {kept / seconds:.0f} a second; "
                    f"{used:.1f} CPU s with its start"
                )
                shutil.rmtree(at)
    ratios = {
        "vs_img2dataset_headers": compare(speeds["ours_header"], speeds["img2dataset"]),
        "vs_img2dataset_decode": compare(speeds["ours_decode"], speeds["img2dataset"]),
        "vs_img2dataset_decoding_headers": compare(
            speeds["ours_header"], speeds["img2dataset_decode"]
        ),
        "vs_img2dataset_decoding_decode": compare(
            speeds["ours_decode"], speeds["img2dataset_decode"]
        ),
        "vs_img2dataset_readme_headers": compare(
            speeds["ours_header"], speeds["img2dataset_readme"]
        ),
        "vs_img2dataset_readme_decode": compare(
            speeds["ours_decode"], speeds["img2dataset_readme"]
        ),
        "vs_bare_loop": compare(speeds["ours_header"], speeds["bare_loop"]),
    }
    figures: dict[str, Any] = {
        f"{name}_per_s": [round(speed) for speed in found] for name, found in speeds.items()
    }
    print_result("crawl", ratios, {"photos": options.photos, **figures})


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def crawl(listed: Path, folder: Path, check: str) -> tuple[int, float]:
    """Crawl the list as one scrape worker does."""
    told = run_worker(listed, folder, check)
    return told["kept"], told["seconds"]


def run_worker(listed: Path, folder: Path, check: str, **settings: str) -> dict[str, Any]:
    """Run the tasks of one scrape worker in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.crawl_worker", str(listed), str(folder)]
    done = subprocess.run(
        [*command, "--check", check],
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **settings},
    )
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def run_img2dataset(
    command: Path, listed: Path, treatment: Sequence[str], folder: Path
) -> tuple[int, float]:
    """Let one process of img2dataset fetch the list, without its start."""
    done = subprocess.run(
        [
            command,
            f"--url_list={listed}",
            f"--output_folder={folder / 'out'}",
            "--output_format=files",
            *treatment,
            "--processes_count=1",
            f"--thread_count={AT_ONCE}",
            "--number_sample_per_shard=1000000",
        ],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"},
    )
    if done.returncode:
        raise SystemExit(f"img2dataset failed: {done.stderr[-2000:]}")
    told = json.loads((folder / "out" / "00000_stats.json").read_text())
    return told["successes"], told["end_time"] - told["start_time"]


def run_bare_loop(urls: list[str], folder: Path) -> tuple[int, float]:
    """Download and write with nothing else done."""
    started = time.monotonic()
    asyncio.run(_download(urls, folder))
    return len(list(folder.iterdir())), time.monotonic() - started


async def _download(urls: list[str], folder: Path) -> None:
    waiting = iter(urls)

    async def load(session: aiohttp.ClientSession) -> None:
        for url in waiting:
            async with session.get(url) as response:
                body = await response.read()
            (folder / hashlib.sha256(body).hexdigest()).write_bytes(body)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(load(session) for _ in range(AT_ONCE)))


def measure_many(folder: Path, options: argparse.Namespace) -> None:
    """Crawl the live ones of a list alone, then with the dead and slow ones among them."""
    number = options.urls
    with run_server(options.folder, 500) as (live, slow):
        good = [f"{live[n % len(live)]}/{n}.jpg" for n in range(number * 6 // 10)]
        bad = _list_bad(live, slow, number - len(good))
        mixed = good + bad
        Random(7).shuffle(mixed)  # noqa: S311 - the same list every time
        told: dict[str, list[dict[str, Any]]] = {"live": [], "mixed": []}
        for turn in range(options.pairs):
            for name, urls in (("live", good), ("mixed", mixed)):
                listed = folder / f"{name}.txt"
                listed.write_text("\n".join(list_warm(live) + urls) + "\n")
                at = folder / f"{name}-{turn}"
                at.mkdir()
                told[name].append(run_worker(listed, at, "header"))
                note(f"{name}: {told[name][-1]}")
                shutil.rmtree(at)
    seconds = {name: [one["seconds"] for one in turns] for name, turns in told.items()}
    cpu_s = {name: [sum(one["cpu_s"]) for one in turns] for name, turns in told.items()}
    memory = [one["memory_mib"] for one in told["mixed"]]
    print_result(
        "crawl_many",
        {
            "time_over_live": compare(seconds["mixed"], seconds["live"]),
            "cpu_over_live": compare(cpu_s["mixed"], cpu_s["live"]),
        },
        {
            "urls": number,
            "seconds": {name: [round(one, 1) for one in turns] for name, turns in seconds.items()},
            "cpu_s": {name: [round(one, 1) for one in turns] for name, turns in cpu_s.items()},
            "kept": {name: [one["kept"] for one in turns] for name, turns in told.items()},
            "dead": [one["dead"] for one in told["mixed"]],
            "memory_mib_at_a_fifth_and_most": [[one[len(one) // 5], max(one)] for one in memory],
        },
    )


def list_warm(live: list[str]) -> list[str]:
    """Addresses that a worker crawls before the clock starts."""
    return [f"{live[n % len(live)]}/{WARM_FROM + n}.jpg" for n in range(WARM)]


def _list_bad(live: list[str], slow: list[str], number: int) -> list[str]:
    """Half not found, a quarter on hosts where nobody listens, a quarter on silent hosts."""
    listed = []
    for n in range(number):
        kind = n % 4
        if kind < 2:
            listed.append(f"{live[n % len(live)]}/dead/{n}.jpg")
        elif kind == 2:
            listed.append(f"http://127.0.0.1:{1 + n % 9}/{n}.jpg")
        else:
            listed.append(f"{slow[n % SLOW_HOSTS]}/slow/{n}.jpg")
    return listed


if __name__ == "__main__":
    main()
