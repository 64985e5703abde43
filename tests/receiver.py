"""A platform's callback on loopback: checks signatures, answers as told, keeps what it accepted."""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipelines.webhooks import Secrets, verify


@dataclass
class Receiver:
    """What came in: every try, and each accepted message by its id."""

    url: str
    tries: list[str] = field(default_factory=list)
    accepted: dict[str, dict[str, Any]] = field(default_factory=dict)


@contextmanager
def receiving(
    secrets: Secrets,
    statuses: Sequence[int] = (),
    headers: Mapping[str, str] | None = None,
) -> Iterator[Receiver]:
    """Receive callbacks until the block ends; the first tries get ``statuses``, the rest 204."""
    waiting = list(statuses)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            given = {name.lower(): value for name, value in self.headers.items()}
            _sender, webhook_id = verify(secrets, given, body, now=time.time(), tolerance_s=60)
            with lock:
                receiver.tries.append(webhook_id)
                status = waiting.pop(0) if waiting else 204
                if status == 204:
                    receiver.accepted[webhook_id] = json.loads(body)
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(url=f"http://127.0.0.1:{server.server_port}/verdicts")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
