"""Perceptual hashes: photos that look the same have hashes that differ in a few bits."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 8
"""Rows and comparisons a row: 64 bits."""


def dhash(rgb: NDArray[np.uint8]) -> int:
    """Return the difference hash of a photo ``(h, w, 3) uint8`` or ``(h, w) uint8``: 64 bits.

    Grey, shrunk to 9 x 8 pixels; each bit says whether a pixel is brighter than its left neighbour
    (Krawetz 2013, "Kind of Like That"). The first comparison is the highest bit.
    """
    grey = Image.fromarray(rgb).convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BILINEAR)
    pixels = np.asarray(grey, np.int16)
    bits = np.packbits(pixels[:, 1:] > pixels[:, :-1])
    return int.from_bytes(bits.tobytes(), "big")
