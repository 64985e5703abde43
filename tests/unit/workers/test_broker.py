"""The embedded broker, with the real server."""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError

from schemas.errors import BrokerError
from tasks.addresses import broker_record_path, read_broker_url
from tests.unit.workers.proc import running, until
from workers.broker import EmbeddedBroker
from workers.processes import free_port


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker.start(tmp_path) as one:
        yield one


@contextmanager
def client(url: str) -> Iterator[Redis]:
    one = Redis.from_url(url, decode_responses=True)
    try:
        yield one
    finally:
        one.close()


@contextmanager
def starting_process(data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that has started a broker, and the broker's pid."""
    program = (
        "import time; from pathlib import Path; from workers.broker import EmbeddedBroker\n"
        f"print(EmbeddedBroker.start(Path({str(data_dir)!r})).pid, flush=True); time.sleep(120)"
    )
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        try:
            yield parent, int(parent.stdout.readline())
        finally:
            parent.kill()


def kept(url: str, key: str) -> object:
    with client(url) as one:
        return one.get(key)


def keep(url: str, key: str) -> None:
    """Set a key and wait until it is on the disk."""
    with client(url) as one:
        one.set(key, "kept")
        assert one.waitaof(1, 0, 5000)[0] == 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("aof-load-truncated", "yes"),
        ("maxmemory-policy", "noeviction"),
        ("bind", "127.0.0.1"),
        ("save", ""),
    ],
)
def test_the_server_runs_with_the_settings_of_a_queue(
    broker: EmbeddedBroker, setting: str, value: str
) -> None:
    with client(broker.url) as one:
        assert one.config_get(setting)[setting] == value


def test_nobody_gets_in_without_the_password(broker: EmbeddedBroker) -> None:
    address = broker.url.partition("@")[2]
    with client(f"redis://{address}") as one, pytest.raises(AuthenticationError):
        one.ping()


def test_the_password_is_in_no_command_line(broker: EmbeddedBroker) -> None:
    password = broker.url.partition("://:")[2].partition("@")[0].encode()
    for pid in (broker.pid, int(Path(f"/proc/{broker.pid}/stat").read_text().split()[3])):
        assert password not in Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.parametrize("name", ["broker.json", "valkey.conf", "lock"])
def test_only_its_user_may_read_what_the_broker_writes(
    broker: EmbeddedBroker, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "broker"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_the_server_also_listens_on_a_socket_in_a_folder_with_a_very_long_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("d" * 100) / ("e" * 100)
    with EmbeddedBroker.start(long) as broker:
        monkeypatch.chdir(long / "broker")
        password = broker.url.partition("://:")[2].partition("@")[0]
        with closing(Redis(unix_socket_path="valkey.sock", password=password)) as one:
            assert one.ping()


def test_a_second_start_on_the_same_folder_is_refused_with_the_pid(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    with pytest.raises(BrokerError, match=rf"pid {broker.pid}\b"):
        EmbeddedBroker.start(tmp_path, lock_wait_s=0)
    assert read_broker_url(tmp_path) == broker.url


def test_two_folders_have_a_broker_each(broker: EmbeddedBroker, tmp_path: Path) -> None:
    with EmbeddedBroker.start(tmp_path / "other") as other:
        keep(other.url, "key")
        assert kept(broker.url, "key") is None


def test_what_was_kept_is_there_after_a_stop_and_a_start(tmp_path: Path) -> None:
    with EmbeddedBroker.start(tmp_path) as first, client(first.url) as one:
        one.set("key", "kept")
    with EmbeddedBroker.start(tmp_path) as second:
        assert kept(second.url, "key") == "kept"


def test_what_was_kept_is_there_after_the_server_was_killed(tmp_path: Path) -> None:
    with EmbeddedBroker.start(tmp_path) as first:
        keep(first.url, "key")
        os.kill(first.pid, signal.SIGKILL)
        until(lambda: not first.child.alive())
    with EmbeddedBroker.start(tmp_path) as second:
        assert kept(second.url, "key") == "kept"


def test_a_log_cut_off_in_the_middle_of_an_entry_loads_up_to_it(tmp_path: Path) -> None:
    with EmbeddedBroker.start(tmp_path) as first, client(first.url) as one:
        one.set("whole", "kept")
        one.set("cut", "lost")
    (log,) = (tmp_path / "broker" / "appendonlydir").glob("*.incr.aof")
    os.truncate(log, log.stat().st_size - 3)
    with EmbeddedBroker.start(tmp_path) as second:
        assert kept(second.url, "whole") == "kept"
        assert kept(second.url, "cut") is None


def test_a_log_that_cannot_be_loaded_is_an_error_with_the_servers_own_words(
    tmp_path: Path,
) -> None:
    EmbeddedBroker.start(tmp_path).stop()
    (log,) = (tmp_path / "broker" / "appendonlydir").glob("*.incr.aof")
    log.write_bytes(b"no such format\r\n" * 10)
    with pytest.raises(BrokerError, match="Bad file format") as caught:
        EmbeddedBroker.start(tmp_path)
    assert str(tmp_path / "logs" / "broker.log") in str(caught.value)


def test_a_failed_start_leaves_the_folder_free(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="did not answer"):
        EmbeddedBroker.start(tmp_path, ready_s=0)
    EmbeddedBroker.start(tmp_path, lock_wait_s=0).stop()


def test_a_port_taken_by_somebody_else_is_given_up_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        ports = [taken]
        pick = "workers.broker.free_port"
        monkeypatch.setattr(pick, lambda: ports.pop() if ports else free_port())
        with EmbeddedBroker.start(tmp_path) as broker:
            assert f":{taken}/" not in broker.url
            assert read_broker_url(tmp_path) == broker.url


def test_the_broker_dies_when_its_parent_is_killed_and_can_start_anew_at_once(
    tmp_path: Path,
) -> None:
    with starting_process(tmp_path) as (parent, pid):
        assert running(pid)
        parent.kill()
    with EmbeddedBroker.start(tmp_path) as second:
        assert not running(pid)
        assert second.pid != pid


def test_the_folder_stays_locked_while_a_killed_parents_server_is_still_ending(
    tmp_path: Path,
) -> None:
    with starting_process(tmp_path) as (parent, pid):
        # It cannot end by itself and is killed two seconds later.
        os.kill(pid, signal.SIGSTOP)
        parent.kill()
    with pytest.raises(BrokerError, match=rf"pid {pid}\b"):
        EmbeddedBroker.start(tmp_path, lock_wait_s=0)
    EmbeddedBroker.start(tmp_path, lock_wait_s=20).stop()


def test_the_recorded_address_is_that_of_the_running_server(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    assert read_broker_url(tmp_path) == broker.url


def test_no_address_is_recorded_after_a_stop_which_may_be_repeated(tmp_path: Path) -> None:
    broker = EmbeddedBroker.start(tmp_path)
    broker.stop()
    broker.stop()
    assert not broker_record_path(tmp_path).exists()
    assert read_broker_url(tmp_path) is None


def test_a_record_whose_process_is_gone_is_not_believed(tmp_path: Path) -> None:
    with EmbeddedBroker.start(tmp_path) as broker:
        os.kill(broker.pid, signal.SIGKILL)
        until(lambda: not broker.child.alive())
        assert broker_record_path(tmp_path).exists()
        assert read_broker_url(tmp_path) is None


def test_a_record_of_another_server_is_not_believed(broker: EmbeddedBroker, tmp_path: Path) -> None:
    path = broker_record_path(tmp_path)
    record = path.read_text()
    path.write_text(record.replace("redis://:", "redis://:another"))
    assert read_broker_url(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{}", '{"url": "redis://x", "pid": 1'])
def test_a_damaged_record_is_not_believed(tmp_path: Path, content: str) -> None:
    broker_record_path(tmp_path).parent.mkdir()
    broker_record_path(tmp_path).write_text(content)
    assert read_broker_url(tmp_path) is None


def test_a_folder_without_a_record_has_no_address(tmp_path: Path) -> None:
    assert read_broker_url(tmp_path) is None


def test_a_server_started_again_keeps_its_address_and_records_its_new_pid(tmp_path: Path) -> None:
    with EmbeddedBroker.start(tmp_path) as broker:
        first = broker.pid
        os.kill(first, signal.SIGKILL)
        until(lambda: not broker.child.alive())
        broker.child.start()
        broker.record()
        assert until(lambda: read_broker_url(tmp_path)) == broker.url
        assert broker.pid != first
