"""The documentation as tests read it: pages, headings, links, code."""

import re
from pathlib import Path

from schemas.base import Frozen

ROOT = Path(__file__).parents[3]
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
SHELL = ("sh", "bash")

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_INLINE = re.compile(r"`([^`\n]+)`")


class Block(Frozen):
    """A piece of code of a page; ``line`` is where it begins."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(
            page=page,
            line=text.count("\n", 0, found.start()) + 1,
            language=found[1],
            text=found[2],
        )
        for found in _FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    """A page without its blocks of code; lines keep their numbers."""
    return _FENCE.sub(lambda found: "\n" * found[0].count("\n"), page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """What a link may name behind #, by GitHub's rule."""
    names = (re.sub(r"[^\w\s-]", "", text.lower()) for text in _HEADING.findall(prose(page)))
    return {name.strip().replace(" ", "-") for name in names}


def links(page: Path) -> list[str]:
    return _LINK.findall(prose(page))


def inline_code(page: Path) -> list[str]:
    return _INLINE.findall(prose(page))


def example(page: str, language: str, holding: str) -> str:
    """The one block of a page in a language that holds a text."""
    (found,) = (
        one.text
        for one in blocks(ROOT / "docs" / page)
        if one.language == language and holding in one.text
    )
    return found
