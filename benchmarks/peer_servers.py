"""Runs the peers that are servers, LitServe and mosec, and asks them for photos' vectors."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.peer_work import VARIABLE
from schemas.errors import AfinError
from workers.processes import free_port

IN_FLIGHT = 64
"""Requests at once: enough for four batches of sixteen."""

STARTING_S = 180.0
ROOT = Path(__file__).parents[1]


@contextmanager
def run_litserve(work: Mapping[str, str]) -> Iterator[str]:
    """Run LitServe with one worker process and yield the address that takes photos."""
    with _running("litserve", work) as port:
        yield f"http://127.0.0.1:{port}/predict"


@contextmanager
def run_mosec(work: Mapping[str, str]) -> Iterator[str]:
    """Run mosec, one process that decodes and one that embeds, and yield its address."""
    with _running("mosec", work) as port:
        yield f"http://127.0.0.1:{port}/inference"


def ask_server(url: str, paths: Sequence[Path]) -> int:
    """Ask for every photo's vector, 64 at a time; return the bytes of all vectors.

    Raises:
        AfinError: an answer was no vector.
    """
    shares = [paths[start::IN_FLIGHT] for start in range(IN_FLIGHT)]
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        return sum(pool.map(lambda share: _ask(url, share), shares))


def _ask(url: str, paths: Sequence[Path]) -> int:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=STARTING_S)
    total = 0
    for path in paths:
        body = json.dumps({"path": str(path)})
        connection.request("POST", parts.path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise AfinError(f"The peer answered {answer.status}: {text[:200]!r}.")
        total += len(base64.b64decode(json.loads(text)["vector"]))
    connection.close()
    return total


@contextmanager
def _running(peer: str, work: Mapping[str, str]) -> Iterator[int]:
    port = free_port()
    variables = {VARIABLE: json.dumps(dict(work)), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", f"benchmarks.peer_{peer}", str(port)]
    # In a session of its own, so that all its processes end with it.
    server = subprocess.Popen(
        command,
        env=os.environ | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_until_up(server, port)
        yield port
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)


def _wait_until_up(server: "subprocess.Popen[bytes]", port: int) -> None:
    deadline_s = time.monotonic() + STARTING_S
    while time.monotonic() < deadline_s and server.poll() is None:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/metrics")
            connection.getresponse().read()
        except OSError:
            time.sleep(0.2)
        else:
            return
        finally:
            connection.close()
    raise AfinError("The peer did not start: run its server by hand and see what it says.")
