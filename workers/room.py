"""Room kept for new accounts: slots of a worker that bulk work never gets.

A worker that took bulk work into every slot would let a new account wait for the first of them to
end, however high its queue's order. So its pool has some slots more, and those are filled from the
queue of new accounts alone, by a second consumer with a channel and a limit of its own.
"""

from typing import Any

from celery import Celery
from celery.bootsteps import ConsumerStep
from kombu import Consumer
from kombu.common import ignore_errors


def keep_room(app: Celery, queue: str, slots: int) -> None:
    """Have this process's worker, once it starts, fill so many of its slots from one queue alone.

    Its pool must have them beside those that it fills from all its queues.
    """

    class Room(ConsumerStep):  # type: ignore[misc]  # Celery has no types
        """Consumes from one queue beside Celery's own consumer."""

        # Its strategies for tasks are made there.
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def __init__(self, consumer: Any, **options: Any) -> None:
            super().__init__(consumer, **options)
            # Celery's own consumer takes as many messages as the pool has slots: leave ours out.
            consumer.initial_prefetch_count = max(1, consumer.initial_prefetch_count - slots)

        def get_consumers(self, channel: Any) -> list[Consumer]:
            made = Consumer(
                channel,
                queues=[app.amqp.queues[queue]],
                accept=app.conf.accept_content,
                on_message=self._consumer.create_task_handler(),
            )
            made.qos(prefetch_count=slots)
            return [made]

        def start(self, consumer: Any) -> None:
            self._consumer = consumer
            super().start(consumer)

        def stop(self, consumer: Any) -> None:
            # The channel stays open: tasks at work still have to be acknowledged by it.
            for one in self.consumers or []:
                ignore_errors(consumer.connection, one.cancel)

    # Nothing may be taken away from that limit after a lost connection: it is not the pool's size.
    app.conf.worker_enable_prefetch_count_reduction = False
    app.steps["consumer"].add(Room)
