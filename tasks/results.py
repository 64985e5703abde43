"""Where headers of chords are counted: Celery's Redis backend, without listening for results."""

import logging
from functools import cached_property
from typing import Any, TypeVar

from celery import Signature
from celery.backends.redis import RedisBackend

log = logging.getLogger(__name__)

Pending = TypeVar("Pending")

COUNT = """
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
local size = redis.call('GET', KEYS[2])
return size and redis.call('SCARD', KEYS[1]) >= tonumber(size) and 1 or 0
"""
"""Counts a header task of a chord, each once, and says whether all have been counted."""


class CountingBackend(RedisBackend):  # type: ignore[misc]  # Celery has no types
    """Counts finished header tasks; who wants to know how work stands asks the database.

    Celery's own also subscribes to the result of every task and of every member of a chord that it
    sends: round trips of the feeder for answers that nobody reads. So ``AsyncResult.get`` does not
    work here. And it keeps what headers returned for their body: ours take nothing from them.
    """

    @cached_property
    def _count(self) -> Any:
        return self.client.register_script(COUNT)

    def on_task_call(self, _producer: object, _task_id: str) -> None:
        """Listen for nothing."""

    def add_pending_result(self, result: Pending, **_options: object) -> Pending:
        """Listen for nothing."""
        return result

    def remove_pending_result(self, result: Pending) -> Pending:
        """There is nothing to end."""
        return result

    def on_chord_part_return(
        self, request: Any, _state: str, _result: object, **_options: object
    ) -> None:
        """Count a header task that has ended, however it did, and send the body after the last.

        A worker that dies before its message is acknowledged does the last header again, which
        then sends the body if that was not sent; sent twice, it finds its work done.
        """
        group, size = (self.get_key_for_group(request.group, suffix) for suffix in (".d", ".s"))
        part = f"{request.id}:{request.group_index}"
        if not self._count(keys=[group, size], args=[part, self.chord_expires]):
            return
        body = Signature.from_dict(request.chord, app=self.app)
        try:
            body.delay()
        except Exception:
            # What was counted stays, and the sweeper finds the accounts that wait for this.
            log.exception("%s of chord %s could not be sent", body.task, request.group)
        else:
            self.client.delete(group, size)
