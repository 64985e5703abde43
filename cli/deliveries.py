"""afin deliveries and afin dead: answers to the platform, and all that was tried too often."""

from typing import Annotated, Any

import typer
from kombu.exceptions import OperationalError

from cli.output import JsonFlag, note, print_json, print_table
from schemas.errors import UsageError
from schemas.events import DeliveryState, EventState
from storage.inbox import list_events, replay_events
from storage.members import list_dead_members
from storage.outbox import list_answers, retry_answers
from tasks.app import app as celery
from tasks.app import broker_url
from tasks.context import context

app = typer.Typer(no_args_is_help=True, help="Answers to the platform.")
dead = typer.Typer(no_args_is_help=True, help="What was tried too often and given up.")

MOST = 1000


@app.command("list")
def list_(
    state: Annotated[DeliveryState | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """List answers, newest first."""
    with context().database.read() as connection:
        found = list_answers(connection, state=state, limit=limit)
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    columns = ("id", "type", "username", "sender", "state", "attempts", "problem")
    print_table(columns, [[getattr(one, name) or "" for name in columns] for one in found])


@app.command()
def retry(
    identifiers: Annotated[
        list[int] | None, typer.Argument(metavar="ID…", help="These; all dead ones if none.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Send answers again that no try could deliver."""
    with context().database.write() as connection:
        count = retry_answers(connection, identifiers or None)
    if identifiers and not count:
        raise UsageError("None of these is dead: 'afin deliveries list --state dead' shows those.")
    _wake("deliver.due")
    if as_json:
        print_json({"deliveries": count})
    else:
        note(_tell("answer", count, len(identifiers or ()), "sent"))


@dead.command("list")
def list_dead(as_json: JsonFlag = False) -> None:
    """List events, answers and accounts of runs that were given up, each with the reason."""
    with context().database.read() as connection:
        events = list_events(connection, state=EventState.DEAD, limit=MOST)
        answers = list_answers(connection, state=DeliveryState.DEAD, limit=MOST)
        members = list_dead_members(connection, limit=MOST)
    documents: list[dict[str, Any]] = [
        {"what": "event", "id": one.id, "username": one.username, "problem": one.problem}
        for one in events
    ]
    documents += [
        {"what": "delivery", "id": one.id, "username": one.username, "problem": one.problem}
        for one in answers
    ]
    documents += [
        {"what": "run", "id": run_id, "username": username, "problem": problem}
        for run_id, username, problem in members
    ]
    if as_json:
        print_json(documents)
        return
    if not documents:
        note("Nothing was given up.")
        return
    columns = ("what", "id", "username", "problem")
    print_table(columns, [[one[name] or "" for name in columns] for one in documents])
    note("'afin dead replay' tries events again, 'afin deliveries retry' answers,")
    note("'afin runs retry RUN --failed' accounts of a run.")


@dead.command()
def replay(
    identifiers: Annotated[
        list[str] | None, typer.Argument(metavar="EVENT…", help="These; all if none.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Handle events again from the start that were given up."""
    with context().database.write() as connection:
        count = replay_events(connection, identifiers or None)
    if identifiers and not count:
        raise UsageError("None of these is dead: 'afin dead list' shows those that are.")
    _wake("events.handle")
    if as_json:
        print_json({"events": count})
    else:
        note(_tell("event", count, len(identifiers or ()), "handled"))


def _tell(noun: str, count: int, asked: int, what: str) -> str:
    """Say in a sentence how many things are done again, and that others were not dead."""
    if not count:
        return f"No {noun} is dead: there is nothing to do again."
    done = f"1 {noun} is {what} again." if count == 1 else f"{count} {noun}s are {what} again."
    return f"{done} The others are not dead." if asked > count else done


def _wake(task: str) -> None:
    """Have it done at once where a broker runs; else the sweeper does it once one does."""
    if broker_url(context().settings) is None:
        return
    try:
        celery.send_task(task)
    except OperationalError:
        note("The broker cannot be reached: it is done once it runs again.")
