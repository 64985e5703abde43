"""The transport's clients, with the real broker."""

from kombu import Connection

from tasks.transport import Channel, Transport
from workers.broker import EmbeddedBroker


def test_a_channel_sends_everything_by_one_client(broker: EmbeddedBroker) -> None:
    with Connection(broker.url) as connection:
        assert isinstance(connection.transport, Transport)
        channel = connection.default_channel
        assert isinstance(channel, Channel)
        with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
            assert first is second
        assert channel.client is not first


def test_a_channel_that_lost_its_server_makes_another_client(broker: EmbeddedBroker) -> None:
    with Connection(broker.url) as connection:
        channel = connection.default_channel
        with channel.conn_or_acquire() as before:
            before.ping()
        channel._disconnect_pools()
        with channel.conn_or_acquire() as after:
            assert after is not before
            assert after.ping()
