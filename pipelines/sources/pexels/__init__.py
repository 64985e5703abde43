"""Pexels: photos by search term, from the API or, where switched on, from the search pages."""

from pipelines.sources.pexels.api import KEY_SETTING, parse_answer, search_page
from pipelines.sources.pexels.budget import next_free_request
from pipelines.sources.pexels.pages import parse_search_page, read_search_page

__all__ = [
    "KEY_SETTING",
    "next_free_request",
    "parse_answer",
    "parse_search_page",
    "read_search_page",
    "search_page",
]
