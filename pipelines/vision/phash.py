"""Perceptual hashes of photos, and which photos are near-duplicates by them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.grouping import join_pairs

_ROWS, _COLUMNS = 8, 9
_BLOCK = 256
"""Hashes compared at once with all others: 256 x 100,000 differences take 200 MB."""


def dhash(pixels: NDArray[np.uint8]) -> int:
    """Return the 64-bit difference hash of a photo, ``(h, w, 3)`` RGB or ``(h, w)`` grey, uint8.

    The photo is shrunk to 8 x 9 grey cells; each bit says whether a cell is brighter than its
    right neighbour, row by row, the first one highest (Krawetz 2013, "Kind of Like That").
    Resizing, recompression and changes of brightness leave nearly all bits alone; mirroring and
    cropping do not.
    """
    height, width = pixels.shape[:2]
    mode = "L" if pixels.ndim == 2 else "RGB"  # noqa: PLR2004
    # Not fromarray, which copies the pixels once more.
    image = Image.frombuffer(mode, (width, height), np.ascontiguousarray(pixels), "raw", mode, 0, 1)
    grey = image.convert("L").resize((_COLUMNS, _ROWS), Image.Resampling.BILINEAR)
    cells = np.asarray(grey, np.int16)
    # Whole grey levels: rounding alone does not decide about even areas.
    return int.from_bytes(np.packbits(cells[:, :-1] > cells[:, 1:]).tobytes(), "big")


def group_near(hashes: Sequence[int | None], max_distance: int = 4) -> NDArray[np.int64]:
    """Return a group number a photo ``(n,)``: linked by at most ``max_distance`` different bits.

    Groups are transitive and numbered by their first member. A photo without hash (None), or one
    whose hash says nothing because it is all even (0), stays alone. Every pair is compared, which
    takes about a minute for 100,000 photos.
    """
    firsts: dict[int, int] = {}
    same = [(firsts.setdefault(value, place), place) for place, value in enumerate(hashes) if value]
    places = list(firsts.values())
    near = _near_pairs(np.array(list(firsts), np.uint64), max_distance)
    links = [(places[left], places[right]) for left, right in near]
    return join_pairs(len(hashes), [*same, *links])


def _near_pairs(hashes: NDArray[np.uint64], max_distance: int) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(hashes), _BLOCK):
        block = hashes[start : start + _BLOCK]
        rest = hashes[start:]
        distances = np.bitwise_count(block[:, None] ^ rest[None, :])
        rows, columns = np.nonzero(distances <= max_distance)
        ahead = columns > rows
        pairs += zip((rows[ahead] + start).tolist(), (columns[ahead] + start).tolist(), strict=True)
    return pairs
