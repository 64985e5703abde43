"""The sandbox's small WordNet: synsets in a graph with shared children."""

from dataclasses import dataclass
from functools import cache

from pipelines.sources.sandbox.synset_table import TABLE


@dataclass(frozen=True)
class Synset:
    """One meaning; ``category`` is what its photos show."""

    wnid: str
    words: str
    parents: tuple[str, ...]
    category: str


@cache
def list_synsets() -> dict[str, Synset]:
    """All synsets by their id, parents before children."""
    found: dict[str, Synset] = {}
    for category, text in TABLE.items():
        for line in text.strip().splitlines():
            wnid, parents, words = line.split(maxsplit=2)
            above = () if parents == "-" else tuple(parents.split("+"))
            found[wnid] = Synset(wnid, words, above, category)
    return found


def list_children(wnid: str) -> list[str]:
    """The ids right below one."""
    return [synset.wnid for synset in list_synsets().values() if wnid in synset.parents]


def list_subtree(wnid: str) -> list[str]:
    """All ids below one, each once although some can be reached twice."""
    found: dict[str, None] = {}
    waiting = list_children(wnid)
    while waiting:
        child = waiting.pop(0)
        if child not in found:
            found[child] = None
            waiting.extend(list_children(child))
    return list(found)
