"""Where a page of a listing starts: cursors that tell, and the kind that says nothing."""

import base64

from pipelines.sources.sandbox.graph import GraphError

REPEATED = "after"


class Pager:
    """Writes and reads the cursors of listings.

    A repeated cursor is the same string on every page, so the place is remembered by listing: each
    request with it moves on by a page, and one without it starts anew.
    """

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def start(self, listing: str, after: str | None) -> int:
        """Where the page after a cursor starts.

        Raises:
            GraphError: the cursor was never written here.
        """
        if after is None:
            return 0
        if after == REPEATED:
            return self._places.get(listing, 0)
        return _read_cursor(after)

    def cursor(self, listing: str, start: int, *, repeat: bool) -> str:
        """The cursor of the page that begins at ``start``."""
        if not repeat:
            return write_cursor(start)
        self._places[listing] = start
        return REPEATED


def write_cursor(start: int) -> str:
    """A cursor that tells where its page starts."""
    return base64.urlsafe_b64encode(f"place {start}".encode()).decode().rstrip("=")


def _read_cursor(text: str) -> int:
    try:
        padded = text + "=" * (-len(text) % 4)
        plain = base64.b64decode(padded, b"-_", validate=True).decode()
        return max(0, int(plain.removeprefix("place ")))
    except ValueError:
        raise GraphError(100, "(#100) Invalid cursors values") from None
