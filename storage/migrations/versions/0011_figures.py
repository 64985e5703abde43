"""Figures for monitoring that are counted now and then, and totals of crawls that have ended.

Revision: 0011, after 0009.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "figures",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "document", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False
        ),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_figures")),
    )
    with op.batch_alter_table("inbox", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_inbox_handled_at"), ["handled_at"], unique=False)
    op.execute(
        "UPDATE runs SET members = "
        "(SELECT count(*) FROM crawl_urls WHERE crawl_urls.run_id = runs.id) "
        "WHERE kind = 'crawl' AND state IN ('done', 'failed', 'cancelled')"
    )


def downgrade() -> None:
    op.execute("UPDATE runs SET members = 0 WHERE kind = 'crawl' AND members IS NOT NULL")
    with op.batch_alter_table("inbox", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_inbox_handled_at"))
    op.drop_table("figures")
