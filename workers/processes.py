"""Commands that run beside us and never outlive us, each with its log and a graceful end."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import Field

from schemas.base import Frozen

MAX_LOG_BYTES = 5 * 2**20
"""A log larger than this when its command starts is set aside as ``.log.1``."""

ORPHAN_GRACE_S = 2.0
"""What a command gets to end by itself when its supervisor was killed."""

HUNG_REAPER_S = 5.0
"""How long past a command's grace its reaper is waited for before it is killed too."""

POLL_S = 0.02


class ChildSpec(Frozen):
    """What to run: ``env`` is added to our own environment, where secrets belong, not in ``argv``.

    ``grace_s`` is the time between SIGTERM and SIGKILL when the command is stopped.
    """

    name: str
    argv: tuple[str, ...] = Field(min_length=1)
    env: dict[str, str] = Field(default_factory=dict, repr=False)
    cwd: Path | None = None
    grace_s: float = Field(10.0, ge=0)


class Child:
    """One command in a session of its own, which ends with all its descendants when we do.

    Between us and the command stands ``workers/reaper.py``, which holds a pipe from us: however
    this process dies, the reaper sees the pipe close and ends the command and all that it
    started. Unlike PR_SET_PDEATHSIG alone this does not hang on the thread that started it, and
    it reaches the pool processes that a command forks. ``start`` may be called again after the
    command has ended; the rest may be called from any thread.
    """

    def __init__(self, spec: ChildSpec, logs: Path, *, pass_fds: Sequence[int] = ()) -> None:
        self.spec = spec
        self.log = logs.absolute() / f"{spec.name}.log"
        self._pass_fds = tuple(pass_fds)
        self._reaper: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._code: int | None = None
        self._log_start = 0
        self._lock = threading.RLock()

    @property
    def pid(self) -> int | None:
        """The command's own pid, known as soon as it was started once; waits some 30 ms for it."""
        with self._lock:
            status = self._reaper and self._reaper.stdout
            if self._pid is None and status and not status.closed:
                line = status.readline().strip()
                self._pid = int(line) if line else None
            return self._pid

    def start(self) -> None:
        """Start the command; a command that cannot be run ends with 127 and says why in its log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        rotate(self.log)
        reaper = Path(__file__).with_name("reaper.py")
        graces = (str(self.spec.grace_s), str(ORPHAN_GRACE_S))
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._close_pipes()
            self._reaper = subprocess.Popen(  # noqa: S603 - the caller's own command
                [sys.executable, "-I", "-S", str(reaper), *graces, *self.spec.argv],
                env=os.environ | self.spec.env,
                cwd=self.spec.cwd,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                pass_fds=self._pass_fds,
            )
            self._pid = self._code = None

    def poll(self) -> int | None:
        """The exit code once the command and all its descendants have ended, else None.

        128 + n stands for an end by signal n.
        """
        with self._lock:
            if self._reaper is None or self._code is not None:
                return self._code
            ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
            if os.waitid(os.P_PID, self._reaper.pid, ended) is None:
                return None
            # If the reaper itself was killed, its group may live on. Until we reap it, its pid,
            # which is the group's too, cannot go to another process.
            self._kill_group()
            code = self._reaper.wait()
            self._code = code if code >= 0 else 128 - code
            self._close_pipes()
            return self._code

    def alive(self) -> bool:
        """Whether the command was started and has not ended."""
        return self._reaper is not None and self.poll() is None

    def request_stop(self) -> None:
        """Ask for a graceful end (SIGTERM, then SIGKILL after the grace) and return at once."""
        self._order(b"T")

    def kill(self) -> None:
        """Have the command and its descendants killed at once; does not wait for it."""
        self._order(b"K")

    def stop(self) -> None:
        """End the command gracefully and wait for it; harmless when it is not running."""
        stop_all([self])

    def tail(self, lines: int = 15) -> str:
        """The last lines that the command has logged since it was started last."""
        with contextlib.suppress(FileNotFoundError), self.log.open("rb") as log:
            size_bytes = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, size_bytes - 200 * lines))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        return ""

    def kill_reaper(self) -> None:
        """Kill the reaper with the whole group: the last resort, should it not answer."""
        with self._lock:
            if self.alive():
                self._kill_group()

    def _order(self, order: bytes) -> None:
        if self._reaper is not None and self._reaper.stdin and not self._reaper.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._reaper.stdin.write(order)

    def _kill_group(self) -> None:
        if self._reaper is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._reaper.pid, signal.SIGKILL)

    def _close_pipes(self) -> None:
        if self._reaper is not None:
            self._pid = self.pid
            for pipe in (self._reaper.stdin, self._reaper.stdout):
                if pipe is not None:
                    pipe.close()


def stop_all(
    children: Sequence[Child], *, hurry: Callable[[], bool] = lambda: False
) -> dict[str, int]:
    """End all children gracefully, side by side, and wait for them.

    Returns the exit codes by name of those that were started at all. As soon as ``hurry`` says
    so, the rest are killed without waiting for their grace.
    """
    running = [child for child in children if child.alive()]
    for child in running:
        child.request_stop()
    started_at = time.monotonic()
    hurried = False
    while running := [child for child in running if child.alive()]:
        if hurry() and not hurried:
            hurried = True
            for child in running:
                child.kill()
        for child in running:
            if time.monotonic() - started_at > child.spec.grace_s + HUNG_REAPER_S:
                child.kill_reaper()
        time.sleep(POLL_S)
    codes = {child.spec.name: child.poll() for child in children}
    return {name: code for name, code in codes.items() if code is not None}


def rotate(log: Path, max_bytes: int = MAX_LOG_BYTES) -> None:
    """Set a log aside as ``.log.1`` if it has grown past ``max_bytes``; one old log is kept."""
    if log.exists() and log.stat().st_size > max_bytes:
        log.replace(log.with_name(log.name + ".1"))


def describe_exit(code: int) -> str:
    """Say an exit code as a person would (``exit code 1``, ``killed by SIGKILL``)."""
    if code <= 128:  # noqa: PLR2004 - the shell's convention: 128 + the signal
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(code - 128).name}"
    except ValueError:
        return f"exit code {code}"


def free_port() -> int:
    """A TCP port free on loopback at this moment; another process may still take it first."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
