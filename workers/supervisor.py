"""Keeps a set of commands running until it is told to stop: `afin up` and `make demo`."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Literal, Self

from pydantic import SecretStr

from schemas.base import Frozen
from schemas.errors import AfinError, WorkersError
from schemas.settings import Settings
from workers.broker import EmbeddedBroker
from workers.kinds import worker_names
from workers.processes import Child, ChildSpec, describe_exit, stop_all

# A worker ends once its tasks have; what it was at is done again, so waiting long gains little.
WORKER_GRACE_S = 10.0
WEB_GRACE_S = 5.0
FLOWER_GRACE_S = 3.0

POLL_S = 0.1

ChildState = Literal["running", "waiting", "failed", "stopped"]


class RestartPolicy(Frozen):
    """When a command that ended unasked is started again.

    The pause doubles from ``first_s`` to ``longest_s`` with every quick death, which is one after
    less than ``stable_s``; the ``deaths``-th quick death in a row is the last.
    """

    first_s: float = 1.0
    longest_s: float = 30.0
    stable_s: float = 30.0
    deaths: int = 5


class ChildStatus(Frozen):
    """How one command stands; ``waiting`` means that it will be started again."""

    name: str
    state: ChildState
    pid: int | None
    restarts: int
    log: Path


@dataclass
class Slot:
    """A command's place: who fills it now, and what became of those before."""

    child: Child
    on_restart: Callable[[], None]
    started_at: float = 0.0
    restart_at: float | None = None
    quick_deaths: int = 0
    restarts: int = 0
    failure: str | None = None


class Supervisor:
    """Starts commands, restarts those that die, and stops all of them together.

    As a context manager in the main thread it also takes SIGINT and SIGTERM: the first raises
    KeyboardInterrupt where the program is (``wait`` just returns), leaving the block stops
    everything gracefully, and a second signal kills what is left. A ``broker`` is restarted too,
    but stopping it is left to whoever started it: workers need it until they have ended.
    ``say`` gets a line for people whenever something changes, also from another thread.
    """

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        logs: Path,
        broker: EmbeddedBroker | None = None,
        policy: RestartPolicy | None = None,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._children = [Child(spec, logs) for spec in specs]
        self._slots = [Slot(child, on_restart=lambda: None) for child in self._children]
        if broker is not None:
            now = time.monotonic()
            self._slots.append(Slot(broker.child, on_restart=broker.record, started_at=now))
        self._policy = policy or RestartPolicy()
        self._say = say
        self._lock = threading.RLock()
        self._monitor = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._interrupted = False
        self._hurry = False
        self._handlers: dict[int, Any] = {}

    def start(self) -> None:
        """Start all commands and keep an eye on them from a thread of our own."""
        for slot in self._slots:
            if slot.child in self._children:
                slot.child.start()
                slot.started_at = time.monotonic()
        self._say(f"Started {', '.join(child.spec.name for child in self._children)}.")
        self._monitor.start()

    def check(self) -> None:
        """Raise if a command has been given up; for programs that do not sit in ``wait``.

        Raises:
            WorkersError: says which, why, and what its log said last.
        """
        failures = [slot.failure for slot in self._slots if slot.failure is not None]
        if failures:
            raise WorkersError("\n".join(failures))

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for SIGINT, SIGTERM or ``stop``; True if one came before ``timeout_s``.

        Raises:
            WorkersError: a command has been given up.
        """
        try:
            self._woken.wait(timeout_s)
        except KeyboardInterrupt:
            return True
        self.check()
        return self._woken.is_set()

    def status(self) -> list[ChildStatus]:
        """How every command stands at this moment."""
        with self._lock:
            return [self._describe(slot) for slot in self._slots]

    def stop(self) -> None:
        """End all commands side by side, gracefully unless hurried; harmless when repeated."""
        self._interrupted = True
        already = self._stopping.is_set()
        self._stopping.set()
        self._woken.set()
        if self._monitor.ident is not None:
            self._monitor.join()
        alive = [child for child in self._children if child.alive()]
        if alive:
            self._say(f"Stopping {', '.join(child.spec.name for child in alive)}.")
        stop_all(self._children, hurry=lambda: self._hurry)
        if not already:
            self._say("Everything has stopped.")

    def __enter__(self) -> Self:
        """Take over the signals and start everything."""
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._handlers[signum] = signal.signal(signum, self._on_signal)
        try:
            self.start()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop everything and hand the signals back."""
        self._leave()

    def _leave(self) -> None:
        try:
            self.stop()
        finally:
            for signum, handler in self._handlers.items():
                signal.signal(signum, handler)
            self._handlers.clear()

    def _on_signal(self, _signum: int, _frame: FrameType | None) -> None:
        if self._interrupted:
            self._hurry = True
            return
        self._interrupted = True
        raise KeyboardInterrupt

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_S):
            with self._lock:
                for slot in self._slots:
                    self._tend(slot)

    def _tend(self, slot: Slot) -> None:
        """Start one command again if it has died and its pause is over."""
        now = time.monotonic()
        if slot.failure is not None or slot.child.alive():
            return
        if slot.restart_at is None:
            self._bury(slot, now)
        elif now >= slot.restart_at:
            self._restart(slot, now)

    def _restart(self, slot: Slot, now: float) -> None:
        name = slot.child.spec.name
        try:
            slot.child.start()
            slot.on_restart()
        except (OSError, AfinError) as error:
            # A full disk, say: this thread must live to try again.
            slot.restart_at = now + self._policy.longest_s
            self._say(f"{name} could not be started again: {error}")
            return
        slot.started_at, slot.restart_at = now, None
        slot.restarts += 1
        self._say(f"{name} has started again.")

    def _bury(self, slot: Slot, now: float) -> None:
        """Settle when a command that has just died is started again, if ever."""
        policy, child = self._policy, slot.child
        lived_s = now - slot.started_at
        slot.quick_deaths = slot.quick_deaths + 1 if lived_s < policy.stable_s else 0
        end = f"{child.spec.name} ended after {lived_s:.1f} s ({describe_exit(child.poll() or 0)})"
        if slot.quick_deaths >= policy.deaths:
            slot.failure = (
                f"{end} and is given up after {slot.quick_deaths} deaths in a row. "
                f"The last lines of {child.log}:\n{child.tail()}"
            )
            self._say(f"{end} and is given up; see {child.log}.")
            self._woken.set()
            return
        pause_s = min(policy.first_s * 2 ** max(0, slot.quick_deaths - 1), policy.longest_s)
        slot.restart_at = now + pause_s
        self._say(f"{end}; starting it again in {pause_s:g} s. Its log: {child.log}")

    def _describe(self, slot: Slot) -> ChildStatus:
        child = slot.child
        state: ChildState = "waiting"
        if child.alive():
            state = "running"
        elif slot.failure is not None:
            state = "failed"
        elif self._stopping.is_set():
            state = "stopped"
        pid = child.pid if state == "running" else None
        return ChildStatus(
            name=child.spec.name, state=state, pid=pid, restarts=slot.restarts, log=child.log
        )


def standard_specs(
    settings: Settings,
    *,
    python: str = sys.executable,
    env: Mapping[str, str] | None = None,
    flower_port: int | None = None,
    web_port: int | None = None,
) -> list[ChildSpec]:
    """The commands that make a whole afin: a worker of every kind, the pages, and Flower.

    Settings travel in the environment, as ``ps`` shows arguments to everybody; ``env`` is added
    on top of them. A port that is None is left to the settings.
    """
    # Logs go to files that people read, unless they were asked for otherwise.
    logs = {"AFIN_LOG_FORMAT": "text"} if settings.log_format == "auto" else {}
    shared = settings_env(settings) | dict(env or {}) | {"PYTHONUNBUFFERED": "1"} | logs
    # A process that forks must not have run a second thread of a numeric library before; and with
    # a process a core, more threads would only take turns.
    single = shared | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    specs = [
        ChildSpec(
            name=name,
            argv=(python, "-m", "workers", name),
            env=single if name.startswith("cpu") else shared,
            grace_s=WORKER_GRACE_S,
        )
        for name in worker_names(settings)
    ]
    port = {} if flower_port is None else {"AFIN_FLOWER_PORT": str(flower_port)}
    flower = (python, "-m", "workers", "flower")
    pages = {} if web_port is None else {"AFIN_WEB_PORT": str(web_port)}
    return [
        *specs,
        ChildSpec(name="web", argv=(python, "-m", "web"), env=shared | pages, grace_s=WEB_GRACE_S),
        ChildSpec(name="flower", argv=flower, env=shared | port | pages, grace_s=FLOWER_GRACE_S),
    ]


def settings_env(settings: Settings) -> dict[str, str]:
    """The environment from which another process reads the same settings.

    Only what was set, by the environment or by the caller; relative paths are made absolute.
    """
    found = {}
    for name in sorted(settings.model_fields_set):
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        elif isinstance(value, Path):
            value = value.absolute()
        if value is not None:
            listed = ",".join(sorted(value)) if isinstance(value, frozenset) else str(value)
            found[f"AFIN_{name.upper()}"] = listed
    return found
