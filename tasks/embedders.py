"""The backbones that a gpu worker holds ready, each with its reader and its batcher."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from schemas.bundles import BackboneRef, TunedWeights
from schemas.settings import Settings
from storage.blobs import BlobStore

if TYPE_CHECKING:
    from pipelines.vision.backbones import Backbone
    from pipelines.vision.batcher import Batcher, Observer
    from pipelines.vision.nvjpeg import Photo
    from pipelines.vision.reader import Admit, Reader

HELD = 2
"""Backbones held at once: the active bundle's, and the one it follows or makes way for."""

BATCHES_AHEAD = 4
"""Batches that may be decoded before they are needed."""

Load = Callable[[str, BackboneRef | None, TunedWeights | None], "Embedder"]


Name = tuple[str, TunedWeights | None]
"""What a backbone is asked for by where its hash is not known yet."""


class Embedder:
    """A backbone on this process's device, with the batcher and the reader that feed it."""

    def __init__(self, backbone: "Backbone", batcher: "Batcher", reader: "Reader") -> None:
        self.backbone = backbone
        self.batcher = batcher
        self.reader = reader

    def submit(self, sha256: str, *, urgent: bool = False) -> Future[NDArray[np.float32]]:
        """Ask for the vector of a photo in the blob store; see ``Reader.submit``."""
        return self.reader.submit(sha256, urgent=urgent)

    def close(self, *, drain: bool = True) -> None:
        """Stop, once what is in line is done, or at once; and release the device's memory."""
        self.reader.close(drain=drain)
        self.batcher.close(drain=drain)
        self.backbone.close()


def make_embedder(
    backbone: "Backbone", blobs: BlobStore, settings: Settings, observer: "Observer"
) -> Embedder:
    """Put batcher and reader before a backbone; tries which batch size is best, if none is set."""
    from pipelines.vision.batcher import Batcher
    from pipelines.vision.decode import PhotoLimits, decode_photo
    from pipelines.vision.nvjpeg import accept_jpeg
    from pipelines.vision.probe import LARGEST_ON_CPU, LARGEST_ON_GPU, find_batch_size
    from pipelines.vision.reader import Reader

    on_gpu = backbone.device.startswith("cuda")
    size, side = settings.batch_size, backbone.transform.size
    if size:
        # Warms the model up, so that the first account does not wait for that.
        backbone.embed(np.zeros((size, side, side, 3), np.uint8))
    else:
        largest = LARGEST_ON_GPU if on_gpu else LARGEST_ON_CPU
        size = find_batch_size(backbone.embed, side, largest=largest)
    batcher = Batcher(
        backbone.embed,
        batch_size=size,
        wait_s=settings.batch_wait_ms / 1000,
        max_pending=2 * BATCHES_AHEAD * size,
        forwards=2 if on_gpu else 1,
        observer=observer,
        gather=np.stack if backbone.decoder is None else backbone.decoder.gather,
    )
    limits = PhotoLimits(max_bytes=settings.max_photo_bytes, max_pixels=settings.max_photo_pixels)

    def read(sha256: str, admit: "Admit") -> "Photo":
        data = blobs.read_photo(sha256)
        if backbone.decoder is not None and (jpeg := accept_jpeg(data, limits)) is not None:
            admit(jpeg.nbytes)
            return jpeg
        return decode_photo(data, backbone.transform, limits, admit=admit)

    reader = Reader(
        read,
        batcher,
        threads=settings.decode_threads or os.cpu_count() or 1,
        max_photos=BATCHES_AHEAD * size,
        max_bytes=settings.decode_bytes,
        observer=observer,
    )
    return Embedder(backbone, batcher, reader)


@dataclass
class _Slot:
    embedder: Embedder
    users: int = 0


class Embedders:
    """Holds the backbones last used, and unloads the oldest that nobody uses.

    A new one is loaded beside those at work, which go on meanwhile: switching to a promoted bundle
    stops nothing.
    """

    def __init__(self, load: Load, *, held: int = HELD) -> None:
        self._load = load
        self._held = held
        self.closed = False
        self._slots: OrderedDict[str, _Slot] = OrderedDict()
        self._named: dict[Name, str] = {}
        self._lock = threading.Lock()
        self._loading = threading.Lock()

    @contextmanager
    def borrow(
        self,
        name: str,
        expected: BackboneRef | None = None,
        *,
        tuned: TunedWeights | None = None,
    ) -> Iterator[Embedder]:
        """Lend the embedder of a backbone, loaded if need be; it stays open until given back.

        Where none is ``expected``, ``tuned`` are fine-tuned weights to take.

        Raises:
            WeightsError: its weights cannot be had, or are others than ``expected``.
        """
        slot = self._enter((name, tuned), expected)
        try:
            yield slot.embedder
        finally:
            with self._lock:
                slot.users -= 1
            self._shrink(self._held)

    def all(self) -> list[Embedder]:
        """Return those that are loaded."""
        with self._lock:
            return [slot.embedder for slot in self._slots.values()]

    def close(self, *, drain: bool = True) -> None:
        """Close every embedder; what is in line is computed first, or fails if not ``drain``."""
        self.closed = True
        for embedder in self.all():
            embedder.close(drain=drain)

    def _enter(self, name: Name, expected: BackboneRef | None) -> _Slot:
        if (slot := self._find(name, expected)) is not None:
            return slot
        with self._loading:
            if (slot := self._find(name, expected)) is not None:
                return slot
            self._shrink(self._held - 1)
            return self._keep(name, expected, self._load(name[0], expected, name[1]))

    def _find(self, name: Name, expected: BackboneRef | None) -> _Slot | None:
        with self._lock:
            key = self._named.get(name) if expected is None else expected.hash
            slot = self._slots.get(key or "")
            if slot is not None and key is not None:
                slot.users += 1
                self._slots.move_to_end(key)
            return slot

    def _keep(self, name: Name, expected: BackboneRef | None, embedder: Embedder) -> _Slot:
        key = embedder.backbone.ref.hash
        with self._lock:
            known = self._slots.get(key)
            slot = self._slots.setdefault(key, _Slot(embedder))
            slot.users += 1
            if expected is None:
                self._named[name] = key
        if known is not None:
            embedder.close()
        return slot

    def _shrink(self, most: int) -> None:
        """Close idle embedders, oldest first, until no more than ``most`` are left."""
        idle: list[Embedder] = []
        with self._lock:
            for key, slot in list(self._slots.items()):
                if len(self._slots) > most and slot.users == 0:
                    idle.append(self._slots.pop(key).embedder)
        for embedder in idle:
            embedder.close()
