"""Bulk runs: the feeder that keeps a window of accounts in flight, and the sweeper."""

import logging
from collections import Counter
from collections.abc import Sequence

from celery import chord, group
from sqlalchemy import Connection

from schemas.errors import AfinError
from schemas.runs import MemberState, Run, RunKind, RunState
from schemas.settings import Settings
from storage.accounts import PostRow, account_posts
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
from tasks.texts import read_known_captions
from tasks.train import advance
from tasks.verdicts import needs_work

log = logging.getLogger(__name__)


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
            for influencer_id in claimed:
                note_problem(connection, run_id, influencer_id, str(error))
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
    """Send accounts out: in groups where every vector is cached, else a chord an account."""
    if run.bundle_id is None:
        return
    manifest = resources.bundle(run.bundle_id).manifest
    with resources.database.read() as connection:
        accounts = account_posts(connection, influencer_ids, run.scope)
        every = [post for posts in accounts.values() for post in posts]
        shown = {place.sha256 for post in every for place in post.photos if place.sha256}
        images = known_image_vectors(connection, manifest.backbone.hash, shown)
        said = {post.caption_sha256 for post in every if post.caption_sha256}
        texts = read_known_captions(connection, manifest, said)
    cached = [key for key, posts in accounts.items() if not needs_work(posts, images, texts)]
    suffix = EVENT_SUFFIX if run.urgent else ""
    size = resources.settings.group_accounts
    for start in range(0, len(cached), size):
        part = cached[start : start + size]
        app.send_task(
            "verdicts.conclude_group",
            (run.id, run.generation, min(part), max(part)),
            queue=f"cpu{suffix}",
        )
    for influencer_id in sorted(accounts.keys() - set(cached)):
        _send_chord(
            resources.settings,
            run,
            influencer_id,
            accounts[influencer_id],
            images,
            suffix,
            with_texts=texts is not None,
        )


def _send_chord(
    settings: Settings,
    run: Run,
    influencer_id: int,
    posts: Sequence[PostRow],
    images: set[str],
    suffix: str,
    *,
    with_texts: bool,
) -> None:
    """Send the shards of an account that need fetching, or else embedding, and what follows."""
    head = (run.id, run.generation, influencer_id)
    fetching = _shards(settings, [post for post in posts if _unfetched(post)])
    if fetching:
        header = [
            app.signature("scrape.photos", (*head, *shard), queue=f"scrape{suffix}", immutable=True)
            for shard in fetching
        ]
        body = app.signature("runs.resend", head, queue=control_queue(run), immutable=True)
    else:
        header = [
            app.signature(
                "images.embed",
                (*head, *shard),
                queue=f"gpu{suffix}",
                immutable=True,
                # What Flower shows in place of five bare numbers.
                argsrepr=f"run {run.id}, account {influencer_id}, posts {shard[0]}-{shard[1]}",
            )
            for shard in _shards(settings, [post for post in posts if _unembedded(post, images)])
        ]
        if with_texts:
            header.append(app.signature("texts.embed", head, queue=f"cpu{suffix}", immutable=True))
        body = app.signature("verdicts.conclude", head, queue=f"cpu{suffix}", immutable=True)
    chord(group(header, app=app), app=app)(body)


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
