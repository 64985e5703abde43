"""Plain JPEGs, which nearly all photos are, looked at by libjpeg-turbo alone.

Whatever is unusual is left to Pillow, which opens anything and costs several times as much.
"""

import numpy as np
import simplejpeg
from numpy.typing import NDArray

_START = b"\xff\xd8\xff"
_EXIF = b"Exif\0\0"
_XMP_TURN = b"tiff:Orientation"
_USUAL = "YCbCr"
_SCALES = (8, 4, 2)


def read_plain_size(data: bytes) -> tuple[int, int] | None:
    """Return a plain JPEG's (width, height) in pixels by its header; None for anything else.

    Plain means three channels of YCbCr, and neither EXIF nor XMP that could ask for a rotation.
    """
    if not data.startswith(_START) or _EXIF in data or _XMP_TURN in data:
        return None
    try:
        height, width, colours, *_ = simplejpeg.decode_jpeg_header(data)
    except (ValueError, RuntimeError):
        return None
    return (width, height) if colours == _USUAL else None


def read_plain_pixels(
    data: bytes, width: int, height: int, *, least_side: int, longest_side: int
) -> NDArray[np.uint8] | None:
    """Decode a plain JPEG to its end as ``(height, width) uint8`` grey, shrunk on the way.

    Grey is the brightness that a JPEG keeps apart: every byte is read and checked, but no colour is
    reckoned out. It is shrunk by 8, 4 or 2, by no more than leaves its short side ``least_side``
    pixels; the pixels are those of Pillow's draft mode. None where a side of more than
    ``longest_side`` pixels would be left, or libjpeg-turbo has anything to remark.
    """
    room = min(width, height) // least_side
    scale = next((scale for scale in _SCALES if scale <= room), 1)
    if max(width, height) > longest_side * scale:
        return None
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data,
            colorspace="GRAY",
            min_height=-(-height // scale),
            min_width=-(-width // scale),
            min_factor=1,
            strict=True,
        )
    except (ValueError, RuntimeError):
        return None
    return pixels[..., 0]
