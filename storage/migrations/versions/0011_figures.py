"""Figures for monitoring, totals of crawls that have ended, and how many posts a ranking asks for.

Revision: 0011, after 0010.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"

CERTAIN = ["certainty", "influencer_id", "followers", "interactions"]
RANKING = [
    "category",
    "share",
    "influencer_id",
    "followers",
    "interactions",
    "certainty",
    "chosen",
]


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
    with op.batch_alter_table("influencers", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_influencers_username_id"), ["username", "id"], unique=False
        )
    op.execute(
        "UPDATE runs SET members = "
        "(SELECT count(*) FROM crawl_urls WHERE crawl_urls.run_id = runs.id) "
        "WHERE kind = 'crawl' AND state IN ('done', 'failed', 'cancelled')"
    )

    op.add_column(
        "campaigns", sa.Column("min_posts", sa.Integer(), nullable=False, server_default="5")
    )
    op.add_column(
        "standing_shares", sa.Column("usable", sa.Integer(), nullable=False, server_default="0")
    )
    op.execute(
        "UPDATE standing_shares SET usable = coalesce((SELECT usable FROM standings "
        "WHERE standings.influencer_id = standing_shares.influencer_id), 0)"
    )
    _make_indexes([*CERTAIN, "usable"], [*RANKING, "usable"])


def downgrade() -> None:
    _make_indexes(CERTAIN, RANKING)
    # Not in a batch: SQLite would replace the table by a copy, which others refer to.
    op.drop_column("standing_shares", "usable")
    op.drop_column("campaigns", "min_posts")
    op.execute("UPDATE runs SET members = 0 WHERE kind = 'crawl' AND members IS NOT NULL")
    with op.batch_alter_table("influencers", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_influencers_username_id"))
    with op.batch_alter_table("inbox", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_inbox_handled_at"))
    op.drop_table("figures")


def _make_indexes(certain: list[str], ranking: list[str]) -> None:
    for table, name, columns in (
        ("standings", "ix_standings_certain", certain),
        ("standing_shares", "ix_standing_shares_ranking", ranking),
    ):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_index(name)
            batch_op.create_index(name, columns, unique=False)
