"""A new head over accounts whose vectors are all at hand, against one query and numpy.

Run it as ``make bench NAME=cached``, with options as ``ARGS="--accounts 500 --photos 96"``. The
uncached run beside it computes real photos with the same backbone.
"""

import argparse
import os
import statistics
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sqlalchemy import delete, select

from benchmarks.bundle import publish_untrained_bundle
from benchmarks.endtoend import clock
from benchmarks.house import House, RunTime, forget_results, reclassify, run_house, take_in
from benchmarks.photos import write_photos
from benchmarks.report import note, print_result
from benchmarks.simulated_accounts import add_accounts
from benchmarks.weights import write_random_weights
from pipelines.bundle import Bundle
from pipelines.verdict import SHARE_THRESHOLD
from storage.tables import (
    image_vectors,
    influencers,
    photos,
    post_photos,
    posts,
    text_vectors,
)
from storage.vectors import save_image_vectors, save_text_vectors, unpack

POSTS_EACH = 30
ACCOUNTS_A_QUERY = 50
ROWS = 2_000


def main() -> None:
    """Measure and print the result."""
    options = parse_options()
    random = Random(13)  # noqa: S311 - the same accounts every time
    with TemporaryDirectory(prefix="afin-bench-") as folder:
        note("Preparing photos ...")
        paths, kind = write_photos(Path(folder) / "photos", options.photos, random)
        environment = {"AFIN_BATCH_SIZE": "16"}
        backbone = options.backbone
        if options.weights == "random":
            environment["AFIN_WEIGHTS_DIR"] = str(Path(folder) / "weights")
            backbone = write_random_weights(Path(folder) / "weights", backbone)
        with run_house(Path(folder) / "data", environment) as house:
            bundle = house.resources.bundle(publish_untrained_bundle(house.resources, backbone))
            take_in(house.resources, paths, random)
            reclassify(house, len(paths))
            uncached = [reclassify(house, len(paths)) for _ in range(options.pairs)]
            forget_accounts(house)
            note(f"Making {options.accounts} accounts whose vectors are known ...")
            add_accounts(house.resources, options.accounts, posts_each=POSTS_EACH)
            add_vectors(house, bundle)
            turns = take_turns(house, bundle, options.accounts * POSTS_EACH, options.pairs)
    count = options.accounts * POSTS_EACH
    speeds = {name: [count / turn.seconds for turn in taken] for name, taken in turns.items()}
    slow = [len(paths) / turn.seconds for turn in uncached]
    ratios = {
        "vs_sql_and_numpy": [a / b for a, b in zip(speeds["ours"], speeds["loop"], strict=True)],
        "vs_uncached": [a / b for a, b in zip(speeds["ours"], slow, strict=True)],
    }
    figures: dict[str, Any] = {
        "photos": kind,
        "backbone": backbone,
        "accounts": options.accounts,
        "posts_per_account": POSTS_EACH,
        "cores": os.cpu_count(),
        "uncached_photos_per_s": round(statistics.median(slow), 1),
    }
    for name, taken in turns.items():
        figures[f"{name}_posts_per_s"] = round(statistics.median(speeds[name]))
        figures[f"{name}_cpu_ms_per_post"] = {
            process: round(1000 * statistics.median(t.cpu_s[process] for t in taken) / count, 3)
            for process in taken[0].cpu_s
        }
    print_result("cached", ratios, figures)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=2_000, help="of 30 posts, cached (2000)")
    parser.add_argument("--photos", type=int, default=160, help="of the uncached run (160)")
    parser.add_argument("--pairs", type=int, default=3, help="turns each way takes (3)")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="of the uncached run")
    parser.add_argument(
        "--weights",
        choices=("pretrained", "random"),
        default="pretrained",
        help="random: speed does not depend on them, and resnet34's may not be at hand",
    )
    options = parser.parse_args()
    if min(options.accounts, options.photos, options.pairs) < 1:
        parser.error("--accounts, --photos and --pairs must be at least 1")
    return options


def take_turns(house: House, bundle: Bundle, count: int, pairs: int) -> dict[str, list[RunTime]]:
    """Let ours and the loop take turns, after one of each that is not counted."""
    turns: dict[str, list[RunTime]] = {"ours": [], "loop": []}
    for number in range(pairs + 1):
        ours = reclassify(house, count, keep_vectors=True)
        loop = clock(lambda: judge_by_hand(house, bundle))
        if number:
            turns["ours"].append(ours)
            turns["loop"].append(loop)
            note(f"ours {count / ours.seconds:.0f}, loop {count / loop.seconds:.0f} posts/s")
    return turns


def judge_by_hand(house: House, bundle: Bundle) -> dict[int, set[int]]:
    """Return each account's classes: vectors by one query for fifty accounts, then numpy."""
    manifest, network = bundle.manifest, bundle.network
    text_ref = manifest.text_model
    if bundle.reducer is None or text_ref is None:
        raise SystemExit("The bundle of this benchmark has both halves.")
    found: dict[int, set[int]] = {}
    query = (
        select(posts.c.influencer_id, image_vectors.c.vector, text_vectors.c.vector.label("said"))
        .join(post_photos, post_photos.c.post_id == posts.c.id)
        .join(image_vectors, image_vectors.c.photo_sha256 == post_photos.c.photo_sha256)
        .join(text_vectors, text_vectors.c.caption_sha256 == posts.c.caption_sha256)
        .where(
            image_vectors.c.backbone == manifest.backbone.hash,
            text_vectors.c.text_model == text_ref.hash,
        )
    )
    with house.resources.database.read() as connection:
        accounts = list(connection.scalars(select(influencers.c.id).order_by(influencers.c.id)))
        for start in range(0, len(accounts), ACCOUNTS_A_QUERY):
            part = accounts[start : start + ACCOUNTS_A_QUERY]
            wanted = query.where(posts.c.influencer_id.between(part[0], part[-1]))
            rows = connection.execute(wanted).all()
            owners = np.array([row.influencer_id for row in rows]) - part[0]
            image = bundle.reducer.transform(np.stack([unpack(row.vector) for row in rows]))
            text = np.stack([unpack(row.said) for row in rows])
            likeliest = network.predict(image, text).argmax(axis=1)
            counts = np.zeros((len(part), network.classes))
            np.add.at(counts, (owners, likeliest), 1)
            shares = counts / counts.sum(axis=1, keepdims=True)
            for account, row in zip(part, shares >= SHARE_THRESHOLD, strict=True):
                found[account] = set(np.flatnonzero(row).tolist())
    return found


def add_vectors(house: House, bundle: Bundle) -> None:
    """Give every photo and caption a vector of the bundle's models."""
    backbone, ref = bundle.manifest.backbone, bundle.manifest.text_model
    random = np.random.default_rng(5)
    drawn = random.normal(size=(64, backbone.width)).astype(np.float32)
    said = random.normal(size=(64, ref.width if ref else 1)).astype(np.float32)
    with house.resources.database.read() as connection:
        hashes = list(connection.scalars(select(photos.c.sha256)))
        captions = list(connection.scalars(select(posts.c.caption_sha256)))
    for start in range(0, len(hashes), ROWS):
        shown, words = hashes[start : start + ROWS], captions[start : start + ROWS]
        with house.resources.database.write() as connection:
            vectors = {sha256: drawn[n % 64] for n, sha256 in enumerate(shown)}
            save_image_vectors(connection, backbone.hash, vectors)
            if ref:
                spoken = {sha256: said[n % 64] for n, sha256 in enumerate(words) if sha256}
                save_text_vectors(connection, ref.hash, spoken)


def forget_accounts(house: House) -> None:
    """Delete the accounts of the uncached run, with all that belongs to them."""
    forget_results(house.resources)
    with house.resources.database.write() as connection:
        for table in (influencers, photos):
            connection.execute(delete(table))


if __name__ == "__main__":
    main()
