"""Bulk runs: the feeder that keeps a window of accounts in flight, and the sweeper."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence

from celery import Signature, chord, group
from sqlalchemy import Connection

from schemas.errors import AfinError
from schemas.runs import MemberState, Run, RunKind, RunState
from schemas.settings import Settings
from storage.accounts import PostRow, account_posts
from storage.evidence import count_missing
from storage.members import (
    claim_members,
    count_in_flight,
    count_members,
    dead_members,
    note_problem,
    read_member,
    recall_overdue,
)
from storage.runs import end_run, is_current, list_runs, read_run
from storage.sharing import members_elsewhere, runs_alike
from storage.vectors import known_image_vectors
from tasks.app import EVENT_SUFFIX, app, control_queue, task
from tasks.chords import waiting_for_database
from tasks.context import Context, context
from tasks.crawl import feed_crawl, sweep_crawl
from tasks.events import sweep_events
from tasks.tracing import tracing_account
from tasks.train import advance

log = logging.getLogger(__name__)

FEWEST_CHORDS = 8
"""Small accounts that are sent out together make at least so many chords, or have none."""


# Nobody reads what these return but Flower, which hears of it by events.
@task("runs.feed", ignore_result=True)
@waiting_for_database
def feed(run_id: int) -> str:
    """Send out as many accounts of a run as its window has room for; end the run when all are done.

    Sending is not undone if it is interrupted: the sweeper sends those accounts again.
    """
    resources = context()
    with resources.database.read() as connection:
        run = read_run(connection, run_id)
    if run.state is RunState.RUNNING and run.kind is RunKind.CRAWL:
        return feed_crawl(resources, run)
    with resources.database.write() as connection:
        run = read_run(connection, run_id)
        if run.state is not RunState.RUNNING or run.kind is not RunKind.CLASSIFY:
            return f"run is {run.state}"
        claimed = claim_members(connection, run_id, window=resources.settings.run_window)
        if not claimed:
            return _end_if_done(connection, run)
        shared = _shared(connection, run, claimed)
    try:
        send_members(resources, run, [key for key in claimed if key not in shared])
    except AfinError as error:
        # A lost or altered bundle, say: the run ends with this once it was tried often enough.
        with resources.database.write() as connection:
            note_problem(connection, run_id, claimed, str(error))
        raise
    return f"sent={len(claimed) - len(shared)}" + (f" shared={len(shared)}" if shared else "")


def _shared(connection: Connection, run: Run, claimed: Sequence[int]) -> set[int]:
    """Return those accounts that another run will conclude for us.

    An urgent run waits for no other than an urgent one.
    """
    others = [other.id for other in runs_alike(connection, run) if other.urgent or not run.urgent]
    return members_elsewhere(connection, run, claimed, others)


@task("runs.resend", ignore_result=True)
@waiting_for_database
def resend(run_id: int, generation: int, influencer_id: int) -> str:
    """Send an account on its way once its photos were fetched: the body of a fetching chord.

    One whose fetching failed is left to the sweeper, which counts: to send it at once would go
    round and round.
    """
    resources = context()
    with resources.database.read() as connection:
        run = read_run(connection, run_id)
        member = read_member(connection, run_id, influencer_id)
        posts = account_posts(connection, [influencer_id], run.scope)[influencer_id]
    if not is_current(run, generation):
        return "stale"
    if member is None or member[0] is not MemberState.IN_FLIGHT:
        return "not in flight"
    if member[1] and any(_unfetched(post) for post in posts):
        return "failed: left to the sweeper"
    send_members(resources, run, [influencer_id])
    return "sent=1"


# Without events: it would fill Flower with nothing but itself.
@task("runs.sweep", send_events=False, ignore_result=True)
@waiting_for_database
def sweep() -> str:
    """Find what got lost on its way and send it again; give up what was tried too often.

    What goes wrong with one run must not keep the others from being looked at.
    """
    resources = context()
    with resources.database.read() as connection:
        running = list_runs(connection, state=RunState.RUNNING)
    recalled = 0
    for run in running:
        try:
            recalled += _sweep_run(resources, run)
        except Exception:
            log.exception("run %s could not be swept", run.id)
    sweep_events(resources)
    return f"runs={len(running)} recalled={recalled}"


def _sweep_run(resources: Context, run: Run) -> int:
    if run.kind is RunKind.TRAIN:
        advance(run.id)
        return 0
    if run.kind is RunKind.CRAWL:
        sweep_crawl(resources, run)
        feed(run.id)
        return 0
    settings = resources.settings
    with resources.database.write() as connection:
        again, dead = recall_overdue(
            connection,
            run.id,
            timeout_s=settings.member_timeout_s,
            max_attempts=settings.max_attempts,
        )
    if again or dead:
        log.warning("run %s: %s accounts sent again, %s given up", run.id, again, dead)
    feed(run.id)
    return again


def send_members(resources: Context, run: Run, influencer_ids: Sequence[int]) -> None:
    """Send accounts out, so that every message holds a shard of posts, of however many accounts.

    An account of several shards is a chord that gathers them. Smaller ones share: some accounts
    make a shard, some shards a chord, which concludes all their accounts together; of an urgent
    run each shard is concluded by itself. Accounts whose photos all have vectors are concluded in
    groups without a chord.
    """
    if run.bundle_id is None:
        return
    settings = resources.settings
    manifest = resources.bundle(run.bundle_id).manifest
    with resources.database.read() as connection:
        missing = count_missing(connection, influencer_ids, manifest.backbone.hash, run.scope)
        large = [
            key
            for key, lacks in missing.items()
            if lacks.unfetched or lacks.posts > settings.shard_posts
        ]
        accounts = account_posts(connection, large, run.scope) if large else {}
        every = [post for posts in accounts.values() for post in posts]
        shown = {place.sha256 for post in every for place in post.photos if place.sha256}
        images = known_image_vectors(connection, manifest.backbone.hash, shown)
    for key in sorted(large):
        posts = accounts[key]
        with tracing_account(run.id, key, urgent=run.urgent):
            if missing[key].unfetched:
                _send_fetching(settings, run, key, posts)
            else:
                left = [post for post in posts if _unembedded(post, images)]
                _send_chord(settings, run, key, left, with_texts=bool(manifest.text_models))
    embedded = sorted(set(influencer_ids).difference(missing))
    small = [(key, missing[key].posts) for key in sorted(missing) if key not in accounts]
    size = settings.group_accounts
    for start in range(0, len(embedded), size):
        part = embedded[start : start + size]
        _conclude(run, part).apply_async(add_to_parent=False)
    shards = list(fill_shards(small, settings.shard_posts))
    # A new account waits for no other; in bulk a conclusion costs less if it is several accounts',
    # but a small run is cut as well, so that its first verdicts don't come with its last.
    together = 1 if run.urgent else max(1, min(settings.chord_shards, len(shards) // FEWEST_CHORDS))
    for start in range(0, len(shards), together):
        # Accounts that share their messages share a trace, under the first one's name.
        with tracing_account(run.id, shards[start][0], urgent=run.urgent):
            _send_shards(run, shards[start : start + together])


def fill_shards(accounts: Sequence[tuple[int, int]], posts: int) -> Iterator[list[int]]:
    """Put accounts, each with how many posts it has, together into shards of at most ``posts``."""
    part: list[int] = []
    room = posts
    for key, count in accounts:
        if count > room and part:
            yield part
            part, room = [], posts
        part.append(key)
        room -= count
    if part:
        yield part


def _send_shards(run: Run, shards: Sequence[Sequence[int]]) -> None:
    """Have the photos of each shard's accounts embedded, and then all these accounts concluded."""
    header = [
        app.signature(
            "images.embed_accounts",
            (run.id, run.generation, shard[0], shard[-1]),
            queue=f"gpu{_suffix(run)}",
            immutable=True,
        )
        for shard in shards
    ]
    body = _conclude(run, [key for shard in shards for key in shard])
    if len(header) > 1:
        chord(group(header, app=app), app=app)(body)
    else:
        # Nothing to gather: the first simply calls the second.
        header[0].apply_async(link=body, add_to_parent=False)


def _conclude(run: Run, accounts: Sequence[int]) -> Signature:
    """The message by which accounts in flight among these ids are concluded."""
    return app.signature(
        "verdicts.conclude_group",
        (run.id, run.generation, accounts[0], accounts[-1]),
        queue=f"cpu{_suffix(run)}",
        immutable=True,
    )


def _send_fetching(
    settings: Settings, run: Run, influencer_id: int, posts: Sequence[PostRow]
) -> None:
    """Have the photos of an account fetched, and the account sent out again after that."""
    head = (run.id, run.generation, influencer_id)
    header = [
        app.signature(
            "scrape.photos", (*head, *shard), queue=f"scrape{_suffix(run)}", immutable=True
        )
        for shard in _shards(settings, [post for post in posts if _unfetched(post)])
    ]
    body = app.signature("runs.resend", head, queue=control_queue(run), immutable=True)
    chord(group(header, app=app), app=app)(body)


def _send_chord(
    settings: Settings,
    run: Run,
    influencer_id: int,
    posts: Sequence[PostRow],
    *,
    with_texts: bool,
) -> None:
    """Have the shards of a large account embedded side by side, and what they gave concluded."""
    head = (run.id, run.generation, influencer_id)
    suffix = _suffix(run)
    header = [
        app.signature("images.embed", (*head, *shard), queue=f"gpu{suffix}", immutable=True)
        for shard in _shards(settings, posts)
    ]
    if with_texts:
        header.append(app.signature("texts.embed", head, queue=f"cpu{suffix}", immutable=True))
    body = app.signature("verdicts.conclude", head, queue=f"cpu{suffix}", immutable=True)
    chord(group(header, app=app), app=app)(body)


def _suffix(run: Run) -> str:
    return EVENT_SUFFIX if run.urgent else ""


def _unfetched(post: PostRow) -> bool:
    return any(place.url and not place.sha256 and not place.problem for place in post.photos)


def _unembedded(post: PostRow, images: set[str]) -> bool:
    return any(place.sha256 and place.sha256 not in images for place in post.photos)


def _shards(settings: Settings, posts: Sequence[PostRow]) -> list[tuple[int, int]]:
    """Cut posts into ranges of ids of at most ``shard_posts`` posts each."""
    size = settings.shard_posts
    parts = [posts[start : start + size] for start in range(0, len(posts), size)]
    return [(part[0].id, part[-1].id) for part in parts]


def _end_if_done(connection: Connection, run: Run) -> str:
    if flying := count_in_flight(connection, run.id):
        return f"in flight={flying}"
    counts = count_members(connection, run.id)
    if counts[MemberState.PENDING]:
        return "more"
    dead = dead_members(connection, run.id)
    if not dead or counts[MemberState.DONE]:
        end_run(connection, run.id, RunState.DONE)
        return "done"
    reason = Counter(problem for _username, problem in dead).most_common(1)[0][0]
    end_run(connection, run.id, RunState.FAILED, error=f"No account was concluded: {reason}")
    return "failed"
