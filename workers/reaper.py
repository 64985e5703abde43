"""Stands between a supervisor and one of its commands, so that nothing outlives the supervisor.

Run as a script by path, with the standard library alone, so that it starts in milliseconds:
``reaper.py GRACE_S ORPHAN_GRACE_S COMMAND...``. Linux only.

Standard input is the lifeline, a pipe that only the supervisor holds open. A ``T`` on it asks for
a graceful stop, a ``K`` for an immediate one; its end means that the supervisor is gone, however
it died. As a child subreaper this process inherits every orphan of its command, also those that
left the process group, and ends only when all of them have. The command's pid goes to standard
output; what the command prints goes to standard error.
"""

import contextlib
import ctypes
import math
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

# From <linux/prctl.h>.
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

STOP = b"T"
KILL = b"K"
LOST = b""

OURS = (signal.SIGCHLD, signal.SIGTERM)

LIFELINE_FD = 0
STATUS_FD = 1
LOG_FD = 2


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process, for which the standard library has no function."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


def open_signal_pipe() -> int:
    """Turn SIGCHLD and SIGTERM into bytes on a pipe and return its reading end."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for signum in OURS:
        signal.signal(signum, lambda _signum, _frame: None)
    return reading


def launch(argv: list[str]) -> int:
    """Start the command and return its pid; it is killed if this process is."""
    reaper = os.getpid()
    # Held back, lest a stop that comes before the command is itself be lost on our handlers.
    signal.pthread_sigmask(signal.SIG_BLOCK, OURS)
    pid = os.fork()
    if pid == 0:
        become(argv, reaper)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OURS)
    return pid


def become(argv: list[str], reaper: int) -> NoReturn:
    """Replace this freshly forked process by the command; says on the log why it could not."""
    try:
        # Python itself ignores the latter two, which a command does not expect.
        for signum in (*OURS, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, OURS)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # The reaper may have died before the line above took hold.
        if os.getppid() == reaper:
            os.dup2(os.open(os.devnull, os.O_RDONLY), LIFELINE_FD)
            os.dup2(LOG_FD, STATUS_FD)
            os.execvp(argv[0], argv)  # noqa: S606 - the command is the caller's own
    except OSError as error:
        os.write(LOG_FD, f"{argv[0]} cannot be run: {error.strerror}\n".encode())
    os._exit(127)


def collect(child: int) -> int | None:
    """Reap whatever has ended; return the command's exit code once it is among it."""
    code = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
    return code


def await_order(watched: list[int], signals: int, timeout_s: float | None) -> bytes | None:
    """Wait for an order: STOP, KILL or LOST; None when time is up or a descendant ended."""
    ready, _, _ = select.select(watched, [], [], timeout_s)
    if LIFELINE_FD in ready:
        return os.read(LIFELINE_FD, 1)
    if signals in ready and signal.SIGTERM in os.read(signals, 512):
        return STOP
    return None


def watch(child: int, signals: int, grace_s: float, orphan_grace_s: float) -> int:
    """Wait for the command's end, stopping it when asked or orphaned; return its exit code."""
    watched = [LIFELINE_FD, signals]
    deadline = math.inf
    asked = False
    while (code := collect(child)) is None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            os.kill(child, signal.SIGKILL)
            deadline = left_s = math.inf
        order = await_order(watched, signals, None if left_s == math.inf else left_s)
        if order == KILL:
            os.kill(child, signal.SIGKILL)
        elif order is not None:
            if order == LOST:
                watched.remove(LIFELINE_FD)
                grace_s = min(grace_s, orphan_grace_s)
            # Only the command itself: the processes of its pool must finish what they are at.
            if not asked:
                os.kill(child, signal.SIGTERM)
                asked = True
            deadline = min(deadline, time.monotonic() + grace_s)
    return code


def list_children() -> list[int]:
    """The pids of this process's own children, zombies included, as /proc tells them."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                # The second field, a name in parentheses, may itself hold spaces and parentheses.
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if int(fields[1]) == os.getpid():
                    found.append(int(entry.name))
    return found


def kill_rest() -> None:
    """Kill every descendant: each death hands its own children to us, until there are none."""
    while True:
        for pid in list_children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def main(grace_s: str, orphan_grace_s: str, *argv: str) -> int:
    """Run the command to its end; return its exit code, or 128 + the signal that ended it."""
    signals = open_signal_pipe()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    child = launch(list(argv))
    with contextlib.suppress(BrokenPipeError):
        os.write(STATUS_FD, f"{child}\n".encode())
    code = watch(child, signals, float(grace_s), float(orphan_grace_s))
    kill_rest()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
