"""WordNet's hierarchy of nouns: what lies below a synset, and what above it."""

from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.sources.imagenet.files import HIERARCHY, find_imagenet_file
from pipelines.sources.imagenet.listing import is_wnid
from pipelines.sources.textfiles import open_text, read_lines
from schemas.errors import SourceError

_MAX_LINE_CHARS = 1_000
_PAIR = 2

Links = Mapping[str, Sequence[str]]


def read_hierarchy(folder: Path) -> dict[str, list[str]]:
    """Read wordnet.is_a.txt as the children of every synset that has some (75,850 pairs).

    Raises:
        SourceError: the file is not there, or holds no pair of synsets.
    """
    path = find_imagenet_file(folder, HIERARCHY)
    children: dict[str, list[str]] = {}
    with open_text(path, newline="\n") as file:
        for line in read_lines(file, _MAX_LINE_CHARS):
            pair = (line or "").split()
            if len(pair) == _PAIR and all(map(is_wnid, pair)):
                children.setdefault(pair[0], []).append(pair[1])
    if not children:
        raise SourceError(
            f"{path} holds no line such as 'n01317541 n02084071' (parent and child): check that "
            "it is ImageNet's file of that name."
        )
    return children


def expand(wnid: str, children: Links) -> list[str]:
    """List a synset and everything below it, nearest first; a shared child comes once.

    Circles in the hierarchy do no harm.
    """
    return list(dict.fromkeys([wnid, *_reach(wnid, children)]))


def invert(children: Links) -> dict[str, list[str]]:
    """Turn the children of every synset into the parents of every synset."""
    parents: dict[str, list[str]] = {}
    for parent, below in children.items():
        for child in below:
            parents.setdefault(child, []).append(parent)
    return parents


def find_ancestors(wnid: str, parents: Links) -> frozenset[str]:
    """Everything above a synset, and the synset itself."""
    return frozenset([wnid, *_reach(wnid, parents)])


def _reach(start: str, links: Links) -> list[str]:
    seen = {start}
    found: list[str] = []
    waiting = deque([start])
    while waiting:
        for near in links.get(waiting.popleft(), ()):
            if near not in seen:
                seen.add(near)
                found.append(near)
                waiting.append(near)
    return found
