"""What every peer does with a photo: our decoder and our engine, set up from plain strings."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.vision.backbones import Backbone, load_backbone
from pipelines.vision.decode import PhotoLimits, decode_photo
from schemas.settings import load_settings

VARIABLE = "BENCH_PEER_WORK"
"""Tells a peer's server how to compute."""

WAIT_S = 0.01
"""How long a batch waits for company, as ours does."""


class PhotoWork:
    """Decodes photos by path, and embeds them in batches; the network is loaded when first used."""

    def __init__(self, work: Mapping[str, str] | None = None) -> None:
        self._work = work or json.loads(os.environ[VARIABLE])
        self._settings = load_settings()
        self._limits = PhotoLimits(
            max_bytes=self._settings.max_photo_bytes, max_pixels=self._settings.max_photo_pixels
        )
        self._backbone: Backbone | None = None

    @property
    def batch(self) -> int:
        """Photos in a forward."""
        return int(self._work["batch"])

    @property
    def backbone(self) -> Backbone:
        """The network, as the gpu worker would load it."""
        if self._backbone is None:
            import torch

            # As ours does; Ray would allow an actor of one CPU one thread.
            torch.set_num_threads(os.cpu_count() or 1)
            weights = Path(self._work["weights"]) if self._work["weights"] else None
            self._backbone = load_backbone(
                self._work["backbone"],
                device="cpu",
                weights_dir=weights or self._settings.weights,
                engine=self._settings.engine,
            )
        return self._backbone

    def decode(self, path: str) -> NDArray[np.uint8]:
        """Return a photo's ``(size, size, 3) uint8``."""
        return decode_photo(Path(path).read_bytes(), self.backbone.transform, self._limits)

    def embed(self, photos: Sequence[NDArray[np.uint8]]) -> list[bytes]:
        """Return the vectors of some photos as float16 bytes, which is what ours stores."""
        vectors = self.backbone.embed(np.stack(photos))
        return [vector.astype("<f2").tobytes() for vector in vectors]
