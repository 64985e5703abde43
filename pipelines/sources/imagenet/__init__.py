"""ImageNet: synsets, their words and hierarchy, and the addresses of their photos."""

from pipelines.sources.imagenet.api import read_hyponyms, read_synset_urls
from pipelines.sources.imagenet.files import iter_urls, read_url_page
from pipelines.sources.imagenet.hierarchy import expand, read_hierarchy
from pipelines.sources.imagenet.listing import parse_wnid
from pipelines.sources.imagenet.senses import Senses, look_up_terms
from pipelines.sources.imagenet.words import Words, find_synsets, read_words

__all__ = [
    "Senses",
    "Words",
    "expand",
    "find_synsets",
    "iter_urls",
    "look_up_terms",
    "parse_wnid",
    "read_hierarchy",
    "read_hyponyms",
    "read_synset_urls",
    "read_url_page",
    "read_words",
]
