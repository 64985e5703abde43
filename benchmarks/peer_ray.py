"""Ray Data: photos decoded by tasks, embedded by one actor in batches."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peer_work import PhotoWork


class Decode:
    """Reads one photo."""

    def __init__(self, work: Mapping[str, str]) -> None:
        self._work = PhotoWork(work)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return a photo's pixels."""
        return {"photo": self._work.decode(row["path"])}


class Embed:
    """Embeds a batch, and says when it was done."""

    def __init__(self, work: Mapping[str, str]) -> None:
        self._work = PhotoWork(work)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return vectors, and the time at which they were there."""
        vectors = self._work.embed(list(batch["photo"]))
        return {"vector": np.array(vectors), "at": np.full(len(vectors), time.time())}


def run_ray(work: Mapping[str, str], paths: Sequence[Path]) -> dict[str, float]:
    """Return photos a second with Ray's start, and between its first batch and its last."""
    # It is alone on loopback here, and tells nobody that it was used.
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    import ray

    pool = ray.data.ActorPoolStrategy(size=1)
    started_s = time.perf_counter()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        given = (dict(work),)
        photos = ray.data.from_items([{"path": str(path)} for path in paths])
        decoded = photos.map(Decode, fn_constructor_args=given, compute=pool, num_cpus=1)
        embedded = decoded.map_batches(
            Embed,
            fn_constructor_args=given,
            batch_size=int(work["batch"]),
            compute=pool,
            num_cpus=1,
        )
        rows = embedded.take_all()
        seconds = time.perf_counter() - started_s
    finally:
        ray.shutdown()
    ended = sorted(row["at"] for row in rows)
    first = ended.count(ended[0])
    steady = (len(ended) - first) / (ended[-1] - ended[0]) if len(ended) > first else 0.0
    return {"ray_with_start": len(paths) / seconds, "ray": steady}
