"""Photos to measure with: real ones if they are at hand, drawn ones if not."""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random

from PIL import Image

from pipelines.sources.samples.canvas import seed_random
from pipelines.sources.samples.writer import draw_photo

REAL = Path(__file__).parents[1] / "../shared/data/photos"
"""Where real photos lie, beside the checkout; they are no part of the project."""

LONG_SIDE = 1080
"""Pixels: the size Instagram delivers."""

JPEG_QUALITY = 90
CATEGORIES = ("aire-libre", "animal", "comida", "deporte", "moda", "musica", "viajes")


def write_photos(folder: Path, count: int, random: Random) -> tuple[list[Path], str]:
    """Write different JPEGs of 1080 px into a folder; return them, and what they are in words."""
    folder.mkdir(parents=True)
    real = sorted(REAL.glob("*/*.jpg"))
    random.shuffle(real)
    sources = _read_real(real) if real else _draw()
    with ThreadPoolExecutor() as pool:
        paths = list(pool.map(partial(_write_one, folder), range(count), islice(sources, count)))
    size = f"{LONG_SIDE} px, JPEG quality {JPEG_QUALITY}"
    if not real:
        return paths, f"{count} drawn samples scaled up to {size}"
    return paths, f"{count} real photos scaled up to {size}"


def _read_real(paths: list[Path]) -> Iterator[Callable[[], bytes]]:
    while True:
        for path in paths:
            yield path.read_bytes


def _draw() -> Iterator[Callable[[], bytes]]:
    number = 0
    while True:
        category = CATEGORIES[number % len(CATEGORIES)]
        yield partial(draw_photo, category, seed_random(f"bench/{number}"))
        number += 1


def _write_one(folder: Path, number: int, read: Callable[[], bytes]) -> Path:
    with Image.open(io.BytesIO(read())) as source:
        factor = LONG_SIDE / max(source.size)
        size = (round(source.width * factor), round(source.height * factor))
        photo = source.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    # The number in a corner's pixels gives a photo that is used twice another hash.
    photo.paste((number >> 16 & 255, number >> 8 & 255, number & 255), (0, 0, 8, 8))
    path = folder / f"{number:06d}.jpg"
    photo.save(path, "JPEG", quality=JPEG_QUALITY)
    return path
