"""HTML cut into tags and text in time proportional to its length, whatever it holds.

The standard library's parser takes 143 seconds for 400 kB of ``<!--`` on Python 3.11.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_ATTRIBUTES = 200

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]*+)")
_ATTRIBUTE = re.compile(
    r"""[\s/]*+([^\s"'<>/=]++)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'<>]*+)))?+"""
)
_RAW = {
    name: re.compile(rf"</{name}(?![a-zA-Z0-9])", re.IGNORECASE)
    for name in ("script", "style", "textarea", "title")
}
_END = re.compile("[<>]")
_COMMENT, _COMMENT_END = "<!--", "-->"


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag with a lower-case name; of an attribute that comes twice the first counts."""

    name: str
    closing: bool = False
    attributes: dict[str, str] = field(default_factory=dict)

    def has_class(self, name: str) -> bool:
        """Whether ``name`` is one of the element's classes."""
        return name in self.attributes.get("class", "").split()


def iter_markup(text: str) -> Iterator[Tag | str]:
    """Yield tags and the text between them, what stands within a script as one text.

    It asks for no well-formedness: what is no tag is text, what is not closed ends with the page.
    """
    at = 0
    while at < len(text):
        opening = text.find("<", at)
        if opening < 0:
            yield unescape(text[at:])
            return
        if opening > at:
            yield unescape(text[at:opening])
        if text.startswith(_COMMENT, opening):
            end = text.find(_COMMENT_END, opening + len(_COMMENT))
            at = len(text) if end < 0 else end + len(_COMMENT_END)
            continue
        match = _TAG.match(text, opening)
        if match is None:
            yield "<"
            at = opening + 1
            continue
        name = match[2].lower()
        attributes, at = _read_attributes(text, match.end())
        yield Tag(name, bool(match[1]), attributes)
        if name in _RAW and not match[1]:
            closing = _RAW[name].search(text, at)
            end = len(text) if closing is None else closing.start()
            yield text[at:end]
            at = end


def unescape(text: str) -> str:
    """Replace character references; a number of thousands of digits is left as it is."""
    try:
        return html.unescape(text) if "&" in text else text
    except ValueError:
        return text


def _read_attributes(text: str, at: int) -> tuple[dict[str, str], int]:
    """Read from behind a tag's name; return what was found and where the tag ends."""
    attributes: dict[str, str] = {}
    for _ in range(MAX_ATTRIBUTES):
        match = _ATTRIBUTE.match(text, at)
        if match is None:
            break
        value = match[2] or match[3] or match[4] or ""
        attributes.setdefault(match[1].lower(), unescape(value))
        at = match.end()
    end = _END.search(text, at)
    if end is None:
        return attributes, len(text)
    # A "<" begins the next tag: this one was never closed.
    return attributes, end.start() if end[0] == "<" else end.end()
