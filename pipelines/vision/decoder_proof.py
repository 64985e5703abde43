"""Whether a device's decoder may be used: it has to give the CPU's pixels, and be faster."""

import io
import logging
import time
from collections.abc import Iterator

import numpy as np
from PIL import Image

from pipelines.vision.decode import PhotoLimits, PhotoTransform, decode_photo
from pipelines.vision.engines import Embed
from pipelines.vision.nvjpeg import Decode, DeviceDecoder, accept_jpeg
from schemas.errors import AfinError

log = logging.getLogger(__name__)

LEAST_COSINE = 0.999
"""What a vector must keep to that of the same photo decoded on the CPU, as of any engine."""

FARTHEST = 0.5
"""Levels of 255 by which a photo's pixels may be off on average: rounding takes a hundredth."""

TIMED = 32
"""Large photos that are decoded by the clock on the device, and a tenth of it on the CPU."""

_ORIENTATION_TAG = 0x0112
_LIMITS = PhotoLimits(max_bytes=2**25, max_pixels=2**24)


def open_decoder(
    transform: PhotoTransform,
    device: str,
    embed: Embed,
    *,
    threads: float,
    decode: Decode | None = None,
) -> DeviceDecoder | None:
    """Return a device's decoder if it proves itself on drawn JPEGs against the CPU, else None.

    Each vector must keep the cosine that engines have to keep, and pixels are compared as well:
    an untrained network tells little apart. It must be faster than so many ``threads`` too: where a
    GPU has no decoder in hardware, nvJPEG does half of its work on one thread of the host.
    """
    try:
        decoder = DeviceDecoder(transform, device, decode=decode)
        least, farthest = _compare(decoder, transform, embed)
        speedup = 0.0
        if sound := least >= LEAST_COSINE and farthest <= FARTHEST:
            speedup = _measure(decoder, transform) / threads
    except Exception as error:  # noqa: BLE001  # a library or driver that lacks it fails somehow
        log.warning("photos are decoded on the CPU: %s cannot (%s)", device, error)
        return None
    if not sound:
        log.warning(
            "photos are decoded on the CPU: %s gives other pixels (cosine %.5f, off by %.2f)",
            device,
            least,
            farthest,
        )
        return None
    if speedup < 1:
        log.warning("photos are decoded on the CPU: it is %.1f times as fast", 1 / speedup)
        return None
    log.info(
        "photos are decoded on %s (cosine %.6f, off by %.3f, %.1f times as fast as the CPU)",
        device,
        least,
        farthest,
        speedup,
    )
    return decoder


def _compare(
    decoder: DeviceDecoder, transform: PhotoTransform, embed: Embed
) -> tuple[float, float]:
    """Return the least cosine to what the CPU makes of drawn JPEGs, and how far pixels are off.

    Raises whatever the decoder raises: none may go to the CPU after all.
    """
    drawn = list(_draw_jpegs())
    jpegs = [accept_jpeg(data, _LIMITS) for data in drawn]
    taken = [one for one in jpegs if one is not None]
    if len(taken) < len(drawn):
        raise AfinError("a drawn JPEG was not recognised")
    decoder.decode_together(taken)
    there = decoder.gather(taken)
    here = np.stack([decode_photo(data, transform, _LIMITS) for data in drawn])
    ours, theirs = embed(there), embed(here)
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    off = np.abs(there.cpu().numpy().astype(np.int16) - here).mean(axis=(1, 2, 3))
    return float(((ours * theirs).sum(axis=1) / norms).min()), float(off.max())


def _measure(decoder: DeviceDecoder, transform: PhotoTransform) -> float:
    """Return how many times as fast as one thread of the CPU large photos are decoded."""
    *_small, large = _draw_jpegs()
    few = max(TIMED // 10, 1)
    jpeg = accept_jpeg(large, _LIMITS)
    if jpeg is None:
        raise AfinError("a drawn JPEG was not recognised")
    many = [jpeg] * TIMED
    decoder.gather(many)  # the first time, memory is allocated
    started_s = time.perf_counter()
    decoder.gather(many)
    there_s = (time.perf_counter() - started_s) / TIMED
    started_s = time.perf_counter()
    for _ in range(few):
        decode_photo(large, transform, _LIMITS)
    return (time.perf_counter() - started_s) / few / there_s


def _draw_jpegs() -> Iterator[bytes]:
    """Draw JPEGs of every orientation and subsampling, of odd sizes, a grey one and a large one."""
    random = np.random.default_rng(0)
    kinds = [(301 + 16 * turn, 203 + turn, turn % 3, turn, "RGB") for turn in range(1, 9)]
    kinds += [(97, 131, 2, 1, "RGB"), (400, 300, 0, 1, "L"), (1080, 1350, 2, 1, "RGB")]
    for width, height, subsampling, orientation, mode in kinds:
        coarse = random.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        photo = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        exif = Image.Exif()
        if orientation > 1:
            exif[_ORIENTATION_TAG] = orientation
        file = io.BytesIO()
        photo.convert(mode).save(file, "JPEG", quality=90, subsampling=subsampling, exif=exif)
        yield file.getvalue()
