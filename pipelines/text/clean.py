"""What a text model reads of a caption: words and emoji, one space between them."""

import re
import unicodedata
from functools import cache

_MAX_MARKS = 8
"""Combining marks kept in a row: sorting a run of them, as NFC does, takes quadratic time."""

_JOINER = "\u200d"
_TONE = "\U0001f3fb-\U0001f3ff"
_PICTURE = (
    "\u2194-\u2199\u21a9\u21aa\u231a\u231b\u2328\u23cf\u23e9-\u23fa\u24c2\u25aa\u25ab\u25b6\u25c0"
    "\u25fb-\u25fe\u2600-\u2767\u2776-\u27bf\u2934\u2935\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55"
    "\u3297\u3299\U0001f000-\U0001faff"
)
_FLAG_LETTER = "\U0001f1e6-\U0001f1ff"
# Characters that are pictures only when the selector U+FE0F asks for it, else punctuation or signs.
_SOMETIMES = "\u00a9\u00ae\u203c\u2049\u2122\u2139\u3030\u303d"
_ONE = rf"[{_PICTURE}](?:\ufe0f|[{_TONE}])?"

_EMOJI = re.compile(
    "("
    r"[0-9#*]\ufe0f?\u20e3"
    rf"|[{_FLAG_LETTER}]{{2}}"
    r"|\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f"
    rf"|[{_SOMETIMES}]\ufe0f"
    rf"|{_ONE}(?:{_JOINER}{_ONE})*"
    ")"
)
_ADDRESS = re.compile(r"https?://\S+|\bwww\.\S+", re.IGNORECASE)


class _Letters(dict[int, str]):
    """A ``str.translate`` table filled as characters turn up.

    Letters, marks and digits stay. What nobody sees within a word (soft hyphens, stray joiners and
    selectors) goes without a trace. Everything else becomes a space.
    """

    def __missing__(self, code: int) -> str:
        char = chr(code)
        kind = unicodedata.category(char)
        selector = unicodedata.name(char, "").startswith("VARIATION SELECTOR")
        if selector or (kind == "Cf" and char != "\u200b") or char == "\u20e3":
            self[code] = ""
        else:
            self[code] = char if kind[0] in "LMN" else " "
        return self[code]


_LETTERS = _Letters()


@cache
def _surplus_marks() -> re.Pattern[str]:
    marks = "".join(chr(code) for code in range(0x300, 0x1E950) if unicodedata.combining(chr(code)))
    return re.compile(f"([{marks}]{{{_MAX_MARKS}}})[{marks}]+")


def clean_caption(text: str) -> str:
    """Reduce a caption to lower-case words and emoji, so that the same word is always one token.

    Punctuation, signs, line breaks, ``#`` and ``@`` become spaces (their words stay); web addresses
    go whole, being nobody's words; each emoji, with its skin tone, flag or joined sequence, stands
    as a word of its own. The result is NFC, takes time linear in the input, and cleaning it again
    changes nothing. Row 8 of the thesis' procedure (section 4.2).
    """
    pieces = _EMOJI.split(_ADDRESS.sub(" ", text))
    # Every second piece is an emoji, as the pattern is one group.
    pieces[::2] = [piece.lower().translate(_LETTERS) for piece in pieces[::2]]
    words = " ".join(" ".join(pieces).split())
    return unicodedata.normalize("NFC", _surplus_marks().sub(r"\1", words))
