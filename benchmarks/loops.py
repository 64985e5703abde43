"""What people would write by hand instead: the best loop there is, and the usual script."""

import threading
from collections.abc import Sequence
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.vision.architectures import build_network, fill_network
from pipelines.vision.backbones import Backbone
from pipelines.vision.decode import PhotoLimits, PhotoTransform, decode_photo
from pipelines.vision.weights import find_weights
from schemas.settings import Settings

if TYPE_CHECKING:
    import torch

Vectors = NDArray[np.float32]

BATCHES_AHEAD = 4
"""Batches that may be decoded before they are needed, as in the gpu worker."""


def run_ideal_loop(backbone: Backbone, settings: Settings, paths: Sequence[Path]) -> Vectors:
    """Embed photos as ``(n, d)``: our decode in a second thread, our forward, our batch size."""
    limits = PhotoLimits(max_bytes=settings.max_photo_bytes, max_pixels=settings.max_photo_pixels)
    size = settings.batch_size
    decoded: Queue[NDArray[np.uint8]] = Queue(BATCHES_AHEAD * size)

    def decode() -> None:
        for path in paths:
            decoded.put(decode_photo(path.read_bytes(), backbone.transform, limits))

    thread = threading.Thread(target=decode, name="decode")
    thread.start()
    vectors = []
    for start in range(0, len(paths), size):
        count = min(size, len(paths) - start)
        vectors.append(backbone.embed(np.stack([decoded.get() for _ in range(count)])))
    thread.join()
    return np.concatenate(vectors)


def load_plain_model(name: str, settings: Settings) -> "torch.nn.Module":
    """Load the same network with the same weights and nothing done for its speed."""
    model = build_network(name, 0)
    fill_network(model, name, find_weights(name, settings.weights))
    return model.eval().to(settings.device if settings.device != "auto" else _first_device())


def run_plain_script(
    model: "torch.nn.Module", transform: PhotoTransform, paths: Sequence[Path]
) -> Vectors:
    """Embed photos as ``(n, d)`` the way tutorials do: Pillow, one at a time, one loop."""
    import torch
    from torchvision import transforms

    bicubic = transform.interpolation == "bicubic"
    mode = transforms.InterpolationMode.BICUBIC if bicubic else None
    prepare = transforms.Compose(
        [
            transforms.Resize(
                round(transform.size / transform.crop),
                interpolation=mode or transforms.InterpolationMode.BILINEAR,
            ),
            transforms.CenterCrop(transform.size),
            transforms.ToTensor(),
            transforms.Normalize(transform.mean, transform.std),
        ]
    )
    device = next(model.parameters()).device
    vectors = []
    with torch.no_grad():
        for path in paths:
            photo = prepare(Image.open(path).convert("RGB")).unsqueeze(0).to(device)
            vectors.append(model(photo).cpu().numpy()[0])
    return np.stack(vectors)


def _first_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
