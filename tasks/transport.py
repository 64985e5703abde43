"""How messages come and go by Redis: Celery's own transport, with one client a channel."""

from typing import Any

from kombu.transport import redis


class Channel(redis.Channel):  # type: ignore[misc]  # kombu has no types
    """Sends, takes and acknowledges messages by one client.

    kombu's own makes a client for each of these, and redis-py takes longer to make one than to
    send a command by it: every client gets a table of all commands for itself.
    """

    _held: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:  # it waits on a connection of its own
            return super()._create_client(asynchronous=True)
        # kombu makes another pool after a fork, or once it has lost the server.
        if self._held is None or self._held.connection_pool is not self.pool:
            self._held = super()._create_client()
        return self._held


class Transport(redis.Transport):  # type: ignore[misc]  # kombu has no types
    """Celery's transport over such channels."""

    Channel = Channel
