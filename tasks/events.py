"""Events to runs: what the platform told is taken in, fetched if need be, and classified."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from kombu.exceptions import OperationalError
from pydantic import ValidationError

from pipelines.sources.http import ThrottledError
from schemas.errors import AfinError, BlobError, DatabaseError, NotFoundError, SourceBlockedError
from schemas.events import (
    EVENTS,
    AnswerType,
    Event,
    EventPost,
    EventType,
    InfluencerDeleted,
    PostCreated,
)
from schemas.runs import MemberState, PostScope, RunKind
from schemas.settings import Settings
from storage.accounts import (
    NewPost,
    PhotoPlace,
    account_versions,
    find_account,
    save_account,
)
from storage.bundles import find_bundle
from storage.inbox import (
    InboxRow,
    bury_event,
    claim_events,
    finish_events,
    has_waiting_events,
    mark_classifying,
    mark_fetched,
    mark_fetching,
    overdue_fetches,
    prune_events,
    put_back,
    read_event,
    stranded_events,
)
from storage.members import add_members
from storage.outbox import add_answer, count_due_answers, prune_answers
from storage.runs import create_run
from tasks.app import app, task
from tasks.context import Context, context
from tasks.erasing import erase_doomed, erase_rows
from tasks.ingest import hash_caption
from tasks.refreshing import fetch_account, has_access

log = logging.getLogger(__name__)

LEASE_S = 60.0
"""An event whose handler was lost is taken up again after this long."""

FETCH_TIMEOUT_S = 300.0
LONGEST_WAIT_S = 300.0
DAY_S = 86_400.0
DAYS_PER_MONTH = 30.44


@task("events.handle")
def handle() -> str:
    """Take in every event that waits, and start one urgent run over the accounts they are about."""
    resources = context()
    limit = resources.settings.run_window
    with resources.database.write() as connection:
        rows = claim_events(connection, limit=limit, lease_s=LEASE_S)
    ready: dict[int, int] = {}
    for row in rows:
        if row.attempts > resources.settings.max_attempts:
            # Counted when claimed: an event that ends the worker each time ends here.
            give_back(resources, row, "Each try to handle it broke off.", hopeless=True)
            continue
        try:
            influencer_id = _take_in(resources, row)
        except Exception as error:
            # One bad event must not keep the others waiting.
            log.warning("event %s: %s", row.id, error, exc_info=not isinstance(error, AfinError))
            give_back(resources, row, _describe(error), hopeless=_is_hopeless(error))
            continue
        if row.type is EventType.DELETED:
            known = {other.id for other in rows if other.username == row.username}
            ready = {key: value for key, value in ready.items() if key not in known}
        elif influencer_id is not None:
            ready[row.id] = influencer_id
    if ready:
        _classify(resources, [row for row in rows if row.id in ready], ready)
    if len(rows) == limit:
        app.send_task("events.handle")
    return f"events={len(rows)} accounts={len(set(ready.values()))}"


@task("events.fetch")
def fetch(event_id: int) -> str:
    """Ask Instagram for the account that an event only named."""
    resources = context()
    with resources.database.read() as connection:
        row = read_event(connection, event_id)
    if row is None or row.state != "fetching":
        return "stale"
    try:
        account, posts = fetch_account(resources, row.username)
    except ThrottledError as error:
        with resources.database.write() as connection:
            # Waiting for a budget is no failure.
            wait_s = error.retry_after_s or LONGEST_WAIT_S
            put_back(connection, row.id, problem=str(error), wait_s=wait_s, counted=False)
        return "throttled"
    except AfinError as error:
        hopeless = isinstance(error, NotFoundError | SourceBlockedError)
        give_back(resources, row, str(error), hopeless=hopeless)
        return f"failed: {error}"
    with resources.database.write() as connection:
        held = read_event(connection, event_id, lock=True)
        # Erased by a later event while we asked.
        if held is None or held.state != "fetching":
            return "stale"
        save_account(
            connection,
            username=row.username,
            followers=account.followers,
            imported_from="instagram",
            new_posts=posts,
        )
        mark_fetched(connection, event_id, find_account(connection, row.username).id)
    app.send_task("events.handle")
    return f"posts={len(posts)}"


def choose_scope(settings: Settings, now: datetime) -> PostScope:
    """Return which posts count for a run that begins now; by whole days, so that runs share."""
    since = None
    if settings.posts_months:
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        since = midnight - timedelta(days=round(settings.posts_months * DAYS_PER_MONTH))
    return PostScope(last=settings.posts_last or None, since=since)


def choose_scope_now(settings: Settings) -> PostScope:
    """Return which posts would count for a run that began now."""
    return choose_scope(settings, datetime.now(UTC))


def give_back(resources: Context, row: InboxRow, problem: str, *, hopeless: bool = False) -> None:
    """Let an event be tried again after a pause; bury one that was tried too often.

    A ``hopeless`` one would fail again the same way, and is buried at once.
    """
    with resources.database.write() as connection:
        if hopeless or row.attempts >= resources.settings.max_attempts:
            bury_event(connection, row.id, problem=problem)
            if row.reply:
                add_answer(
                    connection,
                    AnswerType.FAILED,
                    key=f"failed:{row.id}:{row.attempts}",
                    sender=row.sender,
                    username=row.username,
                    data={"problem": problem, "events": [row.webhook_id]},
                )
        else:
            wait_s = min(5.0 * 3.0 ** max(row.attempts - 1, 0), LONGEST_WAIT_S)
            put_back(connection, row.id, problem=problem, wait_s=wait_s)


def _take_in(resources: Context, row: InboxRow) -> int | None:
    """Do what an event says; return the account to classify, if that is what comes next."""
    event = EVENTS.validate_python(row.payload)
    if isinstance(event, InfluencerDeleted):
        _erase(resources, row)
        return None
    if row.influencer_id is not None:
        return row.influencer_id
    posts = _posts_of(event)
    if posts is None:
        return _find_or_fetch(resources, row)
    followers = None if isinstance(event, PostCreated) else event.data.followers
    limit = resources.settings.max_caption_chars
    with resources.database.write() as connection:
        save_account(
            connection,
            username=row.username,
            followers=followers,
            imported_from=f"event:{row.sender}",
            new_posts=[make_post(post, limit) for post in posts],
        )
        return find_account(connection, row.username).id


def make_post(post: EventPost, max_caption_chars: int) -> NewPost:
    """Turn a post of an event into one that can be stored; its photos are fetched later."""
    caption = post.caption[:max_caption_chars]
    return NewPost(
        external_id=post.id,
        caption=caption,
        caption_sha256=hash_caption(caption),
        posted_at=post.posted_at,
        likes=post.likes,
        comments=post.comments,
        photos=tuple(PhotoPlace(url=url) for url in post.photos),
    )


def _posts_of(event: Event) -> Sequence[EventPost] | None:
    if isinstance(event, InfluencerDeleted):
        return ()
    return (event.data.post,) if isinstance(event, PostCreated) else event.data.posts


def _find_or_fetch(resources: Context, row: InboxRow) -> int | None:
    """Have the account asked for; where nobody may ask, do with the posts that are known."""
    if has_access(resources.settings):
        with resources.database.write() as connection:
            mark_fetching(connection, row.id, timeout_s=FETCH_TIMEOUT_S)
        app.send_task("events.fetch", (row.id,))
        return None
    with resources.database.read() as connection:
        try:
            known = find_account(connection, row.username)
        except NotFoundError:
            known = None
    if known is None or known.posts == 0:
        raise NotFoundError(
            f"No posts of {row.username} are known, and nobody may ask Instagram for them: send "
            "them with the event, or set AFIN_INSTAGRAM_TOKEN and AFIN_INSTAGRAM_USER_ID."
        )
    return known.id


def _erase(resources: Context, row: InboxRow) -> None:
    with resources.database.write() as connection:
        known = erase_rows(connection, row.username, before=row.id)
        if row.reply:
            add_answer(
                connection,
                AnswerType.ERASED,
                key=f"erased:{row.id}",
                sender=row.sender,
                username=row.username,
                data={"known": known, "events": [row.webhook_id]},
            )
        finish_events(connection, [row.id])
    erase_doomed(resources)
    _send("deliver.due")


def _classify(resources: Context, rows: Sequence[InboxRow], ready: dict[int, int]) -> None:
    """Start one urgent run over accounts, and have it fed."""
    scope = choose_scope_now(resources.settings)
    try:
        with resources.database.write() as connection:
            bundle = find_bundle(connection)
            alive = account_versions(connection, list(ready.values()), lock=True)
            members = {key: value for key, value in ready.items() if value in alive}
            params = {
                "urgent": True,
                "events": len(members),
                "accounts": len(set(members.values())),
                "scope": scope.model_dump(mode="json"),
            }
            run_id = create_run(connection, RunKind.CLASSIFY, params=params, bundle_id=bundle.id)
            add_members(connection, run_id, set(members.values()))
            mark_classifying(connection, run_id, members)
            gone = [row.id for row in rows if row.id not in members]
            finish_events(connection, gone, problem="The account was erased meanwhile.")
    except AfinError as error:
        for row in rows:
            give_back(resources, row, str(error))
        return
    _send("runs.feed", run_id)


def sweep_events(resources: Context) -> None:
    """Find events and answers that got lost on their way; what fails is tried at the next sweep."""
    steps: tuple[Callable[[Context], None], ...] = (
        _give_back_lost_fetches,
        _settle_stranded,
        _handle_waiting,
        _deliver_due,
        _forget_old,
    )
    for step in steps:
        try:
            step(resources)
        except Exception:
            log.exception("events: %s failed", step.__name__)


def _give_back_lost_fetches(resources: Context) -> None:
    with resources.database.read() as connection:
        rows = overdue_fetches(connection)
    for row in rows:
        give_back(resources, row, "No worker asked Instagram for the account in time.")


def _settle_stranded(resources: Context) -> None:
    """End or repeat events whose run gave their account up, lost it, or was cancelled."""
    with resources.database.read() as connection:
        stranded = stranded_events(connection)
    for row, member, why in stranded:
        if member is None:
            with resources.database.write() as connection:
                finish_events(connection, [row.id], problem="The account was erased meanwhile.")
        elif member is MemberState.DEAD:
            give_back(resources, row, why, hopeless=True)
        else:
            give_back(resources, row, why)


def _handle_waiting(resources: Context) -> None:
    with resources.database.read() as connection:
        waiting = has_waiting_events(connection)
    if waiting:
        handle()


def _deliver_due(resources: Context) -> None:
    with resources.database.read() as connection:
        due = count_due_answers(connection)
    if due:
        # One that nobody has time for is not owed: the next sweep sends another.
        app.send_task("deliver.due", expires=max(resources.settings.sweep_s, 1.0))


def _forget_old(resources: Context) -> None:
    keep_s = resources.settings.events_keep_days * DAY_S
    with resources.database.write() as connection:
        prune_events(connection, keep_s=keep_s)
        prune_answers(connection, keep_s=keep_s)
    erase_doomed(resources)


def _send(name: str, *arguments: int) -> None:
    queue = {"queue": "control.event"} if name == "runs.feed" else {}
    try:
        app.send_task(name, arguments, **queue)
    except OperationalError as error:
        log.warning("%s was not sent, the sweeper will: %s", name, error)


def _describe(error: Exception) -> str:
    return str(error) if isinstance(error, AfinError) else f"Unexpected {type(error).__name__}."


def _is_hopeless(error: Exception) -> bool:
    """Whether another try would meet the same error again."""
    if isinstance(error, ValidationError):
        return True
    return isinstance(error, AfinError) and not isinstance(error, BlobError | DatabaseError)
