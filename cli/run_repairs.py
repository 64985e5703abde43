"""afin runs diff and afin runs retry: what flipped between two runs, and another try."""

from typing import Annotated

import typer

from cli.output import JsonFlag, note, print_json, print_table
from schemas.errors import UsageError
from schemas.runs import MemberState, RunKind
from storage.members import count_members, revive_members
from storage.runs import read_run, reopen_run
from storage.verdicts import run_verdicts
from tasks.app import app as celery
from tasks.app import control_queue, require_broker
from tasks.context import context

Sets = dict[str, dict[str, list[str]]]


def diff(
    before: Annotated[int, typer.Argument(metavar="A", help="The earlier run.")],
    after: Annotated[int, typer.Argument(metavar="B", help="The later run.")],
    as_json: JsonFlag = False,
) -> None:
    """List the accounts whose categories differ between two runs."""
    old, new = _read_sets(before), _read_sets(after)
    flipped = [
        {
            "username": name,
            "method": method,
            "before": old[name][method],
            "after": new[name][method],
        }
        for name in sorted(old.keys() & new.keys())
        for method in sorted(old[name].keys() & new[name].keys())
        if sorted(old[name][method]) != sorted(new[name][method])
    ]
    only = {
        "only_before": sorted(old.keys() - new.keys()),
        "only_after": sorted(new.keys() - old.keys()),
    }
    if as_json:
        print_json({"both": len(old.keys() & new.keys()), "flipped": flipped, **only})
        return
    shown = [
        (
            one["username"],
            one["method"],
            ", ".join(one["before"]) or "unknown",
            ", ".join(one["after"]) or "unknown",
        )
        for one in flipped
    ]
    print_table(("username", "method", f"run {before}", f"run {after}"), shown)
    note(
        f"{len({one['username'] for one in flipped})} of {len(old.keys() & new.keys())} accounts "
        f"differ; {len(only['only_before'])} only in {before}, {len(only['only_after'])} only in "
        f"{after}."
    )


def retry(
    run: Annotated[int, typer.Argument(metavar="RUN", help="Its number.")],
    failed: Annotated[bool, typer.Option("--failed", help="Those given up.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Try the accounts again that a run gave up."""
    if not failed:
        raise UsageError("Say what to try again: --failed.")
    resources = context()
    with resources.database.read() as connection:
        found = read_run(connection, run)
        dead = count_members(connection, run)[MemberState.DEAD]
    if found.kind is not RunKind.CLASSIFY:
        raise UsageError(f"Run {run} is no run over accounts: 'afin runs list' shows its kind.")
    if dead == 0:
        raise UsageError(f"Run {run} gave no account up: there is nothing to try again.")
    require_broker(resources.settings)
    with resources.database.write() as connection:
        revived = revive_members(connection, run)
        if found.state.final:
            reopen_run(connection, run)
    celery.send_task("runs.feed", (run,), queue=control_queue(found))
    if as_json:
        print_json({"run": run, "accounts": revived})
    else:
        note(f"{revived} accounts of run {run} are tried again.")


def _read_sets(run_id: int) -> Sets:
    with context().database.read() as connection:
        read_run(connection, run_id)
        stored = run_verdicts(connection, run_id)
    return {
        one.username: {verdict.method: list(verdict.categories) for verdict in one.verdicts}
        for one in stored
    }
