"""Photos a second from reclassify, against Ray Data, LitServe and mosec doing nothing but vectors.

Run it as ``make bench NAME=peers``, with options as ``ARGS="--photos 640 --pairs 3"``; the peers
come with the extra ``bench``. All decode with our decoder and compute with our engine, in batches
of one size, and read photos from disk by name; only how work reaches the model is theirs. Ours
stores vectors and verdicts besides.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.bundle import publish_untrained_bundle
from benchmarks.house import reclassify, run_house, take_in
from benchmarks.peer_ray import run_ray
from benchmarks.peer_servers import ask_server, run_litserve, run_mosec
from benchmarks.photos import write_photos
from benchmarks.report import compare, note, print_result
from benchmarks.weights import write_random_weights

PEERS = ("ray", "litserve", "mosec")


def main() -> None:
    """Measure and print the result."""
    options = parse_options()
    random = Random(17)  # noqa: S311 - the same accounts every time
    speeds: dict[str, list[float]] = {}
    with TemporaryDirectory(prefix="afin-bench-") as folder:
        note("Preparing photos ...")
        paths, kind = write_photos(Path(folder) / "photos", options.photos, random)
        backbone, weights = options.backbone, ""
        if options.weights == "random":
            weights = str(Path(folder) / "weights")
            backbone = write_random_weights(Path(weights), backbone)
        # What every way reads of how it computes; ours takes the same by its settings.
        work = {"backbone": backbone, "batch": str(options.batch), "weights": weights}
        for _ in range(options.pairs):
            for name in ("ours", *options.peers):
                found = measure(name, work, paths, Path(folder))
                for kind_of, speed in found.items():
                    speeds.setdefault(kind_of, []).append(speed)
                note(", ".join(f"{key} {value:.1f} photos/s" for key, value in found.items()))
    ratios = {
        f"vs_{name}": compare(speeds["ours"], taken)
        for name, taken in speeds.items()
        if name != "ours"
    }
    medians = {f"{key}_photos_per_s": round(statistics.median(s), 1) for key, s in speeds.items()}
    figures: dict[str, Any] = {"photos": kind, "backbone": backbone, "cores": os.cpu_count()}
    print_result("peers", ratios, figures | medians)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=320, help="how many to embed (320)")
    parser.add_argument("--pairs", type=int, default=3, help="turns each way takes (3)")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="any that is known")
    parser.add_argument("--weights", choices=("pretrained", "random"), default="pretrained")
    parser.add_argument("--batch", type=int, default=16, help="photos in a forward (16)")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS, help="all")
    options = parser.parse_args()
    if min(options.photos, options.pairs) < 1:
        parser.error("--photos and --pairs must be at least 1")
    return options


def measure(
    name: str, work: Mapping[str, str], paths: Sequence[Path], folder: Path
) -> dict[str, float]:
    """Return photos a second of one way; of Ray also once it has started."""
    if name == "ours":
        return {"ours": run_ours(work, paths, folder)}
    if name == "ray":
        return run_ray(work, paths)
    serve: dict[str, Callable[..., Any]] = {"litserve": run_litserve, "mosec": run_mosec}
    with serve[name](work) as url:
        ask_server(url, paths[: 2 * int(work["batch"])])
        started_s = time.perf_counter()
        ask_server(url, paths)
        return {name: len(paths) / (time.perf_counter() - started_s)}


def run_ours(work: Mapping[str, str], paths: Sequence[Path], folder: Path) -> float:
    """Classify the accounts of these photos once to warm up and once by the clock."""
    settings = {"AFIN_BATCH_SIZE": work["batch"]}
    if work["weights"]:
        settings["AFIN_WEIGHTS_DIR"] = work["weights"]
    with (
        TemporaryDirectory(dir=folder) as data,
        run_house(Path(data) / "data", settings) as house,
    ):
        publish_untrained_bundle(house.resources, work["backbone"])
        take_in(house.resources, paths, Random(17))  # noqa: S311 - the same every time
        reclassify(house, len(paths))
        return len(paths) / reclassify(house, len(paths)).seconds


if __name__ == "__main__":
    main()
