"""Crawls: what they list and fetch, tagged posts, budgets, perceptual hashes.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "crawl_rates",
        sa.Column("source", sa.String(length=12), nullable=False),
        sa.Column("account", sa.String(length=16), nullable=False),
        sa.Column("limit", sa.BigInteger(), nullable=True),
        sa.Column("remaining", sa.BigInteger(), nullable=True),
        sa.Column("reset_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("source", "account", name=op.f("pk_crawl_rates")),
    )
    op.create_table(
        "crawl_requests",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("source", sa.String(length=12), nullable=False),
        sa.Column("account", sa.String(length=16), nullable=False),
        sa.Column("what", sa.String(length=100), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_crawl_requests")),
    )
    with op.batch_alter_table("crawl_requests", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_crawl_requests_source_account_asked_at"),
            ["source", "account", "asked_at"],
            unique=False,
        )

    op.create_table(
        "placeholders",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("learned_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_placeholders")),
    )
    op.create_table(
        "tagged_posts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("source", sa.String(length=12), nullable=False),
        sa.Column("external_id", sa.String(length=200), nullable=False),
        sa.Column("tag", sa.String(length=100), nullable=False),
        sa.Column("category", sa.String(length=40), nullable=False),
        sa.Column("caption", sa.Text(), nullable=False),
        sa.Column("caption_sha256", sa.String(length=64), nullable=True),
        sa.Column("username", sa.String(length=30), nullable=True),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tagged_posts")),
        sa.UniqueConstraint(
            "source", "external_id", "tag", name=op.f("uq_tagged_posts_source_external_id_tag")
        ),
    )
    with op.batch_alter_table("tagged_posts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tagged_posts_category"), ["category"], unique=False)

    op.create_table(
        "photo_bands",
        sa.Column("band", sa.Integer(), nullable=False),
        sa.Column("bits", sa.Integer(), nullable=False),
        sa.Column("photo_sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["photo_sha256"],
            ["photos.sha256"],
            name=op.f("fk_photo_bands_photo_sha256"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("band", "bits", "photo_sha256", name=op.f("pk_photo_bands")),
    )
    with op.batch_alter_table("photo_bands", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_photo_bands_photo_sha256"), ["photo_sha256"], unique=False
        )

    op.create_table(
        "tagged_post_photos",
        sa.Column("post_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("photo_sha256", sa.String(length=64), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("problem", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(
            ["photo_sha256"], ["photos.sha256"], name=op.f("fk_tagged_post_photos_photo_sha256")
        ),
        sa.ForeignKeyConstraint(
            ["post_id"],
            ["tagged_posts.id"],
            name=op.f("fk_tagged_post_photos_post_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("post_id", "position", name=op.f("pk_tagged_post_photos")),
    )
    with op.batch_alter_table("tagged_post_photos", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_tagged_post_photos_photo_sha256"), ["photo_sha256"], unique=False
        )

    op.create_table(
        "crawl_parts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("category", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("touched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("pages", sa.Integer(), nullable=False),
        sa.Column("found", sa.Integer(), nullable=False),
        sa.Column("idle_pages", sa.Integer(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.id"], name=op.f("fk_crawl_parts_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_crawl_parts")),
        sa.UniqueConstraint(
            "run_id",
            "kind",
            "name",
            "category",
            name=op.f("uq_crawl_parts_run_id_kind_name_category"),
        ),
    )
    with op.batch_alter_table("crawl_parts", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_crawl_parts_run_id_state_id"), ["run_id", "state", "id"], unique=False
        )

    op.create_table(
        "crawl_urls",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("part_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("url_sha256", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("external_id", sa.String(length=200), nullable=False),
        sa.Column("credit", sa.Text(), nullable=False),
        sa.Column("category", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("touched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("shard", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(length=40), nullable=True),
        sa.Column("photo_sha256", sa.String(length=64), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["part_id"], ["crawl_parts.id"], name=op.f("fk_crawl_urls_part_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.id"], name=op.f("fk_crawl_urls_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_crawl_urls")),
        sa.UniqueConstraint("run_id", "url_sha256", name=op.f("uq_crawl_urls_run_id_url_sha256")),
    )
    with op.batch_alter_table("crawl_urls", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_crawl_urls_part_id"), ["part_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_crawl_urls_photo_sha256"), ["photo_sha256"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_crawl_urls_run_id_state_category_id"),
            ["run_id", "state", "category", "id"],
            unique=False,
        )
        batch_op.create_index(batch_op.f("ix_crawl_urls_shard"), ["shard"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_crawl_urls_url_sha256_state"), ["url_sha256", "state"], unique=False
        )

    op.create_table(
        "crawl_uses",
        sa.Column("url_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("use", sa.String(length=8), nullable=False),
        sa.Column("category", sa.String(length=40), nullable=False),
        sa.Column("target", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["url_id"], ["crawl_urls.id"], name=op.f("fk_crawl_uses_url_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "url_id", "use", "category", "target", "position", name=op.f("pk_crawl_uses")
        ),
    )
    with op.batch_alter_table("photos", schema=None) as batch_op:
        batch_op.add_column(sa.Column("phash", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("photos", schema=None) as batch_op:
        batch_op.drop_column("phash")
    op.drop_table("crawl_uses")
    op.drop_table("crawl_urls")
    op.drop_table("crawl_parts")
    op.drop_table("tagged_post_photos")
    op.drop_table("tagged_posts")
    op.drop_table("photo_bands")
    op.drop_table("placeholders")
    op.drop_table("crawl_requests")
    op.drop_table("crawl_rates")
