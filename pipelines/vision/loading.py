"""Photos for training: decoded ahead by threads, changed at random where asked for, in batches."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.vision.decode import PhotoLimits, PhotoTransform, decode_photo
from schemas.errors import LostBlobError, PhotoError
from schemas.finetuning import FineTuning

if TYPE_CHECKING:
    import torch

Ints = NDArray[np.int64]
Pixels = NDArray[np.uint8]

AHEAD = 3
"""Batches decoded ahead of the one that is computed."""

MARGIN = 1.25
"""Random crops are taken from a square this much larger than the network's input."""

_PHOTO_BYTES = 3


@dataclass(frozen=True)
class LabelledPhotos:
    """What is learnt from: ``hashes[i]`` names photo i's content, ``labels (n,)`` its class.

    ``read(i)`` returns its bytes, or raises PhotoError or LostBlobError: it is left out then.
    """

    hashes: Sequence[str]
    labels: Ints
    read: Callable[[int], bytes]
    limits: PhotoLimits


@dataclass(frozen=True)
class Batch:
    """``inputs (b, …)``, ``labels (b,)``, and ``weights (b,)``: 0 for a photo that is unusable."""

    rows: Ints
    inputs: "torch.Tensor"
    labels: "torch.Tensor"
    weights: "torch.Tensor"


Feed = Callable[[Sequence[Ints], tuple[int, int] | None], Iterator[Batch]]
"""Called with the rows of each batch, and with seed and epoch where photos may be changed."""


def feed_vectors(vectors: NDArray[np.float32], labels: Ints, device: str) -> Feed:
    """Return a feed of vectors ``(n, d)`` that lie in memory."""
    import torch

    x, y = torch.from_numpy(vectors).to(device), torch.from_numpy(labels).to(device)

    def feed(parts: Sequence[Ints], _chance: tuple[int, int] | None) -> Iterator[Batch]:
        for rows in parts:
            yield Batch(rows, x[rows], y[rows], torch.ones(len(rows), device=device))

    return feed


class PhotoFeed:
    """A feed of photos; decoded ones are kept in memory up to ``cache_bytes``."""

    def __init__(
        self,
        photos: LabelledPhotos,
        transform: PhotoTransform,
        hyper: FineTuning,
        *,
        device: str,
        threads: int,
        cache_bytes: int,
    ) -> None:
        self._photos = photos
        self._transform = transform
        self._hyper = hyper
        self._device = device
        self._threads = threads
        self._room = cache_bytes
        self._cache: dict[tuple[int, bool], Pixels] = {}

    def __call__(self, parts: Sequence[Ints], chance: tuple[int, int] | None) -> "Iterator[Batch]":
        """Yield a batch for each part, the next ones being decoded meanwhile."""
        upcoming = iter(parts)
        waiting: deque[tuple[Ints, list[Future[Pixels | None]]]] = deque()
        with ThreadPoolExecutor(self._threads, thread_name_prefix="decode") as pool:

            def submit(rows: Ints) -> None:
                futures = [pool.submit(self._prepare, int(row), chance) for row in rows]
                waiting.append((rows, futures))

            for rows in islice(upcoming, AHEAD):
                submit(rows)
            while waiting:
                rows, futures = waiting.popleft()
                yield self._assemble(rows, [future.result() for future in futures])
                for following in islice(upcoming, 1):
                    submit(following)

    def _assemble(self, rows: Ints, found: "list[Pixels | None]") -> Batch:
        import torch

        side = self._transform.size
        blank = np.zeros((side, side, _PHOTO_BYTES), np.uint8)
        stacked = np.stack([blank if one is None else one for one in found])
        # uint8 over the bus; a photo's bytes are channels-last, so permuting them copies nothing.
        pixels = torch.from_numpy(stacked).to(self._device).permute(0, 3, 1, 2).float()
        shape = (1, 3, 1, 1)
        mean = torch.tensor(self._transform.mean, device=self._device).view(shape) * 255
        std = torch.tensor(self._transform.std, device=self._device).view(shape) * 255
        return Batch(
            rows,
            pixels.sub_(mean).div_(std),
            torch.from_numpy(self._photos.labels[rows]).to(self._device),
            torch.tensor([float(one is not None) for one in found], device=self._device),
        )

    def _prepare(self, row: int, chance: tuple[int, int] | None) -> Pixels | None:
        hyper = self._hyper
        try:
            photo = self._decode(row, larger=chance is not None and hyper.crop_share < 1)
        except (PhotoError, LostBlobError):
            return None
        if chance is None or not hyper.augments:
            return photo
        # Its own random numbers: whichever thread or process meets the photo, it looks the same.
        own = np.random.default_rng([*chance, row])
        return change_photo(photo, hyper, own, self._transform.size)

    def _decode(self, row: int, *, larger: bool) -> Pixels:
        known = self._cache.get((row, larger))
        if known is not None:
            return known
        transform = self._transform
        if larger:
            changes = {"size": round(transform.size * MARGIN), "crop": 1.0}
            transform = transform.model_copy(update=changes)
        photo = decode_photo(self._photos.read(row), transform, self._photos.limits)
        if photo.nbytes <= self._room:
            self._room -= photo.nbytes
            self._cache[row, larger] = photo
        return photo


def change_photo(
    photo: Pixels, hyper: FineTuning, chance: np.random.Generator, size: int
) -> Pixels:
    """Crop, mirror and tint a photo ``(s, s, 3)`` at random; return ``(size, size, 3)``."""
    import torch
    from torchvision.transforms.v2 import functional

    pixels = torch.from_numpy(photo).permute(2, 0, 1)
    if hyper.crop_share < 1:
        whole = photo.shape[0]
        # Aspect ratios 3:4 to 4:3, as in Szegedy et al. 2014, "Going Deeper with Convolutions".
        side = whole * np.sqrt(chance.uniform(hyper.crop_share, 1))
        stretch = np.exp(chance.uniform(-1, 1) * np.log(4 / 3) / 2)
        high, wide = (min(round(side * factor), whole) for factor in (stretch, 1 / stretch))
        top, left = (int(chance.integers(0, whole - edge + 1)) for edge in (high, wide))
        square = [size, size]
        pixels = functional.resized_crop(pixels, top, left, high, wide, square, antialias=True)
    if chance.random() < hyper.flip / 2:
        pixels = functional.horizontal_flip(pixels)
    brightness, contrast = chance.uniform(1 - hyper.colour, 1 + hyper.colour, 2)
    if hyper.colour:
        pixels = functional.adjust_brightness(pixels, float(brightness))
        pixels = functional.adjust_contrast(pixels, float(contrast))
    changed: Pixels = pixels.permute(1, 2, 0).contiguous().numpy()
    return changed
