"""afin runs: every bulk run, training and crawl; watched, paused, resumed, cancelled."""

from collections.abc import Callable
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from cli.output import JsonFlag, note, print_json, print_table
from cli.progress import wait_for_run
from cli.training import read_training_progress
from schemas.errors import UsageError
from schemas.runs import Progress, Run, RunKind, RunState
from storage.crawl_report import read_crawl_progress
from storage.runs import end_run, list_runs, pause_run, read_progress, read_run, resume_run
from tasks.app import app as celery
from tasks.app import broker_url
from tasks.context import context

app = typer.Typer(no_args_is_help=True, help="See and steer runs: classifying, training, crawls.")

RunArgument = Annotated[int, typer.Argument(metavar="RUN", help="Its number.")]


@app.command("list")
def list_(
    state: Annotated[RunState | None, typer.Option(help="Only those in this state.")] = None,
    kind: Annotated[RunKind | None, typer.Option(help="Only those of this kind.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """List runs, newest first."""
    with context().database.read() as connection:
        found = list_runs(connection, state=state, kind=kind)[:limit]
    documents = [_document(run, read_run_progress(run.id)) for run in found]
    if as_json:
        print_json(documents)
        return
    if not documents:
        note("There is no run yet.")
        return
    columns = ("run", "kind", "state", "done", "failed", "total", "started")
    print_table(columns, [[one[name] for name in columns] for one in documents])


@app.command()
def show(run: RunArgument, as_json: JsonFlag = False) -> None:
    """Show one run: what was asked for, and how far it is."""
    with context().database.read() as connection:
        found = read_run(connection, run)
    document = {**_document(found, read_run_progress(run)), "asked": found.params}
    if as_json:
        print_json(document)
    else:
        print_table(("field", "value"), [pair for pair in document.items() if pair[1] is not None])


@app.command()
def watch(run: RunArgument, as_json: JsonFlag = False) -> None:
    """Follow a run until it ends; Ctrl-C stops watching, not the run."""
    progress = wait_for_run(lambda: read_run_progress(run), f"Run {run}")
    show(run, as_json=as_json)
    if progress.state is not RunState.DONE:
        raise typer.Exit(1)


@app.command()
def pause(run: RunArgument, as_json: JsonFlag = False) -> None:
    """Stop feeding a run; what is in flight ends."""
    _steer(run, pause_run, "paused", "is not running", as_json=as_json)


@app.command()
def resume(run: RunArgument, as_json: JsonFlag = False) -> None:
    """Go on with a paused run."""
    _steer(run, resume_run, "goes on", "is not paused", as_json=as_json)
    with context().database.read() as connection:
        kind = read_run(connection, run).kind
    # Where no broker runs, the sweeper goes on with it once there is one.
    if broker_url(context().settings) is not None:
        celery.send_task("train.advance" if kind is RunKind.TRAIN else "runs.feed", (run,))


@app.command()
def cancel(run: RunArgument, as_json: JsonFlag = False) -> None:
    """End a run now; what it has stored stays."""

    def end(connection: Connection, run_id: int) -> bool:
        return end_run(connection, run_id, RunState.CANCELLED)

    _steer(run, end, "is cancelled", "has ended already", as_json=as_json)


def read_run_progress(run_id: int) -> Progress:
    """Return how far a run of any kind is."""
    with context().database.read() as connection:
        run = read_run(connection, run_id)
        if run.kind is RunKind.CRAWL:
            return read_crawl_progress(connection, run_id)
        if run.kind is RunKind.CLASSIFY:
            return read_progress(connection, run_id)
    return read_training_progress(run_id)


def _steer(
    run_id: int,
    change: Callable[[Connection, int], bool],
    done: str,
    refused: str,
    *,
    as_json: bool,
) -> None:
    with context().database.write() as connection:
        changed = change(connection, run_id)
        run = read_run(connection, run_id)
    if not changed:
        raise UsageError(f"Run {run_id} {refused}: it is {run.state}.")
    if as_json:
        print_json({"run": run_id, "state": run.state})
    else:
        note(f"Run {run_id} {done}.")


def _document(run: Run, progress: Progress) -> dict[str, Any]:
    return {
        "run": run.id,
        "kind": run.kind,
        "state": run.state,
        "stage": progress.stage,
        "done": progress.done,
        "failed": progress.failed,
        "total": progress.total,
        "error": run.error,
        "bundle": run.bundle_id,
        "started": f"{run.created_at:%Y-%m-%d %H:%M:%S}",
        "ended": f"{run.finished_at:%Y-%m-%d %H:%M:%S}" if run.finished_at else None,
    }
