"""Perceptual hashes of photos, and which photos are near-duplicates by them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.grouping import join_pairs

_ROWS, _COLUMNS = 8, 9
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601: how bright each of red, green and blue looks."""

_BLOCK = 256
"""Hashes compared at once with all others: 256 x 100,000 differences take 200 MB."""


def dhash(rgb: NDArray[np.uint8]) -> int:
    """Return the 64-bit difference hash of a photo ``(h, w, 3) uint8``.

    The photo is averaged to 8 x 9 grey cells; each bit says whether a cell is brighter than its
    right neighbour, row by row, the first one highest (Krawetz 2013, "Kind of Like That").
    Resizing, recompression and changes of brightness leave nearly all bits alone; mirroring and
    cropping do not.
    """
    grey = rgb.astype(np.float32) @ _LUMA
    cells = _average(_average(grey, _ROWS).T, _COLUMNS).T
    # Half a grey level: rounding alone must not decide about even areas.
    bits = cells[:, :-1] > cells[:, 1:] + 0.5
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


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


def _average(grey: NDArray[np.float32], parts: int) -> NDArray[np.float32]:
    """Average rows ``(h, w)`` to ``(parts, w)``; fewer rows than parts are repeated."""
    height = grey.shape[0]
    if height < parts:
        grey = np.repeat(grey, -(-parts // height), axis=0)
        height = grey.shape[0]
    edges = np.linspace(0, height, parts + 1).round().astype(np.int64)
    sums = np.add.reduceat(grey, edges[:-1], axis=0)
    return (sums / np.diff(edges)[:, None]).astype(np.float32)


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
