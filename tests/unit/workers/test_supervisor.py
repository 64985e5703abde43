"""The supervisor, with real commands."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from schemas.errors import WorkersError
from schemas.settings import Settings
from tasks.addresses import read_broker_url
from tests.unit.workers.proc import IGNORE_TERM, MARK, PYTHON, UP_AND_WAIT, lines, marked, until
from workers.broker import EmbeddedBroker
from workers.processes import ChildSpec
from workers.supervisor import (
    ChildStatus,
    RestartPolicy,
    Supervisor,
    settings_env,
    standard_specs,
)

HASTY = RestartPolicy(first_s=0.01, longest_s=0.04, stable_s=60, deaths=4)
FAIL = "print('no luck', flush=True); raise SystemExit(7)"


@pytest.fixture
def mark() -> Iterator[str]:
    value = uuid.uuid4().hex
    yield value
    for pid in marked(value):
        os.kill(pid, signal.SIGKILL)


def spec(name: str, code: str, *, mark: str = "", grace_s: float = 0.3) -> ChildSpec:
    return ChildSpec(name=name, argv=(*PYTHON, code), env={MARK: mark}, grace_s=grace_s)


def one(supervisor: Supervisor) -> ChildStatus:
    (status,) = supervisor.status()
    return status


def test_all_commands_run_within_the_block_and_none_after(tmp_path: Path, mark: str) -> None:
    specs = [spec(name, UP_AND_WAIT, mark=mark) for name in ("a", "b")]
    with Supervisor(specs, logs=tmp_path) as supervisor:
        assert [(s.name, s.state, s.restarts) for s in supervisor.status()] == [
            ("a", "running", 0),
            ("b", "running", 0),
        ]
        until(lambda: lines(tmp_path / "a.log") == lines(tmp_path / "b.log") == ["up"])
    assert marked(mark) == set()
    assert {s.state for s in supervisor.status()} == {"stopped"}


def test_stop_may_be_repeated(tmp_path: Path) -> None:
    said: list[str] = []
    with Supervisor([spec("a", UP_AND_WAIT)], logs=tmp_path, say=said.append) as supervisor:
        supervisor.stop()
        supervisor.stop()
    assert said == ["Started a.", "Stopping a.", "Everything has stopped."]


def test_stop_ends_a_wait(tmp_path: Path) -> None:
    with Supervisor([spec("a", UP_AND_WAIT)], logs=tmp_path) as supervisor:
        assert not supervisor.wait(timeout_s=0)
        supervisor.stop()
        assert supervisor.wait()


def test_a_command_that_dies_is_started_again(tmp_path: Path) -> None:
    policy = RestartPolicy(first_s=0.01)
    with Supervisor([spec("a", UP_AND_WAIT)], logs=tmp_path, policy=policy) as supervisor:
        first = one(supervisor).pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        until(lambda: one(supervisor).restarts == 1)
        assert one(supervisor).state == "running"
        assert one(supervisor).pid != first


def test_the_pauses_double_up_to_the_longest(tmp_path: Path) -> None:
    said: list[str] = []
    policy = HASTY.model_copy(update={"deaths": 5})
    with (
        Supervisor([spec("a", FAIL)], logs=tmp_path, policy=policy, say=said.append) as supervisor,
        pytest.raises(WorkersError),
    ):
        supervisor.wait(timeout_s=60)
    pauses = [line.partition("again in ")[2].split()[0] for line in said if "again in" in line]
    assert pauses == ["0.01", "0.02", "0.04", "0.04"]


def test_a_command_that_keeps_dying_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    with Supervisor([spec("a", FAIL)], logs=tmp_path, policy=HASTY) as supervisor:
        with pytest.raises(WorkersError, match="exit code 7") as caught:
            supervisor.wait(timeout_s=60)
        with pytest.raises(WorkersError):
            supervisor.check()
        assert one(supervisor).state == "failed"
    assert str(tmp_path / "a.log") in str(caught.value)
    assert str(caught.value).endswith("no luck")
    assert lines(tmp_path / "a.log") == ["no luck"] * HASTY.deaths


def test_deaths_after_a_long_life_are_not_counted(tmp_path: Path) -> None:
    policy = HASTY.model_copy(update={"stable_s": 0.0, "deaths": 2})
    with Supervisor([spec("a", FAIL)], logs=tmp_path, policy=policy) as supervisor:
        until(lambda: one(supervisor).restarts >= 4)
        supervisor.check()


def test_one_command_given_up_leaves_the_others_running(tmp_path: Path) -> None:
    specs = [spec("a", FAIL), spec("b", UP_AND_WAIT)]
    with Supervisor(specs, logs=tmp_path, policy=HASTY) as supervisor:
        until(lambda: supervisor.status()[0].state == "failed")
        assert supervisor.status()[1].state == "running"


def test_a_broker_that_dies_is_started_again_and_outlives_the_workers(tmp_path: Path) -> None:
    policy = RestartPolicy(first_s=0.01)
    with EmbeddedBroker.start(tmp_path) as broker:
        with Supervisor([], logs=tmp_path, broker=broker, policy=policy) as supervisor:
            first = broker.pid
            os.kill(first, signal.SIGKILL)
            until(lambda: one(supervisor).restarts == 1)
            assert until(lambda: read_broker_url(tmp_path)) == broker.url
        assert broker.child.alive()
        assert broker.pid != first


PROGRAM = """
import sys, time
from pathlib import Path
from workers.processes import ChildSpec
from workers.supervisor import Supervisor
specs = [ChildSpec.model_validate_json(text) for text in sys.argv[2:]]
with Supervisor(specs, logs=Path(sys.argv[1]), say=lambda line: print(line, flush=True)) as all:
    all.wait()
print("left", flush=True)
"""


@contextmanager
def supervise(logs: Path, *specs: ChildSpec) -> Iterator[subprocess.Popen[str]]:
    """A supervising process without a terminal, whose output can be read."""
    texts = [one.model_dump_json() for one in specs]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(logs), *texts],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as program:
        try:
            until(lambda: all(lines(logs / f"{one.name}.log") for one in specs))
            yield program
        finally:
            program.kill()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_stops_everything_and_the_program_goes_on(
    tmp_path: Path, mark: str, signum: signal.Signals
) -> None:
    with supervise(tmp_path, spec("a", UP_AND_WAIT, mark=mark)) as program:
        program.send_signal(signum)
        output, _ = program.communicate(timeout=20)
    assert output.splitlines() == [
        "Started a.",
        "Stopping a.",
        "Everything has stopped.",
        "left",
    ]
    assert program.returncode == 0
    assert marked(mark) == set()


def test_a_second_signal_kills_what_will_not_end(tmp_path: Path, mark: str) -> None:
    stubborn = spec("a", IGNORE_TERM + UP_AND_WAIT, mark=mark, grace_s=100)
    with supervise(tmp_path, stubborn) as program:
        assert program.stdout is not None
        program.send_signal(signal.SIGINT)
        assert [program.stdout.readline() for _ in range(2)] == ["Started a.\n", "Stopping a.\n"]
        program.send_signal(signal.SIGINT)
        program.communicate(timeout=20)
    assert program.returncode == 0
    assert marked(mark) == set()


def test_nothing_is_left_when_the_supervisor_is_killed(tmp_path: Path, mark: str) -> None:
    forking = f"import os; os.fork() or os.setsid(); {IGNORE_TERM}{UP_AND_WAIT}"
    specs = [spec(name, forking, mark=mark, grace_s=100) for name in ("a", "b")]
    with supervise(tmp_path, *specs) as program:
        # Two reapers, two commands, two forks of theirs.
        until(lambda: len(marked(mark)) == 6)
        program.kill()
    until(lambda: not marked(mark), within_s=10)


def test_an_error_in_the_block_stops_everything_and_passes_on(tmp_path: Path, mark: str) -> None:
    with (
        pytest.raises(LookupError),
        Supervisor([spec("a", UP_AND_WAIT, mark=mark)], logs=tmp_path),
    ):
        raise LookupError
    assert marked(mark) == set()


def test_the_signals_are_handed_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Supervisor([spec("a", UP_AND_WAIT)], logs=tmp_path):
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_whole_afin_is_five_workers_and_flower() -> None:
    specs = standard_specs(Settings(), python="py", flower_port=5555)
    assert [one.name for one in specs] == [
        "scrape",
        "gpu",
        "train",
        "cpu",
        "control",
        "web",
        "flower",
    ]
    assert specs[0].argv == ("py", "-m", "workers", "scrape")
    assert specs[-1].argv == ("py", "-m", "workers", "flower")
    assert specs[-1].env["AFIN_FLOWER_PORT"] == "5555"


def test_the_brokers_address_travels_in_the_environment_only() -> None:
    settings = Settings(broker_url=SecretStr("redis://:hunter2@127.0.0.1/0"))
    for one in standard_specs(settings, env={"AFIN_LOG_LEVEL": "DEBUG"}):
        assert one.env["AFIN_BROKER_URL"] == "redis://:hunter2@127.0.0.1/0"
        assert one.env["AFIN_LOG_LEVEL"] == "DEBUG"
        assert not any("hunter2" in word for word in one.argv)


def test_numeric_libraries_run_on_one_thread_where_a_process_forks() -> None:
    threads = {one.name: one.env.get("OMP_NUM_THREADS") for one in standard_specs(Settings())}
    assert threads["cpu"] == "1"
    assert threads["gpu"] is None


@pytest.mark.parametrize("loopback", [True, False, frozenset({"127.0.0.1:80", "[::1]:81"})])
def test_another_process_reads_the_same_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loopback: bool | frozenset[str]
) -> None:
    settings = Settings(
        data_dir=tmp_path,
        broker_url=SecretStr("redis://x"),
        fetch_allow_loopback=loopback,
        sweep_s=0.5,
        shard_posts=7,
    )
    for name, value in settings_env(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_a_relative_folder_reaches_the_workers_as_an_absolute_one() -> None:
    assert settings_env(Settings(data_dir=Path("x")))["AFIN_DATA_DIR"] == str(Path.cwd() / "x")
