"""Jobs of one photo, all at once, against the same photos in shards: do they share batches?

Run it as ``make bench NAME=oneshot``, with options as ``ARGS="--photos 200"``. The gpu worker
computes with torch on one thread here, so that its CPU time can be told apart: decoding, forward,
the rest.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import func, select, update

from benchmarks.bundle import publish_untrained_bundle
from benchmarks.endtoend import check_vectors
from benchmarks.house import House, cpu_times, forget_results, run_house, take_in
from benchmarks.loops import run_ideal_loop
from benchmarks.photos import write_photos
from benchmarks.report import note, print_result
from pipelines.vision.backbones import load_backbone
from schemas.runs import RunKind, RunState
from storage.bundles import find_bundle
from storage.runs import create_run
from storage.tables import image_vectors, posts, runs
from tasks.app import app
from workers.processes import free_port

BACKBONE = "efficientnet_lite0"
POLL_S = 0.05


class Turn(NamedTuple):
    """What one way of cutting the work up took, by the gpu worker's own account."""

    photos_per_s: float
    mean_batch: float
    outside_ms: float


def main() -> None:
    """Measure and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=2000, help="jobs of one photo (2000)")
    parser.add_argument("--pairs", type=int, default=3, help="turns each way takes (3)")
    parser.add_argument("--batch", type=int, default=16, help="photos in a forward (16)")
    options = parser.parse_args()
    random = Random(11)  # noqa: S311 - the same accounts every time
    port = free_port()
    environment = {
        "AFIN_BATCH_SIZE": str(options.batch),
        "AFIN_ENGINE": "torch",
        "AFIN_METRICS_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    with TemporaryDirectory(prefix="afin-bench-") as folder:
        note("Preparing photos ...")
        paths, kind = write_photos(Path(folder) / "photos", options.photos, random)
        with run_house(Path(folder) / "data", environment) as house:
            publish_untrained_bundle(house.resources, BACKBONE)
            take_in(house.resources, paths, random)
            run_id = make_paused_run(house)
            single = [(*place, place[1]) for place in find_posts(house)]
            shards = list(cut(find_posts(house), house.resources.settings.shard_posts))
            turns: dict[str, list[Turn]] = {"oneshot": [], "shards": []}
            send(house, run_id, shards, len(paths), port)
            for _ in range(options.pairs):
                turns["shards"].append(send(house, run_id, shards, len(paths), port))
                turns["oneshot"].append(send(house, run_id, single, len(paths), port))
                note(f"{turns['shards'][-1]} {turns['oneshot'][-1]}")
            least = check(house, paths)
    mean = [turn.mean_batch / options.batch for turn in turns["oneshot"]]
    ratios = {
        "vs_shards": [
            one.photos_per_s / many.photos_per_s
            for one, many in zip(turns["oneshot"], turns["shards"], strict=True)
        ],
        "batch_fill": mean,
    }
    figures = {
        "photos": kind,
        "least_cosine": least,
        "outside_cpu_ms": {
            name: [round(turn.outside_ms, 3) for turn in taken] for name, taken in turns.items()
        },
    }
    print_result("oneshot", ratios, figures)


def make_paused_run(house: House) -> int:
    """Record a run whose messages are worked off but which the feeder leaves alone."""
    with house.resources.database.write() as connection:
        bundle = find_bundle(connection)
        run_id = create_run(connection, RunKind.CLASSIFY, params={}, bundle_id=bundle.id)
        connection.execute(update(runs).where(runs.c.id == run_id).values(state=RunState.PAUSED))
    return run_id


def find_posts(house: House) -> list[tuple[int, int]]:
    """Return account and id of every post, in order."""
    query = select(posts.c.influencer_id, posts.c.id).order_by(posts.c.influencer_id, posts.c.id)
    with house.resources.database.read() as connection:
        return [(row.influencer_id, row.id) for row in connection.execute(query)]


def cut(places: Sequence[tuple[int, int]], size: int) -> Iterator[tuple[int, int, int]]:
    """Cut posts into shards of one account each: (account, first post, last post)."""
    start = 0
    for at, (account, post) in enumerate(places):
        ends = at + 1 == len(places) or places[at + 1][0] != account or at + 1 - start >= size
        if ends:
            yield account, places[start][1], post
            start = at + 1


def send(
    house: House, run_id: int, jobs: Sequence[tuple[int, int, int]], photos: int, port: int
) -> Turn:
    """Send all jobs at once and wait until every photo has its vector."""
    forget_results(house.resources)
    before, cpu_before_s = read_metrics(port), gpu_cpu_s(house)
    started_s = time.perf_counter()
    for account, first, last in jobs:
        app.send_task("images.embed", (run_id, 0, account, first, last))
    counting = select(func.count()).select_from(image_vectors)
    while True:
        with house.resources.database.read() as connection:
            if connection.scalar(counting) == photos:
                break
        time.sleep(POLL_S)
    seconds = time.perf_counter() - started_s
    after = read_metrics(port)
    spent = {name: after[name] - before.get(name, 0.0) for name in after}
    computing_s = spent["afin_decode_cpu_seconds_total"] + spent["afin_forward_cpu_seconds_total"]
    outside_s = gpu_cpu_s(house) - cpu_before_s - computing_s
    batches = spent["afin_batch_photos_count"]
    return Turn(photos / seconds, photos / batches, 1000 * outside_s / photos)


def read_metrics(port: int) -> dict[str, float]:
    """Return what the gpu worker serves, by name; a histogram by its sum and count."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.labels
    }


def gpu_cpu_s(house: House) -> float:
    """Return the CPU time of the gpu worker so far."""
    return cpu_times(house.supervisor)["gpu"]


def check(house: House, paths: Sequence[Path]) -> float:
    """Return the least cosine between a stored vector and a plain loop's of the same photo."""
    settings = house.resources.settings
    backbone = load_backbone(
        BACKBONE, device=settings.device, weights_dir=settings.weights, engine=settings.engine
    )
    return check_vectors(house, backbone, paths, run_ideal_loop(backbone, settings, paths))


if __name__ == "__main__":
    main()
