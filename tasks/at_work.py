"""What a thread is at work on: the ids of task, run and account that logs and traces carry."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import MappingProxyType
from typing import Any

from celery import Task
from celery.signals import task_postrun, task_prerun

Ids = Mapping[str, object]

NOTHING: Ids = MappingProxyType({})
NAMES = {"run_id": "run", "influencer_id": "account", "event_id": "event"}
"""Which arguments of tasks are ids worth telling, and what they are called there."""

ACCOUNTS = ("first_account", "last_account")
"""Arguments of tasks of several accounts; where they are the same, that is the account."""

_ids: ContextVar[Ids] = ContextVar("at_work", default=NOTHING)


def ids_at_work() -> Ids:
    """Return the ids of what this thread, or this part of a loop, is at work on."""
    return _ids.get()


@contextmanager
def at_work(**ids: object) -> Iterator[None]:
    """Add ids for the length of a block; what it starts on the loop carries them along."""
    token = _ids.set({**_ids.get(), **ids})
    try:
        yield
    finally:
        _ids.reset(token)


def add_to_task(**ids: object) -> None:
    """Add ids until the task at hand ends."""
    _ids.set({**_ids.get(), **ids})


def follow_tasks() -> None:
    """Let every task of this process carry its ids."""
    task_prerun.connect(_begin, dispatch_uid="afin.at_work")
    task_postrun.connect(_end, dispatch_uid="afin.at_work")


def ids_of_task(task: Task, task_id: str, args: tuple[Any, ...]) -> dict[str, object]:
    """Return the ids of one task, told from the names of its arguments."""
    ids: dict[str, object] = {"task": task.name, "task_id": task_id}
    given = {name: args[place] for place, name in _places(task) if place < len(args)}
    ids |= {NAMES[name]: value for name, value in given.items() if name in NAMES}
    first, last = (given.get(name) for name in ACCOUNTS)
    if first is not None and first == last:
        ids["account"] = first
    return ids


@cache
def _places(task: Task) -> tuple[tuple[int, str], ...]:
    names = inspect.signature(task.run).parameters
    known = {*NAMES, *ACCOUNTS}
    return tuple((place, name) for place, name in enumerate(names) if name in known)


def _begin(task_id: str, task: Task, args: tuple[Any, ...], **_signal: object) -> None:
    # In place of what was there: a task that was rejected has no end.
    _ids.set(ids_of_task(task, task_id, args))


def _end(**_signal: object) -> None:
    _ids.set(NOTHING)
