"""Every table of afin; migrations/ brings a database to this state."""

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

# Their tables belong to the same metadata, which is whole once this module is imported.
from storage import crawl_tables, event_tables, map_tables, web_tables
from storage.columns import Id, Instant, Json, metadata

__all__ = [
    "SCHEMA_VERSION",
    "crawl_tables",
    "event_tables",
    "map_tables",
    "metadata",
    "web_tables",
]

SCHEMA_VERSION = "0010"
"""The newest migration; a test holds it to migrations/versions."""


def _influencer() -> Column[int]:
    return Column(
        "influencer_id", Id, ForeignKey("influencers.id", ondelete="CASCADE"), nullable=False
    )


photos = Table(
    "photos",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("format", String(8), nullable=False),
    Column("credit", Text, nullable=False, default=""),
    # dHash of 64 bits, signed; null where the pixels were never looked at.
    Column("phash", BigInteger),
    Column("created_at", Instant, nullable=False),
)

photo_bands = Table(
    "photo_bands",
    metadata,
    # Of two hashes that differ in at most three bits, one quarter is the same.
    Column("band", Integer, primary_key=True),
    Column("bits", Integer, primary_key=True),
    Column(
        "photo_sha256",
        String(64),
        ForeignKey("photos.sha256", ondelete="CASCADE"),
        primary_key=True,
        index=True,
    ),
)

influencers = Table(
    "influencers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("username", String(30), nullable=False, unique=True),
    Column("followers", BigInteger, index=True),
    Column("imported_from", Text, nullable=False, default=""),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

posts = Table(
    "posts",
    metadata,
    Column("id", Id, primary_key=True),
    _influencer(),
    Column("external_id", String(200), nullable=False),
    Column("caption", Text, nullable=False, default=""),
    # Of the caption as cleaned for the text model; null where nothing is left of it.
    Column("caption_sha256", String(64)),
    Column("posted_at", Instant),
    Column("likes", BigInteger),
    Column("comments", BigInteger),
    UniqueConstraint("influencer_id", "external_id"),
)

post_photos = Table(
    "post_photos",
    metadata,
    Column("post_id", Id, ForeignKey("posts.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    # One of the three is set: stored, still to be fetched, or unusable.
    Column("photo_sha256", String(64), ForeignKey("photos.sha256"), index=True),
    Column("url", Text),
    Column("problem", String(40)),
)

problems = Table(
    "problems",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source", String(200), nullable=False),
    Column("place", String(400), nullable=False),
    Column("reason", String(40), nullable=False, index=True),
    Column("detail", Text, nullable=False),
    Column("post_id", Id, ForeignKey("posts.id", ondelete="CASCADE"), index=True),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("source", "place", "reason"),
)

training_examples = Table(
    "training_examples",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source", String(100), nullable=False),
    Column("photo_sha256", String(64), ForeignKey("photos.sha256"), nullable=False, index=True),
    Column("category", String(40), nullable=False),
    Column("split", String(40), nullable=False),
    Column("caption", Text, nullable=False, default=""),
    UniqueConstraint("source", "photo_sha256", "category"),
)

truth_labels = Table(
    "truth_labels",
    metadata,
    Column("kind", String(10), primary_key=True),
    # A username, username/post id, or a photo's sha256.
    Column("target", String(240), primary_key=True),
    Column("labeller", String(100), primary_key=True),
    Column("categories", Json, nullable=False),
    Column("created_at", Instant, nullable=False),
)

image_vectors = Table(
    "image_vectors",
    metadata,
    Column(
        "photo_sha256",
        String(64),
        ForeignKey("photos.sha256", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("backbone", String(64), primary_key=True),
    # float16, little-endian; null where the photo could not be embedded for the reason beside it.
    Column("vector", LargeBinary),
    Column("problem", String(40)),
)

text_vectors = Table(
    "text_vectors",
    metadata,
    Column("caption_sha256", String(64), primary_key=True),
    Column("text_model", String(64), primary_key=True),
    # float16, little-endian; null where the model knows no word of the caption.
    Column("vector", LargeBinary),
)

bundles = Table(
    "bundles",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("state", String(12), nullable=False, index=True),
    Column("manifest", Json, nullable=False),
    Column("created_at", Instant, nullable=False),
)

# The newest row that was not withdrawn names the active bundle; rolling back withdraws it.
activations = Table(
    "activations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("bundle_id", String(40), ForeignKey("bundles.id"), nullable=False),
    Column("activated_at", Instant, nullable=False),
    Column("withdrawn_at", Instant),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(12), nullable=False),
    Column("state", String(12), nullable=False, index=True),
    Column("generation", Integer, nullable=False, default=0),
    Column("bundle_id", String(40), ForeignKey("bundles.id")),
    Column("params", Json, nullable=False),
    Column("error", Text),
    Column("created_at", Instant, nullable=False),
    Column("finished_at", Instant),
    # How many accounts it has, once it has ended: counting those of many runs takes long.
    Column("members", Integer),
)

run_members = Table(
    "run_members",
    metadata,
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column(
        "influencer_id",
        Id,
        ForeignKey("influencers.id", ondelete="CASCADE"),
        primary_key=True,
        index=True,
    ),
    Column("state", String(12), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    # When it was last sent out or last heard of; the sweeper's clock.
    Column("touched_at", Instant, nullable=False),
    Column("problem", Text),
    Index(None, "run_id", "state", "influencer_id"),
)

run_stages = Table(
    "run_stages",
    metadata,
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("stage", String(20), primary_key=True),
    Column("state", String(12), nullable=False),
    Column("done", Integer, nullable=False, default=0),
    Column("total", Integer, nullable=False, default=0),
    Column("attempts", Integer, nullable=False, default=0),
    Column("lease_until", Instant),
    Column("lease_holder", String(100)),
    Column("output", Json),
    Column("problem", Text),
    # A hash of all that its output depends on: the same again is not computed again.
    Column("mark", String(64), index=True),
    Column("started_at", Instant),
    # How long it took; null where its output was taken from an earlier run.
    Column("seconds", Float),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("post_id", Id, ForeignKey("posts.id", ondelete="CASCADE"), primary_key=True),
    Column("bundle_id", String(40), ForeignKey("bundles.id"), primary_key=True),
    Column("method", String(20), primary_key=True),
    Column("halves", String(5), nullable=False),
    Column("category", String(40)),
    # float32, little-endian, in the bundle's class order; empty where nothing could be judged.
    Column("probabilities", LargeBinary, nullable=False),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column(
        "influencer_id",
        Id,
        ForeignKey("influencers.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("bundle_id", String(40), ForeignKey("bundles.id"), primary_key=True),
    Column("run_id", Id, ForeignKey("runs.id"), primary_key=True),
    Column("verdicts", Json, nullable=False),
    Column("concluded_at", Instant, nullable=False),
    # The account's updated_at as it was when its posts were read: another one now means that the
    # verdict knows nothing of what came since.
    Column("posts_at", Instant),
    Index(None, "influencer_id", "concluded_at"),
)
