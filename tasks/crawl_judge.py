"""Photos that a crawl fetched, looked at and kept: right away where that is brief, else apart."""

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor

from pipelines.vision.decode import PhotoLimits, inspect_photo, read_header
from storage.blobs import BlobStore
from tasks.crawl_wire import Kept

SMALL_BYTES = 256 * 2**10
"""Larger photos hold up a loop for longer than a thread costs."""

JPEG = b"\xff\xd8\xff"
"""Other formats' headers may be long to read: a PNG's are packed, a TIFF's lead anywhere."""

LONG_S = 0.02
"""When photos hold up the loop for longer than this, on average, its disk is slow."""

WEIGHT = 0.1
APART = 1000
"""So many photos go to threads then, before the loop tries again."""


class Judges:
    """Looks at photos as ``check`` asks (``decode`` or ``header``), and keeps their bytes.

    A small JPEG whose header alone is read, and whose bytes stay on this machine, takes a quarter
    of a millisecond. Handed to a thread it costs three times that, because the thread and the
    loop take the interpreter's lock from each other at every call to the system.
    """

    def __init__(self, blobs: BlobStore, limits: PhotoLimits, check: str) -> None:
        self._blobs = blobs
        self._limits = limits
        self._look = inspect_photo if check == "decode" else read_header
        self._brief = check == "header" and blobs.local
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
        if not self._brief or len(body) > SMALL_BYTES or not body.startswith(JPEG):
            return False
        if self._apart:
            self._apart -= 1
        return not self._apart

    def _learn(self, took_s: float) -> None:
        self._took_s += WEIGHT * (took_s - self._took_s)
        if self._took_s > LONG_S:
            self._apart, self._took_s = APART, 0.0

    def _judge(self, body: bytes) -> Kept:
        info = self._look(body, self._limits)
        sha256 = self._blobs.write_photo(body)
        return Kept(sha256, info.width, info.height, info.format, info.phash)
