"""afin dead and afin deliveries: what was given up, and how it is told."""

import pytest

from schemas.events import AnswerType, DeliveryState, EventState
from storage.inbox import bury_event, list_events
from storage.outbox import add_answer, list_answers, settle_answer
from tasks.context import Context
from tests.unit.cli.conftest import Afin
from tests.unit.tasks.events import tell


@pytest.fixture
def given_up(resources: Context) -> None:
    """Two dead events, two dead answers and one that is still to be sent."""
    for name in ("ana", "bea"):
        tell(resources, f"evt_{name}", name)
    with resources.database.write() as connection:
        for identifier in (1, 2):
            bury_event(connection, identifier, problem="No posts are known.")
        for key in ("one", "two", "three"):
            add_answer(
                connection,
                AnswerType.FAILED,
                key=key,
                sender="default",
                username="ana",
                data={"problem": "No luck."},
            )
        for identifier in (1, 2):
            settle_answer(connection, identifier, DeliveryState.DEAD, problem="It answered 500.")


def states(resources: Context) -> list[DeliveryState]:
    with resources.database.read() as connection:
        return [one.state for one in reversed(list_answers(connection))]


def test_all_that_was_given_up_is_listed_with_the_reason_and_the_way_out(
    given_up: None, afin: Afin
) -> None:
    listed = afin("dead", "list")
    assert "No posts are known." in listed.out
    assert "It answered 500." in listed.out
    assert "afin deliveries retry" in listed.err
    documents = afin("dead", "list", "--json").document
    assert [one["what"] for one in documents] == ["event", "event", "delivery", "delivery"]


def test_nothing_given_up_is_a_sentence(afin: Afin) -> None:
    assert afin("dead", "list").err == "Nothing was given up.\n"


def test_one_answer_is_sent_again_and_those_that_are_not_dead_are_left(
    given_up: None, resources: Context, afin: Afin
) -> None:
    told = afin("deliveries", "retry", "1", "3").err
    assert "1 answer is sent again. The others are not dead." in told
    assert states(resources) == ["pending", "dead", "pending"]


def test_all_dead_answers_are_sent_again(given_up: None, resources: Context, afin: Afin) -> None:
    assert "2 answers are sent again." in afin("deliveries", "retry").err
    assert states(resources) == ["pending"] * 3
    assert "No answer is dead: there is nothing to do again." in afin("deliveries", "retry").err


def test_an_answer_that_is_not_dead_is_refused_by_a_hint(given_up: None, afin: Afin) -> None:
    assert "afin deliveries list --state dead" in afin("deliveries", "retry", "3").err


def test_events_are_handled_again(given_up: None, resources: Context, afin: Afin) -> None:
    assert "2 events are handled again." in afin("dead", "replay").err
    with resources.database.read() as connection:
        assert not list_events(connection, state=EventState.DEAD)
    assert "No event is dead" in afin("dead", "replay").err
