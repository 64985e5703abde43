"""Whose turn a device is: training waits between steps while work for a new account is there."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_S = 0.005


class DeviceTurns:
    """An advisory lock for each device, a file that the processes of one machine share.

    Whoever does urgent work holds it in common with others like it; a training asks before each
    step whether anybody does. Only the training ever waits, and a killed process holds nothing:
    the kernel lets go of its locks.
    """

    def __init__(self, data_dir: Path, device: str) -> None:
        name = "cuda:0" if device == "cuda" else device
        folder = data_dir.absolute() / "turns"
        folder.mkdir(parents=True, exist_ok=True)
        # A data folder may be shared by machines, a device never is.
        self._path = folder / f"{socket.gethostname()}-{name.replace(':', '-')}.lock"

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """Keep trainings from their next step while the block runs."""
        handle = self._open()
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
            yield
        finally:
            os.close(handle)

    def wait(self, patience_s: float) -> None:
        """Return once nobody does urgent work, or after ``patience_s``: training goes on slowly."""
        end = time.monotonic() + patience_s
        handle = self._open()
        try:
            while not _is_free(handle) and time.monotonic() < end:
                time.sleep(POLL_S)
        finally:
            os.close(handle)

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _is_free(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(handle, fcntl.LOCK_UN)
    return True
