"""Addresses found by their hash alone: no index at a random place is rewritten with each state.

Revision: 0010, after 0009.
"""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.drop_index(op.f("ix_crawl_urls_url_sha256_state"), table_name="crawl_urls")
    op.create_index(op.f("ix_crawl_urls_url_sha256"), "crawl_urls", ["url_sha256"])


def downgrade() -> None:
    op.drop_index(op.f("ix_crawl_urls_url_sha256"), table_name="crawl_urls")
    op.create_index(op.f("ix_crawl_urls_url_sha256_state"), "crawl_urls", ["url_sha256", "state"])
