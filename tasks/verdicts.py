"""Vectors to verdicts: the body of an account's chord, and whole groups of cached accounts."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from kombu.exceptions import OperationalError
from sqlalchemy import Connection

from pipelines.bundle import Bundle
from schemas.runs import MemberState, Run
from schemas.verdicts import PostOutcome, Verdict
from storage.accounts import account_versions
from storage.evidence import Evidence, read_evidence
from storage.members import count_in_flight, finish_members, has_pending, members_in_flight
from storage.outbox import answer_events
from storage.runs import is_current, read_run
from storage.sharing import runs_alike, unfinished_members
from storage.vectors import save_text_vectors
from storage.verdicts import save_outcomes, save_verdicts
from tasks.app import app, control_queue, task
from tasks.chords import never_failing, noting_problems
from tasks.context import Context, context
from tasks.evidence import arrange
from tasks.texts import embed_unread

log = logging.getLogger(__name__)

Judgement = tuple[dict[str, list[PostOutcome]], tuple[Verdict, ...]]
"""What each method says of an account's posts, and each method's verdict."""


@task("verdicts.conclude", ignore_result=True)
@never_failing
def conclude(run_id: int, generation: int, influencer_id: int) -> str:
    """Conclude one account from its stored vectors; ignores what the header tasks returned.

    If photos lack their vector, the member is left to the sweeper.
    """
    return _conclude(context(), run_id, generation, [influencer_id])


@task("verdicts.conclude_group", ignore_result=True)
@never_failing
def conclude_group(run_id: int, generation: int, first_account: int, last_account: int) -> str:
    """Conclude every account in flight between two ids that lacks nothing."""
    resources = context()
    with resources.database.read() as connection:
        members = members_in_flight(connection, run_id, first=first_account, last=last_account)
    return _conclude(resources, run_id, generation, members)


def _conclude(
    resources: Context, run_id: int, generation: int, influencer_ids: Sequence[int]
) -> str:
    if not influencer_ids:
        return "concluded=0"
    with noting_problems(resources, run_id, *influencer_ids):
        with resources.database.read() as connection:
            run = read_run(connection, run_id)
            if not is_current(run, generation) or run.bundle_id is None:
                return "stale"
            # Before the posts: whoever changes them meanwhile also changes this.
            versions = account_versions(connection, influencer_ids)
            bundle = resources.bundle(run.bundle_id)
            manifest = bundle.manifest
            evidence = read_evidence(
                connection, influencer_ids, manifest.backbone, manifest.text_models, run.scope
            )
        fresh = embed_unread(bundle, evidence)
        results = judge_accounts(bundle, evidence)
        with resources.database.write() as connection:
            for model, vectors in fresh.items():
                save_text_vectors(connection, model, vectors)
            if not is_current(read_run(connection, run_id, lock=True), generation):
                return "stale"
            stored = store_conclusions(connection, run, manifest.methods, results, versions)
            window = resources.settings.run_window
            hungry = [key for key in stored.runs if _is_hungry(connection, key, window)]
    _wake_others(run, stored, hungry)
    missing = len(influencer_ids) - len(stored.accounts)
    return f"concluded={len(stored.accounts)}" + (f" incomplete={missing}" if missing else "")


@dataclass(frozen=True)
class Stored:
    """What was stored: accounts concluded, the runs that got their verdicts, events answered.

    ``outdated`` are members of other runs that wait for these accounts, whose posts have changed
    meanwhile.
    """

    accounts: frozenset[int]
    runs: dict[int, Run]
    answered: int
    outdated: tuple[tuple[Run, int], ...]


def store_conclusions(
    connection: Connection,
    run: Run,
    methods: Sequence[str],
    results: Mapping[int, Judgement],
    versions: Mapping[int, datetime],
) -> Stored:
    """Store verdicts for a run and for all others that wait for the same, and answer events.

    Others get them only if no post has changed since the evidence was read.
    """
    others = {other.id: other for other in runs_alike(connection, run, lock=True)}
    alive = account_versions(connection, list(results), lock=True)
    results = {key: result for key, result in results.items() if key in alive}
    bundle_id = run.bundle_id or ""
    for method in methods:
        judged = [one for outcomes, _verdicts in results.values() for one in outcomes[method]]
        save_outcomes(connection, bundle_id, method, judged)
    waiting = unfinished_members(connection, others, results) if others else {}
    unchanged = {key for key in results if versions.get(key) == alive[key]}
    shares = {key: sorted(members.keys() & unchanged) for key, members in waiting.items()}
    shares[run.id] = sorted(results)
    answered = 0
    # In one order whichever run this is, so that two of them never wait for each other.
    for run_id in sorted(key for key, accounts in shares.items() if accounts):
        concluded = {key: results[key][1] for key in shares[run_id]}
        save_verdicts(
            connection, bundle_id=bundle_id, run_id=run_id, concluded=concluded, posts_at=versions
        )
        finish_members(connection, run_id, shares[run_id])
        answered += answer_events(
            connection, run_id=run_id, bundle_id=bundle_id, concluded=concluded
        )
    return Stored(
        accounts=frozenset(results),
        runs={key: one for key, one in {**others, run.id: run}.items() if shares.get(key)}
        | {run.id: run},
        answered=answered,
        outdated=tuple(
            (others[run_id], key)
            for run_id, members in waiting.items()
            for key, state in members.items()
            if key not in unchanged and state is MemberState.IN_FLIGHT
        ),
    )


def judge_accounts(bundle: Bundle, evidence: Evidence) -> dict[int, Judgement]:
    """Judge the accounts whose vectors are all at hand: every post in one go, then each account.

    Returns the outcomes by method, and a verdict a method in the bundle's order.
    """
    judged = bundle.judge_all(arrange(bundle, evidence))
    results = {}
    for influencer_id, rows in evidence.accounts.items():
        if influencer_id not in evidence.incomplete:
            own = {method: all_[rows.start : rows.stop] for method, all_ in judged.items()}
            verdicts = tuple(bundle.conclude(one, method) for method, one in own.items())
            results[influencer_id] = (own, verdicts)
    return results


def _is_hungry(connection: Connection, run_id: int, window: int) -> bool:
    """Whether a run's window is half empty, or nothing of the run flies any more."""
    flying = count_in_flight(connection, run_id)
    return flying == 0 or (flying <= window // 2 and has_pending(connection, run_id))


def _wake_others(run: Run, stored: Stored, hungry: Sequence[int]) -> None:
    """Send what goes on now on its way; the sweeper does if this gets lost."""
    try:
        for run_id in hungry:
            queue = control_queue(stored.runs[run_id])
            app.send_task("runs.feed", (run_id,), queue=queue)
        for other, influencer_id in stored.outdated:
            app.send_task(
                "runs.resend",
                (other.id, other.generation, influencer_id),
                queue=control_queue(other),
            )
        if stored.answered:
            app.send_task("deliver.due")
            app.send_task("events.handle")
    except OperationalError as error:
        log.warning("run %s: nobody was woken, the sweeper will: %s", run.id, error)
