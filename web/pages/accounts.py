"""Accounts: searched, filtered, and exported as they are listed."""

from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from sqlalchemy import Connection

from schemas.base import Frozen
from schemas.categories import known_categories
from schemas.errors import UsageError
from storage.covers import read_covers
from storage.listing import COUNT_AT_MOST, Filter, Listed, Mark, Order, count_wanted, list_page
from web.cursor import read_cursor, write_cursor
from web.exporting import FORMATS, write_accounts
from web.query import read_wanted, write_wanted
from web.render import render
from web.site import site_of

PAGE = 24


class Found(Frozen):
    """Accounts as a page shows them, each with a few photos."""

    accounts: tuple[Listed, ...]
    covers: dict[int, tuple[str, ...]]
    next: Mark | None


def routes() -> list[web.AbstractRouteDef]:
    """Return the addresses of this page."""
    return [web.get("/", show), web.get("/accounts/export", export)]


async def show(request: web.Request) -> web.StreamResponse:
    """Show accounts; asked for by htmx with a cursor, only the cards that follow."""
    site = site_of(request)
    wanted = read_wanted(request.query)
    after = read_cursor(request.query.get("after"))
    found = await site.read(find, wanted.filter, wanted.order, after=after, limit=PAGE)
    query = write_wanted(wanted)
    following = write_cursor(found.next)
    values: dict[str, Any] = {
        "found": found,
        "more": f"/?{urlencode({**query, 'after': following})}" if following else None,
    }
    if after is not None and request.headers.get("HX-Request"):
        return render(request, "_cards.html", **values)
    all_shown = after is None and following is None
    count = len(found.accounts) if all_shown else await site.read(count_wanted, wanted.filter)
    return render(
        request,
        "accounts.html",
        count=count,
        at_most=COUNT_AT_MOST,
        wanted=wanted,
        query=urlencode(query),
        categories=known_categories(),
        **values,
    )


async def export(request: web.Request) -> web.StreamResponse:
    """Send every account that the filter finds, as CSV, JSON or Parquet."""
    form = request.query.get("format", "csv")
    if form not in FORMATS:
        raise UsageError(f"Unknown format {form!r}: use one of {', '.join(FORMATS)}.")
    wanted = read_wanted(request.query)
    data = await site_of(request).read(write_accounts, wanted.filter, wanted.order, form)
    return attachment(data, "accounts", form)


def attachment(data: bytes, name: str, form: str) -> web.Response:
    """Answer with a file to keep."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"'}
    return web.Response(body=data, content_type=FORMATS[form], headers=headers)


def find(
    connection: Connection, wanted: Filter, order: Order, *, after: Mark | None, limit: int
) -> Found:
    """Return a page of accounts with their photos."""
    page = list_page(connection, wanted, order, after=after, limit=limit)
    standings = [one.standing for one in page.accounts if one.standing is not None]
    return Found(accounts=page.accounts, covers=read_covers(connection, standings), next=page.next)
