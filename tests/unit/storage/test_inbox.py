"""Events and answers on both databases: kept once, handed out once, forgotten when asked."""

from schemas.events import AnswerType, DeliveryState, EventState, EventType
from schemas.runs import RunKind
from schemas.verdicts import Verdict
from storage.accounts import account_versions
from storage.database import Database
from storage.inbox import NewEvent, add_event, claim_events, list_events, mark_classifying
from storage.members import add_members
from storage.outbox import answer_events, claim_answers, list_answers
from storage.runs import create_run, read_run
from storage.sharing import adopt_verdicts, runs_alike
from storage.verdicts import save_verdicts
from tests.unit.storage.builders import add_account, add_some_bundle

EVENT = NewEvent(
    sender="default",
    webhook_id="e1",
    type=EventType.CREATED,
    username="ana",
    payload={"type": "influencer.created", "data": {"username": "ana"}},
    reply=True,
)
VERDICT = Verdict(
    method="nn", categories=(), shares=(), usable=0, unknown=0, lacking=0, enough=False
)


def test_an_event_is_kept_once_handed_out_once_and_answered_once(database: Database) -> None:
    with database.write() as connection:
        assert [add_event(connection, EVENT)[1] for _ in range(2)] == [True, False]
    with database.write() as first, database.read() as second:
        (row,) = claim_events(first, limit=10, lease_s=60)
        assert len(list_events(second)) == 1
    with database.write() as connection:
        assert claim_events(connection, limit=10, lease_s=60) == []
        ana = add_account(connection, "ana")
        bundle_id = add_some_bundle(connection)
        run_id = create_run(connection, RunKind.CLASSIFY, params={}, bundle_id=bundle_id)
        mark_classifying(connection, run_id, {row.id: ana})
        for _ in range(2):
            answer_events(
                connection, run_id=run_id, bundle_id=bundle_id, concluded={ana: [VERDICT]}
            )
        assert [one.type for one in list_answers(connection)] == [AnswerType.CONCLUDED]
        assert list_events(connection, state=EventState.DONE)
        assert len(claim_answers(connection, limit=10, lease_s=60)) == 1
        assert list_answers(connection, state=DeliveryState.PENDING)[0].attempts == 1


def test_verdicts_of_a_run_that_goes_on_are_taken_over(database: Database) -> None:
    with database.write() as connection:
        ana = add_account(connection, "ana")
        bundle_id = add_some_bundle(connection)
        runs = [
            create_run(connection, RunKind.CLASSIFY, params={}, bundle_id=bundle_id)
            for _ in range(2)
        ]
        save_verdicts(
            connection,
            bundle_id=bundle_id,
            run_id=runs[0],
            concluded={ana: [VERDICT]},
            posts_at=account_versions(connection, [ana], lock=True),
        )
        add_members(connection, runs[1], [ana])
        second = read_run(connection, runs[1], lock=True)
        others = [one.id for one in runs_alike(connection, second, lock=True)]
        assert adopt_verdicts(connection, second, others) == 1
