"""Doubted labels of training photos and tagged posts, and what people said of them.

Revision: 0009, after 0008.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    op.create_table(
        "doubts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("target", sa.String(length=300), nullable=False),
        sa.Column("given", sa.String(length=40), nullable=False),
        sa.Column("suggested", sa.String(length=40), nullable=False),
        sa.Column("given_probability", sa.Float(), nullable=False),
        sa.Column("suggested_probability", sa.Float(), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("skipped_by", json, nullable=False),
        sa.Column("decision", sa.String(length=10), nullable=True),
        sa.Column("categories", json, nullable=True),
        sa.Column("example_id", sa.BigInteger(), nullable=True),
        sa.Column("reviewer", sa.String(length=60), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_doubts")),
        sa.UniqueConstraint("kind", "target", "given", name=op.f("uq_doubts_kind_target_given")),
    )


def downgrade() -> None:
    op.drop_table("doubts")
