"""Running one stage of a training: held by a lease, heard of while it works, stored when done."""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from schemas.errors import AfinError, BlobError, DatabaseError
from schemas.runs import Run, RunState
from storage.runs import end_run, is_current, read_run
from storage.stages import drop_lease, finish_stage, keep_lease, read_stages, take_lease
from tasks.context import Context, context

log = logging.getLogger(__name__)

Outputs = dict[str, dict[str, Any]]
"""What the stages before this one left behind, by stage."""

Report = Callable[[int, int], None]
"""Called with steps done and steps in all."""

Work = Callable[[Context, Run, Outputs, Report], dict[str, Any]]


def run_stage(run_id: int, generation: int, stage: str, work: Work) -> str:
    """Do one stage of a training, if nobody else does, and store its output.

    An error that another try would meet again ends the run with its message; any other gives the
    stage back to be tried again.
    """
    resources = context()
    holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    lease_s = resources.settings.train_lease_s
    with resources.database.write() as connection:
        run = read_run(connection, run_id)
        if not is_current(run, generation):
            return "stale"
        if not take_lease(connection, run_id, stage, holder=holder, lease_s=lease_s):
            return "held by another worker"
        stages = read_stages(connection, run_id)
    outputs = {name: done.output for name, done in stages.items() if done.output is not None}
    started = time.monotonic()
    try:
        with _heartbeat(resources, run_id, stage, holder) as report:
            output = work(resources, run, outputs, report)
    except AfinError as error:
        return _fail(resources, run_id, stage, holder, error)
    except Exception as error:
        log.exception("run %s: stage %s failed", run_id, stage)
        with resources.database.write() as connection:
            problem = f"{type(error).__name__}: {error}"
            drop_lease(connection, run_id, stage, holder=holder, problem=problem)
        return f"failed: {type(error).__name__}"
    with resources.database.write() as connection:
        # What an earlier run computed says nothing of how long it takes.
        seconds = None if "kept_from" in output else time.monotonic() - started
        finish_stage(connection, run_id, stage, output=output, holder=holder, seconds=seconds)
    if seconds is None:
        return f"unchanged since run {output['kept_from']}"
    return f"done in {seconds:.1f} s"


def describe_failure(stage: str, reason: str) -> str:
    """Say in one sentence why a training ended."""
    return f"Training stopped at stage '{stage}': {reason.rstrip('.')}."


def _fail(resources: Context, run_id: int, stage: str, holder: str, error: AfinError) -> str:
    log.warning("run %s: stage %s: %s", run_id, stage, error)
    with resources.database.write() as connection:
        held = drop_lease(connection, run_id, stage, holder=holder, problem=str(error))
        # Who has lost the stage to another worker has no say in what becomes of the run.
        if held and not isinstance(error, BlobError | DatabaseError):
            reason = describe_failure(stage, str(error))
            end_run(connection, run_id, RunState.FAILED, error=reason)
    return f"failed: {error}"


@contextmanager
def _heartbeat(resources: Context, run_id: int, stage: str, holder: str) -> Iterator[Report]:
    """Renew the lease from a thread while the stage works, with the progress reported last.

    A lease that lapsed meanwhile is taken anew unless another worker has it by then.
    """
    lease_s = resources.settings.train_lease_s
    ended = threading.Event()
    progress: list[int | None] = [None, None]

    def report(done: int, total: int) -> None:
        progress[:] = [done, total]

    def beat() -> None:
        # Often enough that a progress bar moves, rarely enough that nobody notices.
        while not ended.wait(min(lease_s / 3, 1.0)):
            done, total = progress
            try:
                with resources.database.write() as connection:
                    kept = keep_lease(
                        connection,
                        run_id,
                        stage,
                        holder=holder,
                        lease_s=lease_s,
                        done=done,
                        total=total,
                    )
                    if not kept:
                        take_lease(connection, run_id, stage, holder=holder, lease_s=lease_s)
            except (DatabaseError, SQLAlchemyError) as error:
                # A database that is away for a moment must not cost a training its lease for good.
                log.warning("run %s: stage %s: no sign of life: %s", run_id, stage, error)

    thread = threading.Thread(target=beat, name=f"lease-{stage}", daemon=True)
    thread.start()
    try:
        yield report
    finally:
        ended.set()
        thread.join()
