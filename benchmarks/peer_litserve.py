"""LitServe with one worker process, in which threads decode what it then embeds.

``python -m benchmarks.peer_litserve PORT``
"""

import base64
import sys
from concurrent.futures import ThreadPoolExecutor

import litserve

from benchmarks.peer_work import WAIT_S, PhotoWork


class Api(litserve.LitAPI):  # type: ignore[misc]
    """Takes a photo's path, gives its vector."""

    def setup(self, _device: str) -> None:
        """Load the network, in the worker process."""
        self.work = PhotoWork()
        # Here, and not by the threads that decode, all at once.
        self.work.backbone  # noqa: B018
        self.decoders = ThreadPoolExecutor(2)

    def decode_request(self, request: dict[str, str]) -> str:
        """Take the path out."""
        return request["path"]

    def batch(self, inputs: list[str]) -> list[str]:
        """Leave paths as they are."""
        return inputs

    def predict(self, paths: list[str]) -> list[bytes]:
        """Decode and embed a batch."""
        return self.work.embed(list(self.decoders.map(self.work.decode, paths)))

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        """Leave vectors as they are."""
        return output

    def encode_response(self, vector: bytes) -> dict[str, str]:
        """Bring bytes into JSON."""
        return {"vector": base64.b64encode(vector).decode()}


def main(port: str) -> None:
    """Serve until told to stop."""
    api = Api(max_batch_size=PhotoWork().batch, batch_timeout=WAIT_S)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=False)
    server.run(host="127.0.0.1", port=int(port), generate_client_file=False, log_level="error")


if __name__ == "__main__":
    main(*sys.argv[1:2])
