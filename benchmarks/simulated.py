"""A worker whose models answer at once: what is left is Celery, the database and our own code.

``python -m benchmarks.simulated KIND`` runs a real worker of that kind.
"""

import sys
from collections.abc import Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.text.fasttext import TextModel
from schemas.bundles import BackboneRef
from schemas.settings import load_settings
from storage.blobs import BlobStore
from tasks import images
from tasks.context import Context
from workers.kinds import run_worker

VECTORS = np.random.default_rng(0).normal(size=(64, 1280)).astype(np.float32)


class Batcher:
    """Hands out vectors drawn beforehand."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._turn = 0

    def submit(self, _photo: object) -> Future[NDArray[np.float32]]:
        """Answer at once."""
        self._turn += 1
        done: Future[NDArray[np.float32]] = Future()
        done.set_result(VECTORS[self._turn % len(VECTORS), : self._width])
        return done


def main(kind: str) -> int:
    """Run one worker with everything heavy taken out."""

    def embedder(_self: Context, _name: str, expected: BackboneRef) -> Any:
        backbone = SimpleNamespace(ref=expected, transform=None)
        return SimpleNamespace(backbone=backbone, batcher=Batcher(expected.width))

    def embed(
        self: TextModel, captions: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        vectors = np.resize(VECTORS[:, : self.ref.width], (len(captions), self.ref.width))
        return vectors, np.ones(len(captions), np.bool_)

    # The names are those that the tasks themselves call.
    vars(images)["decode_photo"] = lambda *_arguments: None
    vars(images)["load_active_backbone"] = lambda: None
    for owner, name, stand_in in (
        (Context, "embedder", embedder),
        (BlobStore, "read_photo", lambda _self, _sha256: b""),
        (TextModel, "embed", embed),
    ):
        setattr(owner, name, stand_in)
    return run_worker(kind, load_settings())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
