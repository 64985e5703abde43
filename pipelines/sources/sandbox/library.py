"""The photos of a sandbox: drawn when first asked for, or taken from a folder per category."""

import asyncio
import io
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from pipelines.sources.samples.canvas import SIDE_PIXELS, seed_random
from pipelines.sources.samples.writer import draw_photo
from pipelines.sources.sandbox.chance import draw
from schemas.errors import UsageError

KEPT_BYTES = 128 * 2**20
TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


@dataclass(frozen=True)
class Subject:
    """What a photo shows: photo ``number`` of a series (a term, a synset, an account) about it."""

    category: str
    series: str
    number: int


@dataclass(frozen=True)
class Picture:
    """A photo as it is served."""

    body: bytes
    content_type: str


class PhotoLibrary:
    """Photos by subject, the same for a seed; what was drawn lately is kept in memory."""

    def __init__(self, seed: int, folder: Path | None) -> None:
        self._seed = seed
        self._files = _list_files(folder) if folder is not None else {}
        self._kept: OrderedDict[Subject, Picture] = OrderedDict()
        self._kept_bytes = 0
        self._lock = threading.Lock()

    async def photo(self, subject: Subject) -> Picture:
        """The photo of a subject, drawn (18 ms) or read outside of the event loop."""
        with self._lock:
            kept = self._kept.get(subject)
            if kept is not None:
                self._kept.move_to_end(subject)
                return kept
        picture = await asyncio.to_thread(self._make, subject)
        self._keep(subject, picture)
        return picture

    async def size(self, subject: Subject) -> tuple[int, int]:
        """Width and height in pixels; a drawn photo's are known without drawing it."""
        path = self._find_file(subject)
        if path is None:
            return SIDE_PIXELS, SIDE_PIXELS
        return await asyncio.to_thread(_read_size, path)

    def _make(self, subject: Subject) -> Picture:
        path = self._find_file(subject)
        if path is not None:
            return Picture(path.read_bytes(), TYPES[path.suffix.lower()])
        name = f"{self._seed}/{subject.category}/{subject.series}/{subject.number}"
        return Picture(draw_photo(subject.category, seed_random(name)), "image/jpeg")

    def _find_file(self, subject: Subject) -> Path | None:
        files = self._files.get(subject.category)
        if not files:
            return None
        # In order from somewhere, so that a series has no photo twice before it has had all.
        start = int(draw(self._seed, subject.series) * len(files))
        return files[(start + subject.number) % len(files)]

    def _keep(self, subject: Subject, picture: Picture) -> None:
        with self._lock:
            if subject not in self._kept:
                self._kept[subject] = picture
                self._kept_bytes += len(picture.body)
            while self._kept_bytes > KEPT_BYTES:
                self._kept_bytes -= len(self._kept.popitem(last=False)[1].body)


def _list_files(folder: Path) -> dict[str, tuple[Path, ...]]:
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder: name one that holds a folder per category.")
    found = {
        inside.name: tuple(
            sorted(path for path in inside.iterdir() if path.suffix.lower() in TYPES)
        )
        for inside in folder.iterdir()
        if inside.is_dir()
    }
    if not any(found.values()):
        raise UsageError(f"{folder} holds no photos: put them into a folder per category.")
    return found


def _read_size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            return image.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return SIDE_PIXELS, SIDE_PIXELS
