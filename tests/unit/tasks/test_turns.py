"""A training waits between steps for urgent work of other processes, and for nothing else."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks import images
from tasks.context import Context
from tasks.turns import DeviceTurns
from tests.unit.storage.builders import new_post
from tests.unit.tasks import builders

ROOT = Path(__file__).parents[3]
HOLD = """
import sys
from pathlib import Path
from tasks.turns import DeviceTurns
with DeviceTurns(Path(sys.argv[1]), sys.argv[2]).urgent():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def urgent_process(folder: Path, device: str = "cpu") -> Iterator["subprocess.Popen[str]"]:
    """Another process that does urgent work until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), device],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process


def waits(folder: Path, device: str = "cpu") -> bool:
    """Whether a training would wait now."""
    started = time.monotonic()
    DeviceTurns(folder, device).wait(0.05)
    return time.monotonic() - started >= 0.05


def test_a_step_is_not_taken_while_another_process_does_urgent_work(tmp_path: Path) -> None:
    turns = DeviceTurns(tmp_path, "cpu")
    ended: list[float] = []

    def step() -> None:
        turns.wait(60)
        ended.append(time.monotonic())

    waiter = threading.Thread(target=step)
    with urgent_process(tmp_path) as process:
        waiter.start()
        waiter.join(timeout=0.3)
        assert waiter.is_alive()
        released = time.monotonic()
        process.communicate("")
        waiter.join(timeout=30)
    assert ended
    assert ended[0] >= released


def test_a_killed_process_holds_up_nobody(tmp_path: Path) -> None:
    with urgent_process(tmp_path) as process:
        assert waits(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not waits(tmp_path)


def test_patience_ends(tmp_path: Path) -> None:
    with DeviceTurns(tmp_path, "cpu").urgent():
        DeviceTurns(tmp_path, "cpu").wait(0.02)


def test_urgent_works_do_not_wait_for_each_other(tmp_path: Path) -> None:
    turns = DeviceTurns(tmp_path, "cpu")
    with urgent_process(tmp_path), turns.urgent():
        assert waits(tmp_path)


def test_urgent_work_begins_while_a_training_waits(tmp_path: Path) -> None:
    turns = DeviceTurns(tmp_path, "cpu")
    with turns.urgent():
        waiter = threading.Thread(target=turns.wait, args=(0.2,))
        waiter.start()
        with turns.urgent():
            assert waits(tmp_path)
        waiter.join()


@pytest.mark.parametrize(("held", "asked", "waited"), [
    ("cuda:1", "cuda:0", False), ("cuda", "cuda:0", True), ("cpu", "cuda:0", False),
])  # fmt: skip
def test_each_device_has_turns_of_its_own(
    tmp_path: Path, held: str, asked: str, waited: bool
) -> None:
    with DeviceTurns(tmp_path, held).urgent():
        assert waits(tmp_path, asked) is waited


@pytest.mark.parametrize("urgent", [True, False], ids=["new account", "bulk"])
def test_only_the_shards_of_new_accounts_keep_a_training_waiting(
    resources: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, urgent: bool
) -> None:
    bundle_id = builders.publish_toy_bundle(resources, tmp_path)
    ana = builders.add_account(
        resources, "ana", [new_post("p1", photos=builders.shows("a"))], photos=["a"]
    )
    run = builders.start_run(resources, bundle_id, [ana], urgent=urgent)
    found: list[bool] = []

    def look(*_arguments: object, **_options: object) -> images.ShardResult:
        found.append(waits(resources.settings.data_dir))
        return images.ShardResult(photos=1, embedded=1)

    monkeypatch.setattr(images, "embed_photos", look)
    loaded = SimpleNamespace(backbone=SimpleNamespace(device="cpu"))
    monkeypatch.setattr(resources.embedders, "borrow", lambda _name, _ref: nullcontext(loaded))
    images.embed(run.id, run.generation, ana, 0, 99)
    assert found == [urgent]
    assert not waits(resources.settings.data_dir)
