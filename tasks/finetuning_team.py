"""One process of a team that fine-tunes: ``torchrun -m tasks.finetuning_team RUN``."""

import os
import sys

from pipelines.vision.backbones import pick_device
from pipelines.vision.finetune import Watch
from pipelines.vision.team import join_team
from schemas.errors import AfinError, TrainingError
from storage.runs import read_run
from storage.stages import read_stages
from tasks.at_work import at_work
from tasks.context import context
from tasks.finetuning import (
    PARENT,
    checkpoint_path,
    complaint_path,
    read_lesson,
    take_turns,
    train_lesson,
)
from tasks.logs import set_up_logs


def main(run_id: int) -> int:
    """Bring a run's checkpoint to its last epoch, together with the rest of the team."""
    resources = context()
    set_up_logs(resources.settings, "train.team")
    with resources.database.read() as connection:
        run = read_run(connection, run_id)
        stages = read_stages(connection, run_id)
    outputs = {name: done.output for name, done in stages.items() if done.output is not None}
    try:
        device = pick_device(resources.settings.device)
        with at_work(run=run_id), join_team(device) as team:
            wait = take_turns(resources, team.device)

            def before_step() -> None:
                _require_parent()
                wait()

            train_lesson(resources, read_lesson(resources, run, outputs), Watch(before_step), team)
    except TrainingError as error:
        # Another try would meet it again, so the worker has to hear of it.
        path = complaint_path(checkpoint_path(resources, run_id))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(error), "utf-8")
        return error.exit_code
    except AfinError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _require_parent() -> None:
    """End with the worker that began this: its successor starts a team of its own."""
    parent = os.environ.get(PARENT)
    if parent is None:
        return
    try:
        os.kill(int(parent), 0)
    except ProcessLookupError:
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
