"""Instagram's Graph API: posts by tag and by account, within its budgets."""

from pipelines.sources.instagram.accounts import read_account_page
from pipelines.sources.instagram.budget import MOST_TAGS, count_tags, next_free_tag_slot
from pipelines.sources.instagram.graph import TOKEN_SETTING, USER_SETTING, GraphAccess
from pipelines.sources.instagram.media import to_source_post
from pipelines.sources.instagram.tags import (
    Edge,
    find_tag,
    normalise_tag,
    read_asked_tags,
    read_tag_page,
)
from pipelines.sources.instagram.usage import choose_pause_s

__all__ = [
    "MOST_TAGS",
    "TOKEN_SETTING",
    "USER_SETTING",
    "Edge",
    "GraphAccess",
    "choose_pause_s",
    "count_tags",
    "find_tag",
    "next_free_tag_slot",
    "normalise_tag",
    "read_account_page",
    "read_asked_tags",
    "read_tag_page",
    "to_source_post",
]
