"""Answers to the platform: signed, posted, tried again for a day, then left to a person."""

import asyncio
import json
import logging
import random
import time
from collections.abc import Mapping, Sequence

from pipelines.sources.http import FetchPolicy
from pipelines.sources.http.send import Posted, Sender
from pipelines.webhooks import Secrets, choose_callback, sign_headers
from schemas.errors import FetchError
from schemas.events import DeliveryState
from storage.outbox import DueAnswer, claim_answers, count_due_answers, settle_answer
from tasks.app import app, task
from tasks.context import Context, context
from tasks.fetching import fetching
from tasks.reception import read_callbacks, read_secrets

log = logging.getLogger(__name__)

BATCH = 50
AT_ONCE = 16

DELAYS_S = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 28_800)
"""Pauses after each failed try, a day in all; after the eleventh try an answer is dead."""

GONE = 410
SUCCESS = range(200, 300)

Outcome = Posted | FetchError


@task("deliver.due")
def due() -> str:
    """Post the answers that are due to where each sender wants them."""
    resources = context()
    lease_s = resources.settings.callback_timeout_s * (BATCH / AT_ONCE) + 30.0
    # Before anything is claimed: a malformed setting must not cost a try.
    unset = resources.settings.event_secrets is None
    secrets = {} if unset else read_secrets(resources.settings)
    callbacks = read_callbacks(resources.settings)
    with resources.database.write() as connection:
        claimed = claim_answers(connection, limit=BATCH, lease_s=lease_s)
        # Counted when claimed: an answer that ends the worker each time ends here.
        worn = [answer for answer in claimed if answer.attempts > len(DELAYS_S) + 1]
        for answer in worn:
            settle_answer(connection, answer.id, DeliveryState.DEAD, problem="Each try broke off.")
    answers = [answer for answer in claimed if answer not in worn]
    if not answers:
        return "due=0"
    loop, _fetcher = fetching()
    outcomes = loop.run(_post_all(resources, answers, secrets, callbacks), timeout_s=lease_s)
    delivered = 0
    for answer, outcome in zip(answers, outcomes, strict=True):
        state, problem, wait_s = judge_delivery(answer, outcome)
        delivered += state is DeliveryState.DELIVERED
        if problem:
            log.warning("answer %s, try %s: %s", answer.webhook_id, answer.attempts, problem)
        with resources.database.write() as connection:
            settle_answer(connection, answer.id, state, problem=problem, wait_s=wait_s)
    with resources.database.read() as connection:
        more = count_due_answers(connection)
    if more:
        app.send_task("deliver.due")
    return f"due={len(answers)} delivered={delivered}"


def judge_delivery(answer: DueAnswer, outcome: Outcome) -> tuple[DeliveryState, str | None, float]:
    """Say how a try ended: the new state, what was wrong, and how long to wait (seconds)."""
    retry_after_s = None
    if isinstance(outcome, Posted):
        if outcome.status in SUCCESS:
            return DeliveryState.DELIVERED, None, 0.0
        problem = f"The receiver answered {outcome.status}."
        retry_after_s = outcome.retry_after_s
        if outcome.status == GONE:
            return DeliveryState.DEAD, f"{problem} It wants no more.", 0.0
    else:
        problem = str(outcome)
    if answer.attempts > len(DELAYS_S):
        return DeliveryState.DEAD, problem, 0.0
    # Spread, lest all that failed together come back together.
    delay_s = DELAYS_S[answer.attempts - 1] * random.uniform(0.9, 1.1)  # noqa: S311 - no secret
    return DeliveryState.PENDING, problem, max(delay_s, retry_after_s or 0.0)


async def _post_all(
    resources: Context,
    answers: Sequence[DueAnswer],
    secrets: Secrets,
    callbacks: Mapping[str, str],
) -> list[Outcome]:
    settings = resources.settings
    policy = FetchPolicy(
        total_timeout_s=settings.callback_timeout_s,
        concurrency=AT_ONCE,
        per_host=AT_ONCE,
        allow_loopback=settings.fetch_allow_loopback,
    )
    room = asyncio.Semaphore(AT_ONCE)
    async with Sender(policy, allow_private=settings.callback_allow_private) as sender:

        async def post(answer: DueAnswer) -> Outcome:
            url = choose_callback(callbacks, answer.sender)
            keys = secrets.get(answer.sender)
            if url is None or not keys:
                what = "AFIN_CALLBACK_URL" if url is None else "AFIN_EVENT_SECRETS"
                return FetchError("no-callback", f"{what} no longer names {answer.sender}.")
            body = json.dumps(answer.payload, ensure_ascii=False, separators=(",", ":")).encode()
            headers = sign_headers(keys, answer.webhook_id, int(time.time()), body)
            async with room:
                try:
                    return await sender.post(url, body, headers)
                except FetchError as error:
                    return error

        return list(await asyncio.gather(*(post(answer) for answer in answers)))
