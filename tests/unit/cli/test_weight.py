"""Workers that need no model stay small: what they import brings no heavy library along."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
HEAVY = ("torch", "torchvision", "timm", "sklearn", "scipy", "fasttext", "pyarrow", "skops")

# All that a worker of any kind, its beat, Flower and a command import before the first task.
PROGRAM = f"""
import json, sys
import workers.__main__, workers.kinds, workers.supervisor, workers.broker
import web.__main__, web.app
found_web = sorted(set({HEAVY}) & set(sys.modules))
from tasks.app import app
app.loader.import_default_modules()
found = {{"web": found_web, "worker": sorted(set({HEAVY}) & set(sys.modules))}}
found["tasks"] = sorted(name for name in app.tasks if not name.startswith("celery."))
import celery.bin.worker, celery.beat, flower.command, flower.app
found["flower"] = sorted(set({HEAVY}) & set(sys.modules))
import cli.commands
found["command"] = sorted(set({HEAVY}) & set(sys.modules))
print(json.dumps(found))
"""


def test_torch_sklearn_and_fasttext_are_imported_only_by_the_tasks_that_use_them(
    tmp_path: Path,
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"AFIN_DATA_DIR": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = json.loads(ended.stdout)
    assert found["web"] == found["worker"] == found["flower"] == found["command"] == []
    # Lest it be true only because nothing was imported.
    assert {
        "scrape.photos",
        "images.embed",
        "texts.embed",
        "verdicts.conclude",
        "runs.sweep",
        "train.network",
    } <= set(found["tasks"])
