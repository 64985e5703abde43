"""Photos a second from reclassify, against loops that do the same work in one process.

Run it as ``make bench NAME=endtoend``, with options as ``ARGS="--photos 640 --pairs 5"``.
"""

import argparse
import hashlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.bundle import publish_untrained_bundle
from benchmarks.house import House, RunTime, reclassify, run_house, take_in
from benchmarks.loops import Vectors, load_plain_model, run_ideal_loop, run_plain_script
from benchmarks.photos import write_photos
from benchmarks.report import busy_s, compare, note, print_result
from benchmarks.weights import write_random_weights
from pipelines.vision.backbones import Backbone, load_backbone
from schemas.errors import AfinError
from storage.vectors import read_image_vectors

Way = Callable[[], RunTime]

LEAST_COSINE = 0.999
"""Vectors are stored as float16 and computed in other batches: only last digits may differ."""


def main() -> None:
    """Measure and print the result."""
    options = parse_options()
    random = Random(7)  # noqa: S311 - the same accounts every time
    with TemporaryDirectory(prefix="afin-bench-") as folder:
        note("Preparing photos ...")
        paths, kind = write_photos(Path(folder) / "photos", options.photos, random)
        settings = {"AFIN_BATCH_SIZE": str(options.batch), "AFIN_ENGINE": options.engine}
        backbone = options.backbone
        if options.weights == "random":
            settings["AFIN_WEIGHTS_DIR"] = str(Path(folder) / "weights")
            backbone = write_random_weights(Path(folder) / "weights", backbone)
        with run_house(Path(folder) / "data", settings) as house:
            publish_untrained_bundle(house.resources, backbone)
            accounts = take_in(house.resources, paths, random)
            note(f"{kind}, in {accounts} accounts; the bundle's weights are random.")
            figures = {"photos": kind, "accounts": accounts, "backbone": backbone}
            ways = prepare_ways(house, backbone, paths, figures)
            turns = take_turns(ways, options.pairs, len(paths))
    speeds = {name: [len(paths) / turn.seconds for turn in turns[name]] for name in ways}
    ratios = {
        f"vs_{name}": compare(speeds["ours"], speeds[name]) for name in ways if name != "ours"
    }
    print_result("endtoend", ratios, figures | describe_turns(turns, len(paths)))


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=320, help="how many to classify (320)")
    parser.add_argument("--pairs", type=int, default=3, help="turns each way takes (3)")
    parser.add_argument(
        "--backbone", default="efficientnet_lite0", help="any that has weights here"
    )
    parser.add_argument(
        "--weights",
        choices=("pretrained", "random"),
        default="pretrained",
        help="random: speed does not depend on them, and resnet34's may not be at hand",
    )
    parser.add_argument("--engine", default="auto", help="as AFIN_ENGINE (auto)")
    parser.add_argument("--batch", type=int, default=16, help="photos in a forward (16)")
    options = parser.parse_args()
    if min(options.photos, options.pairs) < 1:
        parser.error("--photos and --pairs must be at least 1")
    return options


def prepare_ways(
    house: House, name: str, paths: Sequence[Path], figures: dict[str, Any]
) -> dict[str, Way]:
    """Warm up each way once, and make sure that ours and the ideal loop do the same work."""
    import torch

    settings = house.resources.settings
    backbone = load_backbone(
        name, device=settings.device, weights_dir=settings.weights, engine=settings.engine
    )
    model = load_plain_model(name, settings)
    note("Warming up ...")
    reclassify(house, len(paths))
    vectors = run_ideal_loop(backbone, settings, paths)
    figures["least_cosine"] = check_vectors(house, backbone, paths, vectors)
    run_plain_script(model, backbone.transform, paths[: settings.batch_size])
    figures["engine"] = backbone.engine
    figures["batch_size"] = settings.batch_size
    figures["torch_threads"] = torch.get_num_threads()
    return {
        "ours": lambda: reclassify(house, len(paths)),
        "ideal": lambda: clock(lambda: run_ideal_loop(backbone, settings, paths)),
        "plain_script": lambda: clock(lambda: run_plain_script(model, backbone.transform, paths)),
    }


def check_vectors(
    house: House, backbone: Backbone, paths: Sequence[Path], vectors: Vectors
) -> float:
    """Return the least cosine between a stored vector and the ideal loop's of the same photo.

    Raises:
        AfinError: they differ, so comparing their speed would mean nothing.
    """
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    with house.resources.database.read() as connection:
        stored = read_image_vectors(connection, backbone.ref.hash, hashes)
    ours = np.stack([np.asarray(stored[sha256]) for sha256 in hashes])
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(vectors, axis=1)
    least = float(((ours * vectors).sum(axis=1) / norms).min())
    if least < LEAST_COSINE:
        raise AfinError(f"Ours and the ideal loop's vectors differ: least cosine {least:.4f}.")
    return round(least, 6)


def take_turns(ways: Mapping[str, Way], pairs: int, photos: int) -> dict[str, list[RunTime]]:
    """Let each way take its turn, as often as asked; every second round in reverse order.

    Says beside each turn how many cores other programs kept busy: with more than a few tenths of
    one, a turn says little.
    """
    turns: dict[str, list[RunTime]] = {name: [] for name in ways}
    for number in range(pairs):
        order = list(ways) if number % 2 == 0 else list(ways)[::-1]
        for name in order:
            started_s, busy_before_s = time.perf_counter(), busy_s()
            turn = ways[name]()
            own_s = sum(turn.cpu_s.values())
            others = (busy_s() - busy_before_s - own_s) / (time.perf_counter() - started_s)
            turns[name].append(turn)
            note(
                f"{name:>16}  {photos / turn.seconds:6.1f} photos/s  "
                f"{1000 * own_s / photos:5.1f} CPU ms a photo  {others:4.1f} cores busy elsewhere"
            )
    return turns


def clock(work: Callable[[], object]) -> RunTime:
    """Measure wall and CPU time of work done in this process."""
    started_s, cpu_started_s = time.perf_counter(), time.process_time()
    work()
    cpu_s = time.process_time() - cpu_started_s
    return RunTime(time.perf_counter() - started_s, {"loop": cpu_s})


def describe_turns(turns: Mapping[str, Sequence[RunTime]], photos: int) -> dict[str, Any]:
    """Return the median speed of each way, and its CPU time a photo by process."""
    figures: dict[str, Any] = {}
    for name, taken in turns.items():
        speed = statistics.median(photos / turn.seconds for turn in taken)
        figures[f"{name}_photos_per_s"] = round(speed, 1)
        figures[f"{name}_cpu_ms_per_photo"] = {
            process: round(1000 * statistics.median(t.cpu_s[process] for t in taken) / photos, 2)
            for process in taken[0].cpu_s
        }
    return figures


if __name__ == "__main__":
    main()
