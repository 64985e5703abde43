"""How many photos should go into one forward: found by trying, in a moment."""

import time

import numpy as np

from pipelines.vision.batcher import Embed, is_out_of_memory

SMALLEST = 8
LARGEST_ON_CPU = 32
LARGEST_ON_GPU = 1024
WORTH = 1.05
"""A doubled batch must bring this much more throughput; else the smaller one, which waits less."""

LONGEST_S = 3.0
"""A slow device is not made to wait longer for its first photo than this, if it can be helped."""


def find_batch_size(embed: Embed, side: int, *, largest: int, longest_s: float = LONGEST_S) -> int:
    """Double the batch until throughput flattens, memory ends or time is up; return the best.

    Warms the model up on the way: each size is computed once before it is timed. ``side`` is that
    of the photos in pixels.
    """
    until_s = time.monotonic() + longest_s
    best, best_rate = SMALLEST, 0.0
    size = SMALLEST
    while size <= largest:
        photos = np.zeros((size, side, side, 3), np.uint8)
        try:
            embed(photos)
            started_s = time.monotonic()
            embed(photos)
        except Exception as error:
            if is_out_of_memory(error):
                return max(1, size // 2)
            raise
        took_s = time.monotonic() - started_s
        rate = size / max(took_s, 1e-9)
        if rate < WORTH * best_rate:
            return best
        best, best_rate = size, rate
        # The next size takes four times as long: twice the photos, computed twice.
        if time.monotonic() + 4 * took_s > until_s:
            return best
        size *= 2
    return best
