"""afin classify, afin reclassify and afin verdicts."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.output import JsonFlag, note, print_json, print_table, print_text, warn
from cli.progress import wait_for_run
from schemas.errors import UsageError
from schemas.runs import Progress, RunState
from schemas.verdicts import StoredVerdict
from storage.export import describe_verdicts, name_posts, to_csv, to_json, to_parquet
from storage.members import dead_members
from storage.runs import read_progress
from storage.verdicts import newest_verdicts, run_verdicts
from tasks.context import context
from tasks.start import start_classification

app = typer.Typer(no_args_is_help=True, help="Read verdicts.")

WaitFlag = Annotated[bool, typer.Option("--wait", help="Wait until all are concluded.")]
BundleOption = Annotated[str | None, typer.Option(help="Judge by this bundle, not the active one.")]


class Format(StrEnum):
    """What verdicts can be exported as."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


def classify(
    usernames: Annotated[list[str], typer.Argument(metavar="USERNAME…", show_default=False)],
    bundle: BundleOption = None,
    wait: WaitFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Classify some accounts now, ahead of any bulk run."""
    _classify(usernames, bundle, wait=wait, as_json=as_json)


@app.command()
def export(
    form: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.JSON,
    evidence: Annotated[
        bool, typer.Option("--evidence", help="With shares, counts and posts (JSON only).")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write to this file, not to stdout.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Export the verdict in force of every account that has one."""
    if evidence and form is not Format.JSON:
        raise UsageError("--evidence needs --format json: a table has no room for it.")
    if as_json and form is not Format.JSON and out is None:
        raise UsageError("--json and --format differ: leave --json out, or name a file with --out.")
    with context().database.read() as connection:
        stored = newest_verdicts(connection)
        names = name_posts(connection, stored) if evidence else None
    if form is Format.PARQUET:
        if out is None:
            raise UsageError("Parquet is binary: name a file with --out.")
        data = to_parquet(stored)
    else:
        text = to_csv(stored) if form is Format.CSV else to_json(describe_verdicts(stored, names))
        data = text.encode()
    if out is None:
        print_text(data.decode())
        return
    try:
        out.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}.") from error
    if as_json:
        print_json({"written": str(out), "verdicts": len(stored)})
    else:
        note(f"{len(stored)} verdicts written to {out}.")


def _classify(
    usernames: list[str] | None, bundle: str | None, *, wait: bool, as_json: bool
) -> None:
    run_id = start_classification(context(), usernames, bundle_id=bundle)
    report_run(run_id, wait=wait, as_json=as_json)


def report_run(run_id: int, *, wait: bool, as_json: bool) -> None:
    """Say that a run has started, or wait for its verdicts and print them."""
    resources = context()
    if not wait:
        if as_json:
            print_json({"run": run_id})
        else:
            note(f"Run {run_id} has started: 'afin verdicts export' shows what is concluded.")
        return

    progress = wait_for_run(lambda: read_classifying_progress(run_id), f"Classifying, run {run_id}")
    with resources.database.read() as connection:
        stored = run_verdicts(connection, run_id)
        dead = dead_members(connection, run_id)
    if as_json:
        failed = dict(dead)
        verdicts = describe_verdicts(stored)
        print_json({"run": run_id, "state": progress.state, "verdicts": verdicts, "failed": failed})
    else:
        print_verdicts(stored)
    for username, problem in dead:
        warn(f"{username} was not concluded: {problem}")
    if progress.state is not RunState.DONE or dead:
        warn(progress.error or f"{len(dead)} accounts were not concluded.")
        raise typer.Exit(1)


def read_classifying_progress(run_id: int) -> Progress:
    """Return how far a run over accounts is."""
    with context().database.read() as connection:
        return read_progress(connection, run_id)


def print_verdicts(stored: list[StoredVerdict]) -> None:
    """Print a table of verdicts with the shares they rest on, a row a method."""
    rows = []
    for one in stored:
        for verdict in one.verdicts:
            chosen = [share for share in verdict.shares if share.chosen]
            rows.append(
                (
                    one.username,
                    verdict.method,
                    ", ".join(f"{share.category} {share.share:.0%}" for share in chosen)
                    or "unknown",
                    verdict.usable,
                    verdict.lacking,
                    "" if verdict.enough else "not enough posts",
                )
            )
    print_table(("username", "method", "categories", "posts", "lacking", "note"), rows)
