"""What a stage depends on, as one hash: the same again is taken from the run that had it first."""

import hashlib
import json
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from schemas.runs import Run
from storage.stages import DoneStage, find_done_stage
from tasks.context import Context
from tasks.stages import Outputs, Report, Work

REVISION = 2
"""Raised when a stage computes something else from the same input."""

MarkOf = Callable[[Context, Run, Outputs], str]
Compute = Callable[[Context, Run, Outputs, Report, str], dict[str, Any]]
"""As ``Work``, with the stage's own mark last; files it keeps are named by it."""


def make_mark(stage: str, *parts: Any) -> str:
    """Return the hash of everything a stage's output depends on; ``parts`` are JSON values."""
    whole = [stage, REVISION, version("afin"), *parts]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def stage_key(stage: str, mark: str, name: str) -> str:
    """Return where in the blob store a stage keeps a file for the stages after it."""
    return f"training/{stage}-{mark[:20]}/{name}"


def remembering(stage: str, mark_of: MarkOf, compute: Compute) -> Work:
    """Return work that computes a stage only if no run did so from the very same input."""

    def work(resources: Context, run: Run, outputs: Outputs, report: Report) -> dict[str, Any]:
        mark = mark_of(resources, run, outputs)
        kept = find_kept(resources, stage, mark)
        if kept is not None:
            return {**kept.output, "mark": mark, "kept_from": kept.run_id}
        return {**compute(resources, run, outputs, report, mark), "mark": mark}

    return work


def find_kept(resources: Context, stage: str, mark: str) -> DoneStage | None:
    """Return the stage of an earlier run with this mark, if its files are still there."""
    with resources.database.read() as connection:
        kept = find_done_stage(connection, stage, mark=mark)
    if kept is None:
        return None
    files: list[str] = kept.output.get("files", [])
    there = all(resources.blobs.exists(stage_key(stage, mark, name)) for name in files)
    return kept if there else None
