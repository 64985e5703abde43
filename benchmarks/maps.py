"""Processor seconds of laying posts out, and of answering with a map of that many.

Run it as ``make bench NAME=maps``.
"""

import argparse
import gzip
import time
from tempfile import TemporaryDirectory

import numpy as np
from pydantic import TypeAdapter
from sqlalchemy import select

from benchmarks.bundle import publish_untrained_bundle
from benchmarks.many_accounts import fill
from benchmarks.report import note, print_result
from pipelines.evaluation.maps import lay_out
from schemas.maps import MAX_POSTS, PostMap
from storage.maps import NewPoint, read_map, save_map
from storage.tables import posts
from tasks.context import Context, adopt_settings, context

WIDTH = 128
"""Of a photo's vector after PCA."""

GROUPS = 8
TURNS = 9


def main() -> None:
    """Lay out drawn vectors, keep a map of each size, read it again; print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 3000, MAX_POSTS])
    options = parser.parse_args()
    with TemporaryDirectory(prefix="afin-bench-") as folder:
        adopt_settings({"AFIN_DATA_DIR": folder, "AFIN_LOG_LEVEL": "WARNING"})
        resources = context()
        bundle_id = publish_untrained_bundle(resources, "efficientnet_lite0")
        manifest = resources.bundle(bundle_id).manifest
        fill(resources.database, bundle_id, manifest, accounts=500, posts_each=20)
        found = {size: _measure(resources, bundle_id, size) for size in options.sizes}
        resources.database.close()
    figures = {str(size): one for size, one in found.items()}
    print_result("maps", {}, figures)


def _measure(resources: Context, bundle_id: str, size: int) -> dict[str, float]:
    note(f"Laying out {size} vectors ...")
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(GROUPS, WIDTH)) * 2
    vectors = centres[rng.integers(0, GROUPS, size)] + rng.normal(size=(size, WIDTH))
    began = time.process_time()
    places = lay_out(vectors.astype(np.float32))
    laid_out_s = time.process_time() - began
    with resources.database.write() as connection:
        ids = connection.scalars(select(posts.c.id).limit(size)).all()
        points = [
            NewPoint(
                post_id=post_id,
                x=round(float(x), 5),
                y=round(float(y), 5),
                category="comida",
                probability=0.9,
                photo_sha256=rng.bytes(32).hex(),
            )
            for post_id, (x, y) in zip(ids, places, strict=False)
        ]
        save_map(connection, bundle_id, "image", points, groups=(), posts_count=size, seconds=1)
    times, packed = [], 0
    answer = TypeAdapter(PostMap | None)
    for _turn in range(TURNS):
        began = time.process_time()
        with resources.database.read() as connection:
            found = read_map(connection, bundle_id, "image")
        packed = len(gzip.compress(answer.dump_json(found), 6))
        times.append(time.process_time() - began)
    return {
        "laid_out_s": round(laid_out_s, 1),
        "answer_ms": round(1000 * float(np.median(times)), 1),
        "packed_kb": round(packed / 1000),
        "points": len(points),
    }


if __name__ == "__main__":
    main()
