"""Commands that never outlive us."""

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from tests.unit.workers.proc import (
    IGNORE_TERM,
    MARK,
    PYTHON,
    UP_AND_WAIT,
    lines,
    marked,
    running,
    until,
)
from workers.processes import (
    Child,
    ChildSpec,
    describe_exit,
    free_port,
    rotate,
    stop_all,
)

SAY_BYE = (
    "import signal, sys; "
    "signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit(3))); "
)

# A pool process that will not end by itself; the second kind also leaves session and group.
WITH_GRANDCHILD = f"import os; os.fork(); {IGNORE_TERM}{UP_AND_WAIT}"
WITH_DETACHED_GRANDCHILD = f"import os; os.fork() or os.setsid(); {IGNORE_TERM}{UP_AND_WAIT}"


@pytest.fixture
def mark() -> Iterator[str]:
    value = uuid.uuid4().hex
    yield value
    for pid in marked(value):
        os.kill(pid, signal.SIGKILL)


def child(tmp_path: Path, code: str, mark: str = "", grace_s: float = 0.3) -> Child:
    spec = ChildSpec(name="c", argv=(*PYTHON, code), env={MARK: mark}, grace_s=grace_s)
    return Child(spec, tmp_path / "logs")


def started(tmp_path: Path, code: str, mark: str = "", grace_s: float = 0.3, ups: int = 1) -> Child:
    one = child(tmp_path, code, mark, grace_s)
    one.start()
    until(lambda: lines(one.log).count("up") == ups)
    return one


@contextmanager
def supervising(logs: Path, code: str, mark: str, ups: int) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that has started a command of which it would be very patient."""
    spec = ChildSpec(name="c", argv=(*PYTHON, code), env={MARK: mark}, grace_s=60)
    program = (
        "import time; from pathlib import Path; from workers.processes import Child, ChildSpec\n"
        f"spec = ChildSpec.model_validate_json({spec.model_dump_json()!r})\n"
        f"Child(spec, Path({str(logs)!r})).start(); time.sleep(120)"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        try:
            until(lambda: lines(logs / "c.log").count("up") == ups)
            yield process
        finally:
            process.kill()


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_both_streams_of_a_command_go_to_its_log(tmp_path: Path) -> None:
    one = child(tmp_path, "import sys; print('out', flush=True); print('err', file=sys.stderr)")
    one.start()
    until(lambda: one.poll() is not None)
    assert lines(tmp_path / "logs" / "c.log") == ["out", "err"]


def test_a_second_start_appends_to_the_log_but_tail_shows_only_the_last(tmp_path: Path) -> None:
    one = child(tmp_path, "import os; print(os.getpid())")
    for _ in range(2):
        one.start()
        until(lambda: one.poll() is not None)
    assert len(lines(one.log)) == 2
    assert one.tail() == str(one.pid)


def test_a_command_gets_its_environment_and_folder(tmp_path: Path) -> None:
    code = f"import os; print(os.environ['{MARK}'], os.getcwd())"
    spec = ChildSpec(name="c", argv=(*PYTHON, code), env={MARK: "secret"}, cwd=tmp_path)
    one = Child(spec, tmp_path)
    one.start()
    until(lambda: one.poll() is not None)
    assert one.tail() == f"secret {tmp_path}"


def test_no_value_of_the_environment_shows_in_a_description(tmp_path: Path) -> None:
    assert "hunter2" not in repr(ChildSpec(name="c", argv=("x",), env={"A": "hunter2"}))


def test_a_command_inherits_no_descriptor_but_the_standard_ones(tmp_path: Path) -> None:
    one = child(tmp_path, "import os; print(sorted(os.listdir('/proc/self/fd')))")
    one.start()
    until(lambda: one.poll() is not None)
    # The fourth is the listing's own.
    assert one.tail() == "['0', '1', '2', '3']"


def test_a_stopped_command_may_end_by_itself(tmp_path: Path) -> None:
    one = started(tmp_path, SAY_BYE + UP_AND_WAIT, grace_s=20)
    one.stop()
    assert (one.poll(), one.tail()) == (3, "up\nbye")


def test_a_command_that_ignores_the_request_is_killed_after_its_grace(tmp_path: Path) -> None:
    one = started(tmp_path, IGNORE_TERM + UP_AND_WAIT, grace_s=0.2)
    one.stop()
    assert one.poll() == 128 + signal.SIGKILL


def test_kill_does_not_wait_for_the_grace(tmp_path: Path) -> None:
    one = started(tmp_path, SAY_BYE + UP_AND_WAIT, grace_s=60)
    one.kill()
    until(lambda: not one.alive())
    assert (one.poll(), one.tail()) == (128 + signal.SIGKILL, "up")


def test_terminating_the_reaper_stops_the_command_gracefully(tmp_path: Path) -> None:
    one = started(tmp_path, SAY_BYE + UP_AND_WAIT, grace_s=20)
    assert one.pid is not None
    os.kill(int(Path(f"/proc/{one.pid}/stat").read_text().split()[3]), signal.SIGTERM)
    until(lambda: not one.alive())
    assert (one.poll(), one.tail()) == (3, "up\nbye")


@pytest.mark.parametrize("code", [WITH_GRANDCHILD, WITH_DETACHED_GRANDCHILD])
def test_stop_leaves_no_grandchild(tmp_path: Path, mark: str, code: str) -> None:
    one = started(tmp_path, code, mark, ups=2)
    one.stop()
    assert marked(mark) == set()


def test_a_grandchild_does_not_outlive_a_command_that_ends_by_itself(
    tmp_path: Path, mark: str
) -> None:
    one = child(tmp_path, f"import os, sys; os.fork() and sys.exit(0); {UP_AND_WAIT}", mark)
    one.start()
    until(lambda: not one.alive())
    assert marked(mark) == set()


def test_only_the_command_itself_is_asked_to_end(tmp_path: Path) -> None:
    one = started(
        tmp_path,
        "import os, signal, sys, time; pid = os.fork()\n"
        "def end(*_): print('asked', pid > 0, flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(120)",
        grace_s=20,
        ups=2,
    )
    one.stop()
    assert lines(one.log)[2:] == ["asked True"]


@pytest.mark.parametrize("code", [WITH_GRANDCHILD, WITH_DETACHED_GRANDCHILD])
def test_nothing_is_left_when_the_supervising_process_is_killed(
    tmp_path: Path, mark: str, code: str
) -> None:
    with supervising(tmp_path, code, mark, ups=2) as program:
        # The reaper and two of the command's.
        assert len(marked(mark)) == 3
        program.kill()
    until(lambda: not marked(mark), within_s=10)


def test_nothing_is_left_when_the_reaper_is_killed(tmp_path: Path, mark: str) -> None:
    one = started(tmp_path, WITH_GRANDCHILD, mark, ups=2)
    assert one.pid is not None
    os.kill(int(Path(f"/proc/{one.pid}/stat").read_text().split()[3]), signal.SIGKILL)
    until(lambda: not one.alive())
    until(lambda: not marked(mark))
    assert one.poll() == 128 + signal.SIGKILL


def test_a_command_ends_when_its_reaper_is_killed_and_its_supervisor_cannot_act(
    tmp_path: Path, mark: str
) -> None:
    with supervising(tmp_path, UP_AND_WAIT, mark, ups=1) as program:
        program.send_signal(signal.SIGSTOP)
        (reaper,) = (pid for pid in marked(mark) if b"reaper.py" in command_line(pid))
        os.kill(reaper, signal.SIGKILL)
        until(lambda: not marked(mark))


def test_a_stop_that_comes_before_the_command_is_itself_is_not_lost(tmp_path: Path) -> None:
    one = child(tmp_path, UP_AND_WAIT, grace_s=0.5)
    for _ in range(20):
        one.start()
        # Told right after the fork.
        assert one.pid
        one.stop()
        assert one.poll() == 128 + signal.SIGTERM


def test_a_command_lives_on_when_the_thread_that_started_it_ends(tmp_path: Path) -> None:
    one = child(tmp_path, UP_AND_WAIT)
    thread = Thread(target=one.start)
    thread.start()
    thread.join()
    until(lambda: lines(one.log) == ["up"])
    assert one.pid is not None
    assert running(one.pid)
    one.stop()


def test_a_command_that_cannot_be_run_says_so_in_its_log(tmp_path: Path) -> None:
    one = Child(ChildSpec(name="c", argv=("/no/such/program",)), tmp_path)
    one.start()
    until(lambda: not one.alive())
    assert one.poll() == 127
    assert one.tail() == "/no/such/program cannot be run: No such file or directory"


def test_stop_is_harmless_before_a_start_and_when_repeated(tmp_path: Path) -> None:
    one = child(tmp_path, UP_AND_WAIT)
    one.stop()
    assert one.poll() is None
    one.start()
    one.stop()
    one.stop()
    assert one.poll() == 128 + signal.SIGTERM


def test_a_command_can_be_started_again_after_its_end(tmp_path: Path) -> None:
    one = started(tmp_path, UP_AND_WAIT)
    first = one.pid
    one.stop()
    one.start()
    assert one.poll() is None
    assert one.pid not in {None, first}
    one.stop()


def test_stop_all_waits_for_the_graces_side_by_side(tmp_path: Path) -> None:
    specs = [
        ChildSpec(name=f"c{n}", argv=(*PYTHON, IGNORE_TERM + UP_AND_WAIT), grace_s=1.0)
        for n in range(5)
    ]
    children = [Child(spec, tmp_path) for spec in specs]
    for one in children:
        one.start()
    until(lambda: all(lines(one.log) == ["up"] for one in children))
    began_at = time.monotonic()
    codes = stop_all(children)
    assert 1.0 <= time.monotonic() - began_at < 4.0
    assert codes == {f"c{n}": 128 + signal.SIGKILL for n in range(5)}


def test_stop_all_in_a_hurry_does_not_wait_for_the_graces(tmp_path: Path) -> None:
    one = started(tmp_path, IGNORE_TERM + UP_AND_WAIT, grace_s=60)
    began_at = time.monotonic()
    stop_all([one], hurry=lambda: True)
    assert time.monotonic() - began_at < 20


def test_a_large_log_is_set_aside_at_a_start(tmp_path: Path) -> None:
    log = tmp_path / "c.log"
    log.write_text("x" * 101)
    rotate(log, max_bytes=100)
    assert not log.exists()
    assert (tmp_path / "c.log.1").read_text() == "x" * 101


def test_a_log_within_bounds_stays(tmp_path: Path) -> None:
    log = tmp_path / "c.log"
    log.write_text("x" * 100)
    rotate(log, max_bytes=100)
    assert log.read_text() == "x" * 100


@pytest.mark.parametrize(
    ("code", "said"), [(0, "exit code 0"), (137, "killed by SIGKILL"), (255, "exit code 255")]
)
def test_an_exit_code_is_said_in_words(code: int, said: str) -> None:
    assert describe_exit(code) == said


def test_a_free_port_can_be_listened_on() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", free_port()))
