"""Plain JPEGs, which nearly all photos are, looked at by libjpeg-turbo alone.

Whatever is unusual is left to Pillow, which opens anything and costs several times as much.
"""

import numpy as np
import simplejpeg
from numpy.typing import NDArray

_START = b"\xff\xd8\xff"
_SCAN = b"\xff\xda"
_MARKER = 0xFF
_LONE = {0x00, 0x01, *range(0xD0, 0xDA), 0xFF}
"""Second bytes of markers that no length follows, and of a fill byte."""

_MOST_SEGMENTS = 1000
"""A colour profile may take 255; who sends a million wants to keep us busy."""

_EXIF = b"Exif\0\0"
_XMP_TURN = b"tiff:Orientation"
_USUAL = "YCbCr"
_SCALES = (8, 4, 2)


def read_plain_size(data: bytes) -> tuple[int, int] | None:
    """Return a plain JPEG's (width, height) in pixels by its header; None for anything else.

    Plain means three channels of YCbCr, and neither EXIF nor XMP that could ask for a rotation.
    """
    head = _read_segments(data)
    if not head or _EXIF in head or _XMP_TURN in head:
        return None
    try:
        height, width, colours, *_ = simplejpeg.decode_jpeg_header(data)
    except (ValueError, RuntimeError):
        return None
    return (width, height) if colours == _USUAL else None


def _read_segments(data: bytes) -> bytes:
    """Return what comes before a JPEG's pixels (ITU T.81, B.1.1); empty for what begins otherwise.

    Looking for words in that alone takes a tenth of looking through all of a photo.
    """
    if not data.startswith(_START):
        return b""
    place = len(_START) - 1
    for _ in range(_MOST_SEGMENTS):
        marker = data[place : place + 2]
        if marker == _SCAN:
            return data[:place]
        # Fill bytes and markers without a length are allowed, and rare.
        if len(marker) < len(_SCAN) or marker[0] != _MARKER or marker[1] in _LONE:
            break
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return b""


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
