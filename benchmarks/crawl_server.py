"""A server of photos that is no bottleneck: answers lie ready, and no two have the same bytes."""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from benchmarks.photos import REAL
from pipelines.sources.samples.writer import draw_photo

HOSTS = 4
"""Ports with live photos: crawlers are polite to each of them apart."""

SLOW_HOSTS = 8
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n"
# A comment of eight bytes right after a JPEG's start makes its bytes unlike any other's.
COMMENT = b"\xff\xfe\x00\x0a"
DRAWN = 64


def read_photos(folder: Path, count: int) -> list[bytes]:
    """Return up to ``count`` JPEGs of a folder of folders, drawn ones if there is none."""
    real = sorted(folder.glob("*/*.jpg"))
    if not real:
        seeds = [Random(number) for number in range(min(count, DRAWN))]  # noqa: S311 - same photos
        return [draw_photo("comida", seed) for seed in seeds]
    step = max(len(real) // count, 1)
    found = (path.read_bytes() for path in real[::step])
    return [photo for photo in found if photo[:2] == b"\xff\xd8"][:count]


class _Connection(asyncio.Protocol):
    """Answers ``/<number>.jpg`` with a photo, ``/dead/…`` with 404, and ``/slow/…`` not at all."""

    def __init__(self, photos: list[bytes]) -> None:
        self._photos = photos
        self._transport: asyncio.Transport | None = None
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while b"\r\n\r\n" in self._unread:
            request, self._unread = self._unread.split(b"\r\n\r\n", 1)
            self._answer(request.split(b" ", 2)[1])

    def _answer(self, path: bytes) -> None:
        if self._transport is None or path.startswith(b"/slow/"):
            return
        if path.startswith(b"/dead/"):
            self._transport.write(NOT_FOUND)
        elif path.endswith(b".jpg"):
            number = int(path[1:-4])
            photo = self._photos[number % len(self._photos)]
            head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % (
                len(photo) + len(COMMENT) + 8
            )
            unique = photo[:2] + COMMENT + b"%08d" % number
            self._transport.writelines([head, unique, memoryview(photo)[2:]])
        else:
            self._transport.write(EMPTY)


async def serve(photos: list[bytes]) -> None:
    """Serve until killed; the ports are told on stdout, live ones first."""
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda: _Connection(photos), "127.0.0.1", 0, backlog=1024)
        for _ in range(HOSTS + SLOW_HOSTS)
    ]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    sys.stdout.write(" ".join(map(str, ports)) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


@contextmanager
def run_server(folder: Path, photos: int) -> Iterator[tuple[list[str], list[str]]]:
    """Serve from a process of its own; gives the bases of live hosts and of slow ones."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.crawl_server",
        "--photos",
        str(photos),
        str(folder),
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None  # noqa: S101
        bases = [f"http://127.0.0.1:{port}" for port in child.stdout.readline().split()]
        try:
            yield bases[:HOSTS], bases[HOSTS:]
        finally:
            child.send_signal(signal.SIGKILL)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=4000)
    parser.add_argument("folder", type=Path, nargs="?", default=REAL)
    options = parser.parse_args()
    asyncio.run(serve(read_photos(options.folder, options.photos)))


if __name__ == "__main__":
    main()
