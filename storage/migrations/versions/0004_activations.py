"""Which bundles were active since when, so that the one before can be brought back."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "activations",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("bundle_id", sa.String(length=40), nullable=False),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["bundle_id"], ["bundles.id"], name=op.f("fk_activations_bundle_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activations")),
    )
    # A retired bundle was active once; of several, the newest is taken to have been the last.
    op.execute(
        "INSERT INTO activations (bundle_id, activated_at) "
        "SELECT id, created_at FROM bundles WHERE state IN ('active', 'retired') "
        "ORDER BY CASE state WHEN 'active' THEN 1 ELSE 0 END, created_at, id"
    )


def downgrade() -> None:
    op.drop_table("activations")
