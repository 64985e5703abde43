"""How long an event waits for its verdict: while a bulk run keeps workers busy, and while idle.

Run it as ``make bench NAME=events``, with options as ``ARGS="--photos 900 --events 20"``.
"""

import argparse
import time
import uuid
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.request import urlopen

import numpy as np
from sqlalchemy import delete, select

from benchmarks.bundle import publish_untrained_bundle
from benchmarks.house import forget_results, make_accounts, run_house
from benchmarks.photos import write_photos
from benchmarks.report import compare, note, print_result
from pipelines.sources.samples.captions import compose_caption
from schemas.errors import AfinError
from schemas.posts import SourceAccount, SourcePhoto, SourcePost
from schemas.runs import MemberState, RunState
from storage.accounts import find_account
from storage.event_tables import inbox
from storage.members import count_members
from storage.runs import end_run, read_run
from storage.selection import every_account
from storage.tables import image_vectors, post_photos, posts
from tasks.context import Context
from tasks.ingest import take_accounts
from tasks.reception import take_event, wake_handler
from tasks.start import start_bulk
from workers.processes import free_port

POSTS = 12
NAME = "newcomer"
POLL_S = 0.02
LONGEST_S = 300.0
PERCENT = 95


class Wait(NamedTuple):
    """How long an event waited until it was taken up, and in all until its verdict."""

    taken_s: float
    whole_s: float


def main() -> None:
    """Measure and print the result."""
    options = parse_options()
    random = Random(7)  # noqa: S311 - the same accounts every time
    idle: list[list[Wait]] = []
    busy: list[list[Wait]] = []
    batches: list[float] = []
    port = free_port()
    with TemporaryDirectory(prefix="afin-bench-") as folder:
        note("Preparing photos ...")
        paths, kind = write_photos(Path(folder) / "photos", options.photos + POSTS, random)
        settings = {
            "AFIN_BATCH_SIZE": str(options.batch),
            "AFIN_GPU_THREADS": str(options.threads),
            "AFIN_EVENT_SLOTS": str(options.slots),
            "AFIN_METRICS_PORT": str(port),
        }
        with run_house(Path(folder) / "data", settings) as house:
            resources = house.resources
            publish_untrained_bundle(resources, "efficientnet_lite0")
            bulk = take_bulk(resources, paths[POSTS:], random)
            take_newcomer(resources, paths[:POSTS], random)
            note(f"{kind}; {len(bulk)} accounts in the bulk run, one of {POSTS} posts beside it.")
            measure(resources, 3)
            for turn in range(options.pairs):
                idle.append(measure(resources, options.events))
                before = read_forwards(port)
                busy.append(measure(resources, options.events, bulk=bulk))
                after = read_forwards(port)
                batches.append(1000 * (after[0] - before[0]) / (after[1] - before[1]))
                note(f"pair {turn + 1}: idle {describe(idle[-1])}, busy {describe(busy[-1])}")
    figures = {
        "photos": kind,
        "batch": options.batch,
        "events_a_turn": options.events,
        "event_slots": options.slots,
        "bulk_batch_ms": [round(one, 1) for one in batches],
        "idle_p95_s": [round(p95(turn), 3) for turn in idle],
        "busy_p95_s": [round(p95(turn), 3) for turn in busy],
        "idle_median_s": medians(idle),
        "busy_median_s": medians(busy),
    }
    ratios = {
        "p95_busy_vs_idle": compare([p95(one) for one in busy], [p95(one) for one in idle]),
        "p50_busy_vs_idle": compare(
            [float(np.median([one.whole_s for one in turn])) for turn in busy],
            [float(np.median([one.whole_s for one in turn])) for turn in idle],
        ),
    }
    print_result("events", ratios, figures)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=900, help="of the bulk run (900)")
    parser.add_argument("--events", type=int, default=20, help="one after the other a turn (20)")
    parser.add_argument("--pairs", type=int, default=3, help="turns idle and busy (3)")
    parser.add_argument("--batch", type=int, default=8, help="photos in a forward (8)")
    parser.add_argument("--threads", type=int, default=32, help="AFIN_GPU_THREADS (32)")
    parser.add_argument("--slots", type=int, default=1, help="AFIN_EVENT_SLOTS (1)")
    options = parser.parse_args()
    if min(options.photos, options.events, options.pairs) < 1:
        parser.error("--photos, --events and --pairs must be at least 1")
    return options


def take_bulk(resources: Context, paths: Sequence[Path], random: Random) -> list[int]:
    """Import the accounts of the bulk run; return their ids."""
    take_accounts(resources, make_accounts(paths, random), origin="benchmark")
    with resources.database.read() as connection:
        return list(every_account(connection))


def take_newcomer(resources: Context, paths: Sequence[Path], random: Random) -> None:
    """Import the account that the events are about, with a photo a post."""
    listed = tuple(
        SourcePost(
            external_id=path.stem,
            caption=compose_caption("comida", random),
            photos=(SourcePhoto(path=path),),
        )
        for path in paths
    )
    take_accounts(resources, [SourceAccount(username=NAME, posts=listed)], origin="benchmark")


def measure(resources: Context, events: int, *, bulk: Sequence[int] = ()) -> list[Wait]:
    """Return how long each event took, from its arrival to its verdict."""
    run_id = None
    found = []
    for _ in range(events):
        if bulk:
            run_id = keep_busy(resources, bulk, run_id)
        found.append(classify_newcomer(resources))
    if run_id is not None:
        with resources.database.write() as connection:
            end_run(connection, run_id, RunState.CANCELLED)
        time.sleep(5.0)
    return found


def keep_busy(resources: Context, bulk: Sequence[int], run_id: int | None) -> int:
    """Return a bulk run with work in flight and accounts waiting: this one, or a new one."""
    if run_id is None or not is_saturating(resources, run_id):
        if run_id is not None:
            with resources.database.write() as connection:
                end_run(connection, run_id, RunState.CANCELLED)
        forget_results(resources)
        run_id, _adopted = start_bulk(resources, bulk, bundle_id=None, asked="benchmark")
    end = time.monotonic() + LONGEST_S
    while not is_saturating(resources, run_id):
        if time.monotonic() > end:
            raise AfinError(f"Run {run_id} never had as much work as workers can do.")
        time.sleep(POLL_S)
    return run_id


def is_saturating(resources: Context, run_id: int) -> bool:
    """Whether a run has concluded its first account, and has a third of them left."""
    with resources.database.read() as connection:
        counts = count_members(connection, run_id)
        over = read_run(connection, run_id).state.final
    left = counts[MemberState.PENDING] + counts[MemberState.IN_FLIGHT]
    begun = counts[MemberState.DONE] > 0
    return begun and not over and left > sum(counts.values()) / 3


def classify_newcomer(resources: Context) -> Wait:
    """Tell of the account with none of its vectors known; return the time to its verdict."""
    with resources.database.write() as connection:
        account = find_account(connection, NAME)
        own = (
            select(post_photos.c.photo_sha256)
            .join(posts, posts.c.id == post_photos.c.post_id)
            .where(posts.c.influencer_id == account.id)
        )
        connection.execute(delete(image_vectors).where(image_vectors.c.photo_sha256.in_(own)))
    name = f"evt_{uuid.uuid4().hex}"
    document = {"type": "influencer.updated", "data": {"username": NAME}}
    take_event(resources, sender="default", webhook_id=name, document=document)
    wake_handler()
    query = select(inbox).where(inbox.c.webhook_id == name)
    end = time.monotonic() + LONGEST_S
    while True:
        with resources.database.read() as connection:
            row = connection.execute(query).one()
        if row.handled_at is not None:
            break
        if time.monotonic() > end:
            raise AfinError(f"The event is {row.state} after {LONGEST_S:.0f} s: {row.problem}")
        time.sleep(POLL_S)
    if row.problem:
        raise AfinError(f"The event failed: {row.problem}")
    with resources.database.read() as connection:
        run = read_run(connection, row.run_id)
    taken: timedelta = run.created_at - row.received_at
    whole: timedelta = row.handled_at - row.received_at
    return Wait(taken.total_seconds(), whole.total_seconds())


def read_forwards(port: int) -> tuple[float, float]:
    """Return the seconds that the gpu worker's forwards took so far, and how many there were."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if line.startswith("afin_forward_seconds_"))
    return float(found["afin_forward_seconds_sum"]), float(found["afin_forward_seconds_count"])


def p95(waits: Sequence[Wait]) -> float:
    """Return what 95 of 100 events did not take longer than."""
    return float(np.percentile([one.whole_s for one in waits], PERCENT))


def medians(turns: Sequence[Sequence[Wait]]) -> dict[str, float]:
    """Say where the time goes, over all turns."""
    every = np.array([one for turn in turns for one in turn])
    taken, whole = np.median(every, axis=0)
    return {"until_its_run_was_made": round(float(taken), 3), "whole": round(float(whole), 3)}


def describe(waits: Sequence[Wait]) -> str:
    """Name median and p95 of a turn."""
    whole = np.median([one.whole_s for one in waits])
    return f"median {whole:.2f} s, p95 {p95(waits):.2f} s"


if __name__ == "__main__":
    main()
