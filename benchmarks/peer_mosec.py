"""mosec with one process that decodes and one that embeds.

``python -m benchmarks.peer_mosec PORT``
"""

import base64
import sys
from typing import Any

from mosec import Server, Worker

from benchmarks.peer_work import WAIT_S, PhotoWork


class Decode(Worker):  # type: ignore[misc]
    """Takes a photo's path, gives its pixels."""

    def __init__(self) -> None:
        self.work = PhotoWork()

    def forward(self, data: dict[str, str]) -> Any:
        """Decode one photo."""
        return self.work.decode(data["path"])


class Embed(Worker):  # type: ignore[misc]
    """Takes photos' pixels, gives their vectors."""

    def __init__(self) -> None:
        self.work = PhotoWork()

    def forward(self, data: list[Any]) -> list[dict[str, str]]:
        """Embed a batch."""
        return [{"vector": base64.b64encode(v).decode()} for v in self.work.embed(data)]


def main(port: str) -> None:
    """Serve until told to stop."""
    wait_ms = int(1000 * WAIT_S)
    sys.argv = ["mosec", "--port", port, "--address", "127.0.0.1", "--timeout", "180000"]
    server = Server()
    server.append_worker(Decode, num=1)
    server.append_worker(Embed, num=1, max_batch_size=PhotoWork().batch, max_wait_time=wait_ms)
    server.run()


if __name__ == "__main__":
    main(*sys.argv[1:2])
