"""Tables of crawls: what they list, fetch and may still ask, and the posts found by tag."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from storage.columns import Id, Instant, metadata

tagged_posts = Table(
    "tagged_posts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source", String(12), nullable=False),
    Column("external_id", String(200), nullable=False),
    Column("tag", String(100), nullable=False),
    # What the tag stands for; whether the post is about it is another question.
    Column("category", String(40), nullable=False, index=True),
    Column("caption", Text, nullable=False, default=""),
    Column("caption_sha256", String(64)),
    Column("username", String(30)),
    Column("posted_at", Instant),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("source", "external_id", "tag"),
)

tagged_post_photos = Table(
    "tagged_post_photos",
    metadata,
    Column("post_id", Id, ForeignKey("tagged_posts.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    # One of the three is set: stored, still to be fetched, or unusable.
    Column("photo_sha256", String(64), ForeignKey("photos.sha256"), index=True),
    Column("url", Text),
    Column("problem", String(40)),
)

crawl_parts = Table(
    "crawl_parts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    # A synset, a search, a tag, an account: whatever a source lists page by page.
    Column("kind", String(12), nullable=False),
    Column("name", String(200), nullable=False),
    Column("category", String(40), nullable=False, default=""),
    Column("state", String(12), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("touched_at", Instant, nullable=False),
    # Not to be asked for before; the source's budget or its bad day says so.
    Column("not_before", Instant),
    # Where the next page begins; null before the first one.
    Column("cursor", Text),
    Column("pages", Integer, nullable=False, default=0),
    Column("found", Integer, nullable=False, default=0),
    # Pages in a row that brought nothing new: some sources never say that it was the last.
    Column("idle_pages", Integer, nullable=False, default=0),
    Column("problem", Text),
    UniqueConstraint("run_id", "kind", "name", "category"),
    Index(None, "run_id", "state", "id"),
)

crawl_urls = Table(
    "crawl_urls",
    metadata,
    Column("id", Id, primary_key=True),
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column(
        "part_id", Id, ForeignKey("crawl_parts.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("url", Text, nullable=False),
    Column("url_sha256", String(64), nullable=False),
    Column("host", String(255), nullable=False),
    Column("external_id", String(200), nullable=False),
    Column("credit", Text, nullable=False, default=""),
    # Under which it was found first; the limit of a crawl counts by it.
    Column("category", String(40), nullable=False, default=""),
    Column("state", String(12), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("touched_at", Instant, nullable=False),
    # The message that it was last sent out with.
    Column("shard", BigInteger, index=True),
    # How it ended: stored, or the reason why not.
    Column("outcome", String(40)),
    Column("photo_sha256", String(64), index=True),
    Column("size_bytes", BigInteger),
    UniqueConstraint("run_id", "url_sha256"),
    # Without the state, which changes twice: the entry would move each time, anywhere in the index.
    Index(None, "url_sha256"),
    Index(None, "run_id", "state", "category", "id"),
)

crawl_uses = Table(
    "crawl_uses",
    metadata,
    Column("url_id", Id, ForeignKey("crawl_urls.id", ondelete="CASCADE"), primary_key=True),
    # A training example, or a place in a tagged post or in an account's post.
    Column("use", String(8), primary_key=True),
    Column("category", String(40), primary_key=True),
    Column("target", BigInteger, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True),
)

placeholders = Table(
    "placeholders",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("learned_at", Instant, nullable=False),
)

crawl_requests = Table(
    "crawl_requests",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source", String(12), nullable=False),
    # A hash of the key or account that asked: budgets are theirs.
    Column("account", String(16), nullable=False),
    Column("what", String(100), nullable=False),
    Column("asked_at", Instant, nullable=False),
    Index(None, "source", "account", "asked_at"),
)

crawl_rates = Table(
    "crawl_rates",
    metadata,
    Column("source", String(12), primary_key=True),
    Column("account", String(16), primary_key=True),
    Column("limit", BigInteger),
    Column("remaining", BigInteger),
    Column("reset_at", Instant),
    # Not to be asked before: it told us to slow down.
    Column("not_before", Instant),
)
