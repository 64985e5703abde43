"""Stages of trainings: what they depend on and how long they took.

Revision: 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    with op.batch_alter_table("run_stages", schema=None) as batch_op:
        batch_op.add_column(sa.Column("mark", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("started_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("seconds", sa.Float(), nullable=True))
        batch_op.create_index(batch_op.f("ix_run_stages_mark"), ["mark"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("run_stages", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_run_stages_mark"))
        batch_op.drop_column("seconds")
        batch_op.drop_column("started_at")
        batch_op.drop_column("mark")
