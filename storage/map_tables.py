"""The tables of maps: one row a map, one a post on it."""

from sqlalchemy import Column, Float, ForeignKey, Integer, String, Table, Text

from storage.columns import Id, Instant, Json, metadata

maps = Table(
    "maps",
    metadata,
    Column("bundle_id", String(40), ForeignKey("bundles.id"), primary_key=True),
    Column("view", String(5), primary_key=True),
    # Set while somebody waits for it; the rest tells of the last one that was made.
    Column("asked_at", Instant),
    Column("made_at", Instant),
    Column("seconds", Float),
    Column("posts", Integer, nullable=False, default=0),
    Column("groups", Json, nullable=False),
    Column("problem", Text),
)

# Erased with their posts; names are read from the accounts themselves.
map_points = Table(
    "map_points",
    metadata,
    Column("bundle_id", String(40), ForeignKey("bundles.id"), primary_key=True),
    Column("view", String(5), primary_key=True),
    Column("post_id", Id, ForeignKey("posts.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("x", Float, nullable=False),
    Column("y", Float, nullable=False),
    Column("category", String(40)),
    Column("probability", Float, nullable=False),
    Column("photo_sha256", String(64)),
)
