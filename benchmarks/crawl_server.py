"""A server of photos that is no bottleneck: answers lie ready, and no two have the same bytes."""

import argparse
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
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


class _Connection:
    """Answers ``/<number>.jpg`` with a photo, ``/dead/…`` with 404, and ``/slow/…`` not at all."""

    def __init__(self, client: socket.socket, photos: list[bytes]) -> None:
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client = client
        self._photos = photos
        self._unread = b""
        self._unsent: list[memoryview] = []

    def read(self) -> bool:
        """Answer what came; return whether the connection goes on."""
        try:
            data = self.client.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._unread += data
        while b"\r\n\r\n" in self._unread:
            request, self._unread = self._unread.split(b"\r\n\r\n", 1)
            self._unsent += self._answer(request.split(b" ", 2)[1])
        return bool(data) and self.send()

    def send(self) -> bool:
        """Send as much as fits; return whether the connection goes on."""
        while self._unsent:
            try:
                sent = self.client.sendmsg(self._unsent)
            except BlockingIOError:
                return True
            except OSError:
                return False
            while self._unsent and sent >= len(self._unsent[0]):
                sent -= len(self._unsent.pop(0))
            if self._unsent:
                self._unsent[0] = self._unsent[0][sent:]
        return True

    def _answer(self, path: bytes) -> list[memoryview]:
        if path.startswith(b"/slow/"):
            return []
        if path.startswith(b"/dead/"):
            return [memoryview(NOT_FOUND)]
        if not path.endswith(b".jpg"):
            return [memoryview(EMPTY)]
        number = int(path[1:-4])
        photo = self._photos[number % len(self._photos)]
        head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % (
            len(photo) + len(COMMENT) + 8
        )
        # Nothing of the photo is copied here.
        begin = memoryview(b"%b%b%b%08d" % (head, photo[:2], COMMENT, number))
        return [begin, memoryview(photo)[2:]]


def serve(photos: list[bytes]) -> None:
    """Serve until killed; the ports are told on stdout, live ones first.

    It shares the machine with those who are measured, so it is one loop around epoll and nothing
    else: asyncio's transports would take three times the processor time.
    """
    poll = select.epoll()
    listeners: dict[int, socket.socket] = {}
    for _ in range(HOSTS + SLOW_HOSTS):
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        listener.setblocking(False)
        listeners[listener.fileno()] = listener
        poll.register(listener, select.EPOLLIN)
    ports = [listener.getsockname()[1] for listener in listeners.values()]
    sys.stdout.write(" ".join(map(str, ports)) + "\n")
    sys.stdout.flush()
    connections: dict[int, _Connection] = {}
    while True:
        for number, event in poll.poll():
            if number in listeners:
                with contextlib.suppress(BlockingIOError):
                    connection = _Connection(listeners[number].accept()[0], photos)
                    connections[connection.client.fileno()] = connection
                    # Edges only: who can be written to is told once, not all the time.
                    poll.register(
                        connection.client, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET
                    )
                continue
            connection = connections[number]
            goes_on = connection.read() if event & select.EPOLLIN else connection.send()
            if not goes_on or event & (select.EPOLLHUP | select.EPOLLERR):
                del connections[number]
                connection.client.close()


@contextlib.contextmanager
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
    serve(read_photos(options.folder, options.photos))


if __name__ == "__main__":
    main()
