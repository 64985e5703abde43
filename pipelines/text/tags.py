"""Taking a query's own words out of captions, so that no text model reads its label in them."""

import re
import unicodedata
from collections.abc import Iterable
from functools import cached_property

_HASHTAG = re.compile("[#\uff03](\\w+)")
_WORD = re.compile(r"\w+")
_MIN_INSIDE = 4
"""A shorter term is looked for as a whole word only: 'fit' is in 'outfit', 'eat' in 'great'."""

_MAX_JOINED = 3
"""Words in a row that may be a run-together term written apart: 'aire libre chile'."""

_MIN_LETTERS = 3


class TagStripper:
    """Removes query terms from captions: other accents, plurals and run-together forms too.

    Both a term and a caption's word are compared without accents and in the singular. A hashtag
    goes if a term of four letters or more is part of it (``#comidachilena`` for ``comida``); words
    go if they are a term, or if they make one when written together (``aire libre`` for
    ``airelibre``). Everything else stays as it was written.
    """

    def __init__(self, terms: Iterable[str]) -> None:
        """Take the terms as they were asked for, with or without ``#``, of one or more words."""
        wholes = {fold("".join(_WORD.findall(unicodedata.normalize("NFC", t)))) for t in terms}
        self.terms = frozenset(wholes - {""})

    @cached_property
    def _stems(self) -> frozenset[str]:
        return frozenset(form for term in self.terms for form in singulars(term))

    @cached_property
    def _inside(self) -> re.Pattern[str] | None:
        long = sorted((s for s in self._stems if len(s) >= _MIN_INSIDE), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, long))) if long else None

    def remove(self, caption: str) -> str:
        """Return a caption without the terms; its other words and signs stay in place."""
        # A letter and its accent are one character only when composed.
        without = _HASHTAG.sub(self._drop_hashtag, unicodedata.normalize("NFC", caption))
        words = list(_WORD.finditer(without))
        folded = [fold(word.group()) for word in words]
        gone = self._find_runs(folded)
        out, end = [], 0
        for word, dropped in zip(words, gone, strict=True):
            if dropped:
                out.append(without[end : word.start()])
                end = word.end()
        return "".join([*out, without[end:]])

    def mentions(self, caption: str) -> bool:
        """Whether a caption holds anything that ``remove`` would take out."""
        return self.remove(caption) != unicodedata.normalize("NFC", caption)

    def _drop_hashtag(self, match: re.Match[str]) -> str:
        word = fold(match.group(1))
        parts = [part for part in word.split("_") if part]
        named = self._is_term("".join(parts)) or any(map(self._is_term, parts))
        inside = self._inside is not None and self._inside.search(word.replace("_", ""))
        return " " if named or inside else match.group()

    def _find_runs(self, words: list[str]) -> list[bool]:
        gone = [False] * len(words)
        for start in range(len(words)):
            for size in range(1, _MAX_JOINED + 1):
                if start + size <= len(words) and self._is_term(
                    "".join(words[start : start + size])
                ):
                    gone[start : start + size] = [True] * size
        return gone

    def _is_term(self, word: str) -> bool:
        return not self._stems.isdisjoint(singulars(word))


def fold(text: str) -> str:
    """Return text in lower case and without accents; ñ becomes n, as hashtags often have it."""
    apart = unicodedata.normalize("NFKD", text.lower())
    return "".join(char for char in apart if not unicodedata.combining(char))


def singulars(word: str) -> set[str]:
    """Return a folded word and what it may be the plural of (Spanish -s, -es, -ces; English)."""
    forms = {word}
    for ending, singular in (("ces", "z"), ("ies", "y"), ("es", ""), ("s", "")):
        stem = word.removesuffix(ending)
        if stem != word and len(stem + singular) >= _MIN_LETTERS:
            forms.add(stem + singular)
    return forms
