"""Maps of posts.

Revision: 0008, after 0007.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "maps",
        sa.Column("bundle_id", sa.String(length=40), nullable=False),
        sa.Column("view", sa.String(length=5), nullable=False),
        sa.Column("asked_at", INSTANT, nullable=True),
        sa.Column("made_at", INSTANT, nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("posts", sa.Integer(), nullable=False),
        sa.Column("groups", JSON, nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["bundle_id"], ["bundles.id"], name=op.f("fk_maps_bundle_id")),
        sa.PrimaryKeyConstraint("bundle_id", "view", name=op.f("pk_maps")),
    )
    op.create_table(
        "map_points",
        sa.Column("bundle_id", sa.String(length=40), nullable=False),
        sa.Column("view", sa.String(length=5), nullable=False),
        sa.Column("post_id", ID, nullable=False),
        sa.Column("x", sa.Float(), nullable=False),
        sa.Column("y", sa.Float(), nullable=False),
        sa.Column("category", sa.String(length=40), nullable=True),
        sa.Column("probability", sa.Float(), nullable=False),
        sa.Column("photo_sha256", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["bundle_id"], ["bundles.id"], name=op.f("fk_map_points_bundle_id")
        ),
        sa.ForeignKeyConstraint(
            ["post_id"], ["posts.id"], name=op.f("fk_map_points_post_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("bundle_id", "view", "post_id", name=op.f("pk_map_points")),
    )
    with op.batch_alter_table("map_points", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_map_points_post_id"), ["post_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("map_points", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_map_points_post_id"))
    op.drop_table("map_points")
    op.drop_table("maps")
