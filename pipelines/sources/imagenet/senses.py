"""Which of a word's senses a category means: a ridge of mountains, not that of a nose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.sources.imagenet.hierarchy import Links, find_ancestors, invert
from pipelines.sources.imagenet.words import Words, find_synsets
from schemas.errors import NotFoundError

PHYSICAL = "n00001930"
"""Physical entity: what can stand before a camera, all else being an abstraction."""


@dataclass(frozen=True)
class Senses:
    """What a term was taken for, and what else it is called; both empty where it names nothing.

    ``remark`` tells a person why nothing was found, with similar names.
    """

    term: str
    chosen: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    remark: str = ""


def look_up_terms(terms: Sequence[str], words: Words, children: Links) -> list[Senses]:
    """Find the synsets meant by a category's terms, in their order.

    Of a word's senses those count that lie above or below a sense of another term (or are one);
    where none does, those that are physical things; where none is, all.
    """
    found: dict[str, list[str]] = {}
    remarks: dict[str, str] = {}
    for term in dict.fromkeys(terms):
        try:
            found[term] = find_synsets(words, term)
        except NotFoundError as error:
            remarks[term] = str(error)
    parents = invert(children)
    above = {wnid: find_ancestors(wnid, parents) for wnids in found.values() for wnid in wnids}
    return [
        _choose(term, found, above)
        if term in found
        else Senses(term, chosen=(), remark=remarks[term])
        for term in dict.fromkeys(terms)
    ]


def _choose(
    term: str, found: Mapping[str, Sequence[str]], above: Mapping[str, frozenset[str]]
) -> Senses:
    wnids = found[term]
    others = {wnid for other, senses in found.items() if other != term for wnid in senses}
    covered = frozenset().union(*(above[wnid] for wnid in others))
    akin = [wnid for wnid in wnids if wnid in covered or not others.isdisjoint(above[wnid])]
    physical = [wnid for wnid in wnids if PHYSICAL in above[wnid]]
    chosen = tuple(wnids if len(wnids) == 1 else akin or physical or wnids)
    return Senses(term, chosen, tuple(wnid for wnid in wnids if wnid not in chosen))
