"""The words that the sandbox's Pexels and Instagram know, each with the category it shows."""

import unicodedata
from dataclasses import dataclass
from functools import cache

from pipelines.sources.samples.captions import WORDS
from schemas.categories import OTRA, read_categories


@dataclass(frozen=True)
class Term:
    """A search term or tag; ``number`` is its place in the vocabulary, by which ids are built."""

    number: int
    text: str
    category: str


@cache
def list_terms() -> tuple[Term, ...]:
    """Every search term of categories.toml, the categories' names, and the tags of the captions.

    A word of two categories belongs to the first.
    """
    found: dict[str, str] = {}
    for slug, category in read_categories().categories.items():
        own = (slug, category.spanish, category.english, *category.pexels, *category.instagram)
        for text in (*own, *WORDS[slug].tags):
            found.setdefault(normalise(text), slug)
    for text in (OTRA, *WORDS[OTRA].tags):
        found.setdefault(normalise(text), OTRA)
    return tuple(
        Term(number, text, category) for number, (text, category) in enumerate(found.items())
    )


def find_term(text: str) -> Term | None:
    """Look up a search term or tag, in any case, with spaces or hyphens between words."""
    known = _by_text()
    plain = normalise(text)
    return known.get(plain) or known.get(plain.replace("-", " "))


def normalise(text: str) -> str:
    """Write a term as the vocabulary does: composed, in lower case, single spaces, no #."""
    return " ".join(unicodedata.normalize("NFC", text).lstrip("#").lower().split())


@cache
def _by_text() -> dict[str, Term]:
    return {term.text: term for term in list_terms()}
