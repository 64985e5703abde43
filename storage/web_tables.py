"""The tables behind the pages: who stands where now, who may look, and what people decided."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from storage.columns import Id, Instant, Json, metadata


def _influencer() -> Column[int]:
    return Column(
        "influencer_id", Id, ForeignKey("influencers.id", ondelete="CASCADE"), primary_key=True
    )


def _user() -> Column[int]:
    return Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False)


# The verdict in force of each account, once more, as columns that can be sorted and filtered.
standings = Table(
    "standings",
    metadata,
    _influencer(),
    Column("bundle_id", String(40), nullable=False),
    Column("run_id", Id, nullable=False),
    Column("certainty", Float, nullable=False),
    # Categories on which the bundle's methods do not agree.
    Column("disputed", Integer, nullable=False),
    Column("usable", Integer, nullable=False),
    Column("unknown", Integer, nullable=False),
    Column("lacking", Integer, nullable=False),
    Column("enough", Boolean, nullable=False),
    # Likes and comments a post; null where no post tells.
    Column("interactions", Float),
    Column("concluded_at", Instant, nullable=False),
    # A copy, so that filters read one index and nothing else.
    Column("followers", BigInteger),
    # Whether posts count for several categories each, so that shares may sum to more than 1.
    Column("several", Boolean, nullable=False, server_default=false()),
    Index(
        "ix_standings_certain",
        "certainty",
        "influencer_id",
        "followers",
        "interactions",
        "usable",
    ),
    Index(None, "disputed", "certainty", "influencer_id"),
    Index(None, "bundle_id"),
    Index(
        "ix_standings_several",
        "influencer_id",
        sqlite_where=text("several"),
        postgresql_where=text("several"),
    ),
)

standing_shares = Table(
    "standing_shares",
    metadata,
    _influencer(),
    Column("category", String(40), primary_key=True),
    Column("posts", Integer, nullable=False),
    Column("share", Float, nullable=False),
    Column("low", Float, nullable=False),
    Column("high", Float, nullable=False),
    Column("threshold", Float, nullable=False),
    Column("chosen", Boolean, nullable=False),
    # Copies, so that a ranking reads one index and nothing else.
    Column("certainty", Float, nullable=False),
    Column("followers", BigInteger),
    Column("interactions", Float),
    Column("usable", Integer, nullable=False, server_default="0"),
    Index(
        "ix_standing_shares_ranking",
        "category",
        "share",
        "influencer_id",
        "followers",
        "interactions",
        "certainty",
        "chosen",
        "usable",
    ),
)

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(60), nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),
    Column("role", String(12), nullable=False),
    Column("created_at", Instant, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    _user(),
    Column("expires_at", Instant, nullable=False, index=True),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    _user(),
    Column("created_at", Instant, nullable=False),
)

campaigns = Table(
    "campaigns",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("weights", Json, nullable=False),
    Column("min_followers", BigInteger, nullable=False),
    Column("min_interactions", Float, nullable=False),
    Column("min_posts", Integer, nullable=False, server_default="5"),
    Column("author", String(60), nullable=False),
    Column("created_at", Instant, nullable=False),
)

reviews = Table(
    "reviews",
    metadata,
    Column("post_id", Id, ForeignKey("posts.id", ondelete="CASCADE"), primary_key=True),
    Column("reviewer", String(60), primary_key=True),
    Column("decision", String(10), nullable=False),
    Column("categories", Json, nullable=False),
    # What the model said then, so that a later reader sees what was corrected.
    Column("bundle_id", String(40)),
    Column("said", String(40)),
    Column("decided_at", Instant, nullable=False, index=True),
)

# Labels of training photos and tagged posts that a model, asked without them, did not believe.
doubts = Table(
    "doubts",
    metadata,
    Column("id", Id, primary_key=True),
    # "photo": the target is its content; "post": a tagged post, by source and external id.
    Column("kind", String(8), nullable=False),
    Column("target", String(300), nullable=False),
    Column("given", String(40), nullable=False),
    Column("suggested", String(40), nullable=False),
    Column("given_probability", Float, nullable=False),
    Column("suggested_probability", Float, nullable=False),
    Column("found_at", Instant, nullable=False),
    Column("skipped_by", Json, nullable=False),
    # Null until somebody has looked: "accept" (the label is right) or "correct".
    Column("decision", String(10)),
    Column("categories", Json),
    # The training example that took the place of the wrong one: earlier snapshots keep that.
    Column("example_id", BigInteger),
    Column("reviewer", String(60)),
    Column("decided_at", Instant),
    UniqueConstraint("kind", "target", "given"),
)

overrides = Table(
    "overrides",
    metadata,
    Column("id", Id, primary_key=True),
    Column(
        "influencer_id",
        Id,
        ForeignKey("influencers.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    # Null: the override was taken back.
    Column("categories", Json),
    Column("reason", Text, nullable=False),
    Column("author", String(60), nullable=False),
    Column("created_at", Instant, nullable=False),
)

word_evidence = Table(
    "word_evidence",
    metadata,
    _influencer(),
    Column("bundle_id", String(40), primary_key=True),
    Column("words", Json, nullable=False),
    Column("created_at", Instant, nullable=False),
)

# One row: counts over whole tables for monitoring, made now and then.
figures = Table(
    "figures",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("document", Json, nullable=False),
    Column("counted_at", Instant, nullable=False),
    # How long counting took.
    Column("seconds", Float, nullable=False),
)
