"""Tables of events: what the platform told us, what it is told, and what still has to be erased."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from storage.columns import Id, Instant, Json, metadata

inbox = Table(
    "inbox",
    metadata,
    Column("id", Id, primary_key=True),
    # Long enough to be guessed by nobody: whoever knows it may read the event's status.
    Column("public_id", String(40), nullable=False, unique=True),
    Column("sender", String(60), nullable=False),
    Column("webhook_id", String(200), nullable=False),
    Column("type", String(40), nullable=False),
    Column("username", String(30), nullable=False),
    # The event as validated; null once it has been handled.
    Column("payload", Json),
    Column("reply", Boolean, nullable=False),
    Column("state", String(12), nullable=False),
    Column("influencer_id", BigInteger),
    Column("run_id", Id, ForeignKey("runs.id"), index=True),
    Column("attempts", Integer, nullable=False, default=0),
    # Not to be looked at before; the sweeper's clock.
    Column("next_at", Instant, nullable=False),
    Column("problem", Text),
    Column("received_at", Instant, nullable=False),
    Column("handled_at", Instant, index=True),
    UniqueConstraint("sender", "webhook_id"),
    Index(None, "state", "next_at"),
    Index(None, "username", "state"),
    Index(None, "sender", "received_at"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    # What is told, so that telling it again adds nothing.
    Column("key", String(200), nullable=False, unique=True),
    # By which the receiver knows a message that comes twice.
    Column("webhook_id", String(40), nullable=False, unique=True),
    Column("sender", String(60), nullable=False),
    Column("type", String(40), nullable=False),
    Column("username", String(30), nullable=False, index=True),
    Column("payload", Json),
    Column("state", String(12), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_at", Instant, nullable=False),
    Column("problem", Text),
    Column("created_at", Instant, nullable=False),
    Column("delivered_at", Instant),
    Index(None, "state", "next_at"),
)

doomed_blobs = Table(
    "doomed_blobs",
    metadata,
    # Photos that no row names any more and whose bytes still have to be erased.
    Column("sha256", String(64), primary_key=True),
    Column("created_at", Instant, nullable=False),
)
