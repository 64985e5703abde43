"""What keeps pages fast over many accounts: wider indexes, and figures kept where they are sought.

Revision: 0007, after 0006.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

RANKING = ["category", "share", "influencer_id", "followers", "interactions", "certainty"]


def upgrade() -> None:
    with op.batch_alter_table("influencers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_influencers_followers"), ["followers"], unique=False)

    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("members", sa.Integer(), nullable=True))
    op.execute(
        "UPDATE runs SET members = "
        "(SELECT count(*) FROM run_members WHERE run_members.run_id = runs.id) "
        "WHERE state IN ('done', 'failed', 'cancelled')"
    )

    with op.batch_alter_table("standings", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_standings_certainty_influencer_id"))
        batch_op.add_column(sa.Column("followers", sa.BigInteger(), nullable=True))
        batch_op.add_column(
            sa.Column("several", sa.Boolean(), nullable=False, server_default=sa.false())
        )
    op.execute(
        "UPDATE standings SET followers = "
        "(SELECT followers FROM influencers WHERE influencers.id = standings.influencer_id)"
    )
    op.execute(
        "UPDATE standings SET several = (usable < (SELECT coalesce(sum(posts), 0) "
        "FROM standing_shares WHERE standing_shares.influencer_id = standings.influencer_id))"
    )
    with op.batch_alter_table("standings", schema=None) as batch_op:
        batch_op.create_index(
            "ix_standings_certain",
            ["certainty", "influencer_id", "followers", "interactions"],
            unique=False,
        )
        batch_op.create_index(batch_op.f("ix_standings_bundle_id"), ["bundle_id"], unique=False)
        batch_op.create_index(
            "ix_standings_several",
            ["influencer_id"],
            unique=False,
            sqlite_where=sa.text("several"),
            postgresql_where=sa.text("several"),
        )

    with op.batch_alter_table("standing_shares", schema=None) as batch_op:
        batch_op.drop_index("ix_standing_shares_ranking")
        batch_op.create_index("ix_standing_shares_ranking", [*RANKING, "chosen"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("standing_shares", schema=None) as batch_op:
        batch_op.drop_index("ix_standing_shares_ranking")
        batch_op.create_index("ix_standing_shares_ranking", RANKING, unique=False)

    with op.batch_alter_table("standings", schema=None) as batch_op:
        batch_op.drop_index("ix_standings_several")
        batch_op.drop_index(batch_op.f("ix_standings_bundle_id"))
        batch_op.drop_index("ix_standings_certain")
    # Not in a batch: SQLite would replace the table by a copy, which others refer to.
    op.drop_column("standings", "several")
    op.drop_column("standings", "followers")
    with op.batch_alter_table("standings", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_standings_certainty_influencer_id"),
            ["certainty", "influencer_id"],
            unique=False,
        )

    op.drop_column("runs", "members")

    with op.batch_alter_table("influencers", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_influencers_followers"))
