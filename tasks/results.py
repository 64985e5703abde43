"""Where headers of chords are counted: Celery's Redis backend, without listening for results."""

from typing import TypeVar

from celery.backends.redis import RedisBackend

Pending = TypeVar("Pending")


class CountingBackend(RedisBackend):  # type: ignore[misc]  # Celery has no types
    """Counts finished header tasks; who wants to know how work stands asks the database.

    Celery's own also subscribes to the result of every task and of every member of a chord that it
    sends: round trips of the feeder for answers that nobody reads. So ``AsyncResult.get`` does not
    work here.
    """

    def on_task_call(self, _producer: object, _task_id: str) -> None:
        """Listen for nothing."""

    def add_pending_result(self, result: Pending, **_options: object) -> Pending:
        """Listen for nothing."""
        return result

    def remove_pending_result(self, result: Pending) -> Pending:
        """There is nothing to end."""
        return result
