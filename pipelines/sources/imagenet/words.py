"""What synsets are called: words.txt, and synsets found by one of their names."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from pipelines.sources.imagenet.files import WORDS, find_imagenet_file
from pipelines.sources.imagenet.listing import is_wnid
from pipelines.sources.paths import shorten
from pipelines.sources.textfiles import open_text, read_lines
from schemas.errors import NotFoundError, SourceError

_MAX_LINE_CHARS = 10_000
_SUGGESTIONS = 3
_SEPARATORS = re.compile(r"[\s_-]+")


@dataclass(frozen=True)
class Words:
    """The names of all synsets, and the synsets by name: as written, and folded.

    Folded is without case, hyphens and underscores. The case tells a hill from Benny Hill.
    """

    names: dict[str, tuple[str, ...]]
    by_name: dict[str, list[str]]
    by_folded: dict[str, list[str]]


def read_words(folder: Path) -> Words:
    """Read words.txt: the 82,115 nouns of WordNet 3.0, some 80 MB in memory.

    Raises:
        SourceError: the file is not there, or holds no synset.
    """
    path = find_imagenet_file(folder, WORDS)
    names: dict[str, tuple[str, ...]] = {}
    with open_text(path, newline="\n") as file:
        for line in read_lines(file, _MAX_LINE_CHARS):
            wnid, _, words = (line or "").strip().partition("\t")
            called = tuple(word.strip() for word in words.split(",") if word.strip())
            if is_wnid(wnid) and called:
                names[wnid] = called
    if not names:
        raise SourceError(
            f"{path} holds no line such as 'n02084071<TAB>dog, domestic dog': check that it is "
            "ImageNet's file of that name."
        )
    return index_words(names)


def index_words(names: dict[str, tuple[str, ...]]) -> Words:
    """Make synsets findable by their names."""
    by_name: dict[str, list[str]] = {}
    by_folded: dict[str, list[str]] = {}
    for wnid, called in names.items():
        for name in dict.fromkeys(called):
            by_name.setdefault(name, []).append(wnid)
        for folded in dict.fromkeys(map(_fold, called)):
            by_folded.setdefault(folded, []).append(wnid)
    return Words(names, by_name, by_folded)


def find_synsets(words: Words, term: str) -> list[str]:
    """Find the synsets that a term names, in the file's order: several where it is ambiguous.

    A wnid names itself. Else the exact spelling counts first, then the folded one, then the
    singular of a plural.

    Raises:
        NotFoundError: nothing is called so; similar names are told.
    """
    term = term.strip()
    if term in words.names:
        return [term]
    folded = _fold(term)
    ways = [words.by_name.get(term), words.by_folded.get(folded)]
    ways += [words.by_folded.get(singular) for singular in _singulars(folded)]
    found = next((way for way in ways if way), None)
    if found is None:
        raise NotFoundError(f"No synset is called {shorten(term)}{_suggest(words, folded)}.")
    return list(found)


def _fold(name: str) -> str:
    return _SEPARATORS.sub(" ", name).strip().casefold()


def _singulars(folded: str) -> list[str]:
    """Guess the singular of an English noun whose last word is a plural."""
    guesses = []
    for plural, singular in (("ies", "y"), ("es", ""), ("s", "")):
        if folded.endswith(plural):
            guesses.append(folded.removesuffix(plural) + singular)
    return guesses


def _suggest(words: Words, folded: str) -> str:
    if is_wnid(folded):
        return ": look its id up in words.txt"
    similar = difflib.get_close_matches(folded[:100], words.by_folded, _SUGGESTIONS, 0.7)
    named = [f"{name} ({words.by_folded[name][0]})" for name in similar]
    return f"; similar: {', '.join(named)}" if named else ": give a WordNet id such as n02084071"
