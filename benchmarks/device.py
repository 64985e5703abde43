r"""Photos a second through the gpu worker's reader, decoder and batcher, without any queue.

Run it as ``make bench NAME=device``. It needs neither broker nor database, so it also runs where
nothing can be installed but torch, torchvision, timm, Pillow and fsspec are there: take the rest
along in a folder, with weights that are drawn (speed does not depend on them)::

    pip install --target .bench --python-version 3.12 --only-binary=:all: simplejpeg \
        pydantic pydantic-settings && rm -r .bench/numpy*
    PYTHONPATH=.:.bench python3 -m benchmarks.device --backbone resnet34

Beside it run, on the same bytes in memory: an ideal loop of two threads, one that decodes whole
batches and one that computes them; the network alone on one batch that lies on the device; and on
a GPU the gpu worker's way once more with photos decoded by the CPU.
"""

import argparse
import hashlib
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import Queue
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np

from benchmarks.photos import write_photos
from benchmarks.report import compare, note, print_result
from pipelines.vision.backbones import Backbone, load_backbone
from pipelines.vision.batcher import Observer
from pipelines.vision.decode import PhotoLimits, decode_photo
from pipelines.vision.nvjpeg import accept_jpeg
from schemas.settings import Settings
from storage.blobs import BlobStore
from tasks.embedders import Embedder, make_embedder

Way = Callable[[], object]

PARTS_AHEAD = 2
"""Batches that the ideal loop decodes before they are needed."""


class Memory:
    """Photos by name in memory, in place of a blob store."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.photos = {hashlib.sha256(data).hexdigest(): data for data in map(_read, paths)}

    def read_photo(self, sha256: str) -> bytes:
        """Return a photo's bytes."""
        return self.photos[sha256]


def main() -> None:
    """Measure and print the result."""
    options = parse_options()
    settings = Settings(batch_size=options.batch, decode_threads=options.threads)
    with TemporaryDirectory(prefix="afin-bench-") as folder:
        note("Preparing photos ...")
        random = Random(7)  # noqa: S311 - the same photos every time
        paths, kind = write_photos(Path(folder) / "photos", options.photos, random)
        memory = Memory(paths)
        backbone = load(options, Path(folder), "auto")
        ours = start(backbone, memory, settings)
        size = ours.batcher.batch_size
        ways: dict[str, Way] = {
            "ours": lambda: embed_all(ours, memory),
            "ideal": lambda: run_ideal(backbone, memory, settings, size),
            "forward": prepare_forward(backbone, memory, settings, size),
        }
        if backbone.device != "cpu":
            plain = start(load(options, Path(folder), "cpu"), memory, settings)
            ways["cpu_decoding"] = lambda: embed_all(plain, memory)
        speeds = take_turns(ways, options.pairs, len(memory.photos))
    ratios = {f"vs_{name}": compare(speeds["ours"], speeds[name]) for name in list(ways)[1:]}
    figures: dict[str, Any] = {
        "photos": kind,
        "backbone": options.backbone,
        "engine": backbone.engine,
        "device": backbone.device,
        "decoder": "device" if backbone.decoder is not None else "cpu",
        "batch_size": size,
        "mean_batch": round(ours.batcher.stats.mean_batch, 1),
    }
    for name, taken in speeds.items():
        figures[f"{name}_photos_per_s"] = round(statistics.median(taken), 1)
    print_result("device", ratios, figures)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Photos a second of one device.")
    parser.add_argument("--photos", type=int, default=2000, help="how many to embed (2000)")
    parser.add_argument("--pairs", type=int, default=3, help="turns each way takes (3)")
    parser.add_argument("--backbone", default="resnet34", help="any; its weights are drawn")
    parser.add_argument("--device", default="auto", help="as AFIN_DEVICE (auto)")
    parser.add_argument("--engine", default="auto", help="as AFIN_ENGINE (auto)")
    parser.add_argument("--batch", type=int, default=0, help="photos in a forward (0: by trying)")
    parser.add_argument("--threads", type=int, default=0, help="as AFIN_DECODE_THREADS (0)")
    options = parser.parse_args()
    if min(options.photos, options.pairs) < 1:
        parser.error("--photos and --pairs must be at least 1")
    return options


def load(options: argparse.Namespace, folder: Path, decoder: Any) -> Backbone:
    """Load the network with drawn weights."""
    return load_backbone(
        options.backbone,
        device=options.device,
        weights_dir=folder,
        weights="random",
        engine=options.engine,
        decoder=decoder,
    )


def start(backbone: Backbone, memory: Memory, settings: Settings) -> Embedder:
    """Put the gpu worker's reader and batcher before it."""
    return make_embedder(backbone, cast("BlobStore", memory), settings, Observer())


def embed_all(embedder: Embedder, memory: Memory) -> None:
    """Embed every photo as shards do: ask for all, then wait."""
    pending = [embedder.submit(sha256) for sha256 in memory.photos]
    for future in pending:
        future.result()
    embedder.reader.forget(memory.photos)


def decode_part(backbone: Backbone, data: Sequence[bytes], settings: Settings) -> Any:
    """Decode a batch with the decoder that the backbone has."""
    limits = PhotoLimits(max_bytes=settings.max_photo_bytes, max_pixels=settings.max_photo_pixels)
    if backbone.decoder is None:
        return np.stack([decode_photo(one, backbone.transform, limits) for one in data])
    photos = [
        accept_jpeg(one, limits) or decode_photo(one, backbone.transform, limits) for one in data
    ]
    return backbone.decoder.gather(photos)


def run_ideal(backbone: Backbone, memory: Memory, settings: Settings, size: int) -> None:
    """Embed every photo in the best loop that two threads make."""
    photos = list(memory.photos.values())
    parts = [photos[start : start + size] for start in range(0, len(photos), size)]
    decoded: Queue[Any] = Queue(PARTS_AHEAD)

    def decode() -> None:
        for part in parts:
            decoded.put(decode_part(backbone, part, settings))

    thread = threading.Thread(target=decode, name="decode", daemon=True)
    thread.start()
    for _ in parts:
        backbone.embed(decoded.get())
    thread.join()


def prepare_forward(backbone: Backbone, memory: Memory, settings: Settings, size: int) -> Way:
    """Return the network alone, over as many photos, from one batch that lies on its device."""
    photos = list(memory.photos.values())
    batch = decode_part(backbone, photos[:size], settings)
    if backbone.device != "cpu":
        import torch

        batch = torch.as_tensor(batch).to(backbone.device)
        torch.cuda.synchronize(backbone.device)

    def run() -> None:
        for start in range(0, len(photos), len(batch)):
            backbone.embed(batch[: min(len(batch), len(photos) - start)])

    return run


def take_turns(ways: Mapping[str, Way], pairs: int, photos: int) -> dict[str, list[float]]:
    """Return photos a second of each way's turns, after one to warm up, in changing order."""
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(pairs + 1):
        for name in list(ways) if number % 2 else list(ways)[::-1]:
            started_s = time.perf_counter()
            ways[name]()
            speed = photos / (time.perf_counter() - started_s)
            if number:
                speeds[name].append(speed)
                note(f"{name:>16}  {speed:8.1f} photos/s")
    return speeds


def _read(path: Path) -> bytes:
    return path.read_bytes()


if __name__ == "__main__":
    main()
