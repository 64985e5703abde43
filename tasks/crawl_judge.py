"""Photos that a crawl fetched, looked at and kept: right away where that is brief, else apart."""

import asyncio
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor

from pipelines.vision.decode import PhotoLimits, inspect_photo, read_header
from pipelines.vision.quick import read_plain_size
from storage.blobs import BlobStore
from tasks.crawl_wire import Kept

SMALL_BYTES = {"header": 256 * 2**10, "decode": 64 * 2**10}
"""Larger photos hold up a loop for longer than a thread costs, by how they are checked."""

JPEG = b"\xff\xd8\xff"
"""Other formats' headers may be long to read: a PNG's are packed, a TIFF's lead anywhere."""

SMALL_PIXELS = 2**20
"""A few bytes may claim many pixels, in hundreds of layers: such are decoded apart."""

LONG_S = 0.02
"""When photos hold up the loop for longer than this, on average, its disk is slow."""

WEIGHT = 0.1
APART = 1000
"""So many photos go to threads then, before the loop tries again."""


class Judges:
    """Looks at photos as ``check`` asks (``decode`` or ``header``), and keeps their bytes.

    A small JPEG whose bytes stay on this machine takes a tenth to half of a millisecond. Handed to
    a thread it costs as much again or more, because the thread and the loop take the interpreter's
    lock from each other at every call to the system.
    """

    def __init__(self, blobs: BlobStore, limits: PhotoLimits, check: str) -> None:
        self._blobs = blobs
        self._limits = limits
        self._look = inspect_photo if check == "decode" else read_header
        self._decodes = check == "decode"
        self._small_bytes = SMALL_BYTES[check] if blobs.local else 0
        self._took_s = 0.0
        self._apart = 0
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, "afin-judge")

    async def judge(self, body: bytes) -> Kept:
        """Look at a photo, keep its bytes, and return what it is.

        Raises:
            PhotoError: it cannot be used.
            BlobError: its bytes could not be kept.
        """
        if not self._is_brief(body):
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, self._judge, body
            )
        started = time.perf_counter()
        try:
            return self._judge(body)
        finally:
            self._learn(time.perf_counter() - started)

    def _is_brief(self, body: bytes) -> bool:
        if len(body) > self._small_bytes or not body.startswith(JPEG):
            return False
        if self._apart:
            self._apart -= 1
            return False
        return not self._decodes or math.prod(read_plain_size(body) or [math.inf]) <= SMALL_PIXELS

    def _learn(self, took_s: float) -> None:
        self._took_s += WEIGHT * (took_s - self._took_s)
        if self._took_s > LONG_S:
            self._apart, self._took_s = APART, 0.0

    def _judge(self, body: bytes) -> Kept:
        info = self._look(body, self._limits)
        sha256 = self._blobs.write_photo(body)
        return Kept(sha256, info.width, info.height, info.format, info.phash)
