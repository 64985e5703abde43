"""Cursors: where a page ended, as an opaque word in an address."""

import base64
import json

from schemas.errors import UsageError
from storage.listing import Mark

WRONG = "This cursor is none that was handed out: begin at the first page."


def write_cursor(mark: Mark | None) -> str | None:
    """Return a mark as text for an address; None stays None."""
    if mark is None:
        return None
    return base64.urlsafe_b64encode(json.dumps(mark).encode()).decode().rstrip("=")


def read_cursor(text: str | None) -> Mark | None:
    """Return the mark that a cursor stands for; nothing stands for the first page.

    Raises:
        UsageError: it is none of ours.
    """
    if not text:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, UnicodeDecodeError):
        raise UsageError(WRONG) from None
    match found:
        case [str() | int() | float() as key, int() as identifier]:
            if not isinstance(key, bool):
                return key, identifier
    raise UsageError(WRONG)


def read_share_cursor(text: str | None) -> tuple[float, int] | None:
    """Return the mark of a list that is sorted by a difference of two shares.

    Raises:
        UsageError: it is none of ours, or another list's.
    """
    mark = read_cursor(text)
    if mark is None:
        return None
    key, identifier = mark
    if isinstance(key, str) or not -1 <= key <= 1 or not 0 <= identifier < 2**63:
        raise UsageError(WRONG)
    return key, identifier
