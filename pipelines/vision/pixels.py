"""The two dear steps of decoding done fast: a JPEG's pixels, and the resize to a backbone's size.

Both give the pixels that Pillow gives, but for the last bit; together they take half the time.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from pipelines.vision.decode import PhotoTransform

PREPROCESSING = {"smooth": "turbo-v2", "repeated": "turbo-v2-repeated"}
"""Part of every backbone's hash, by a transform's colours: what changes pixels here changes it."""

LONGEST_SHAPE = 4
"""Photos longer than this times their width are resized only where the crop keeps them."""

Pixels = NDArray[np.uint8]

_RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}
_UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


def read_jpeg(
    data: bytes, width: int, height: int, *, repeated: bool = False, strict: bool = True
) -> Pixels | None:
    """Decode a JPEG whose header says ``width`` x ``height``, as ``(height, width, 3) uint8`` RGB.

    Colours that are stored coarser are interpolated, or ``repeated`` as nvJPEG does.
    None where libjpeg-turbo has anything to remark, unless not ``strict``: Pillow then tells a
    blemish from a defect.
    """
    try:
        rows, columns, *_ = simplejpeg.decode_jpeg_header(data)
        if (columns, rows) != (width, height):
            return None
        pixels: Pixels = simplejpeg.decode_jpeg(
            data, colorspace="RGB", fastupsample=repeated, strict=strict
        )
    except (ValueError, RuntimeError):
        return None
    return pixels


def turn_upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo what an EXIF orientation from 1 to 8 says of ``(height, width, 3)`` pixels."""
    turn = _UPRIGHT.get(orientation)
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def resize_and_crop(pixels: Pixels, transform: "PhotoTransform") -> Pixels:
    """Resize the short side and keep the centre: ``(size, size, 3) uint8``.

    torch's antialiased resize of uint8 follows Pillow's to the rounding, at a quarter of its time.
    """
    height, width = pixels.shape[:2]
    if max(width, height) > LONGEST_SHAPE * min(width, height):
        return _resize_part(pixels, transform)
    import torch
    from torch.nn.functional import interpolate

    size = transform.size
    wide, high, left, top = plan_resize(width, height, transform)
    # A photo's bytes are channels-last; permuting them copies nothing and is the fast case.
    source = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    resized = interpolate(source, (high, wide), mode=transform.interpolation, antialias=True)
    part = resized[0, :, top : top + size, left : left + size].permute(1, 2, 0)
    # A copy of its own: a view would keep the whole resized picture alive.
    return np.array(part.numpy())


def plan_resize(width: int, height: int, transform: "PhotoTransform") -> tuple[int, int, int, int]:
    """Return the size to resize to, (width, height), and where the crop begins, (left, top)."""
    size, side = transform.size, round(transform.size / transform.crop)
    wide = side if width <= height else int(side * width / height)
    high = side if height <= width else int(side * height / width)
    return wide, high, round((wide - size) / 2), round((high - size) / 2)


def _resize_part(pixels: Pixels, transform: "PhotoTransform") -> Pixels:
    """Resample only what the crop keeps: a panorama's resized long side might not fit in memory.

    The pixels are those of doing one after the other, but for the rounding between Pillow's two
    passes, whose order it picks by cost.
    """
    height, width = pixels.shape[:2]
    size = transform.size
    wide, high, left, top = plan_resize(width, height, transform)
    box = (
        left * width / wide,
        top * height / high,
        min((left + size) * width / wide, width),
        min((top + size) * height / high, height),
    )
    image = Image.fromarray(pixels).resize((size, size), _RESAMPLING[transform.interpolation], box)
    return np.array(image, dtype=np.uint8)
