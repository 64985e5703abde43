"""How the client's parts ask: typed answers, and lists that fetch their pages as they go."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from pydantic import TypeAdapter

from schemas.answers import AccountsPage, ListedAccount
from schemas.errors import UsageError
from web.client_http import Wire

API = "/api/v1"
PAGE = 100

Read = TypeVar("Read")


class Asking:
    """One server, asked for models."""

    def __init__(self, wire: Wire) -> None:
        """Remember whom to ask."""
        self._wire = wire

    def _accounts(self, path: str, wanted: Mapping[str, object]) -> Iterator[ListedAccount]:
        for page in self._pages(AccountsPage, path, wanted):
            yield from page.accounts

    def _pages(self, kind: type[Read], path: str, wanted: Mapping[str, object]) -> Iterator[Read]:
        """Go through pages, which have a ``next``, for as long as there is one."""
        cursor: object = None
        while True:
            page = self._get(kind, path, {**wanted, "cursor": cursor, "limit": PAGE})
            yield page
            cursor = getattr(page, "next")  # noqa: B009 - every kind of page has one
            if cursor is None:
                return

    def _get(self, kind: type[Read], path: str, query: Mapping[str, object] | None = None) -> Read:
        given = {name: value for name, value in (query or {}).items() if value not in {None, "", 0}}
        return read(kind, self._wire.get(API + path + (f"?{urlencode(given)}" if given else "")))

    def _send(self, kind: type[Read], method: str, path: str, document: Any = None) -> Read:
        return read(kind, self._wire.send(method, API + path, document))


def read(kind: type[Read], found: Any) -> Read:
    """Read an answer; a newer server may say more than we know."""
    return TypeAdapter(kind).validate_python(found, extra="ignore")


def part(text: str) -> str:
    """Return a name as one part of an address.

    Raises:
        UsageError: it is empty or would lead elsewhere.
    """
    if not text or text in {".", ".."}:
        raise UsageError(f"{text!r} names nothing: give a name or id.")
    return quote(text, safe="")
