"""Filters of accounts as addresses carry them."""

from collections.abc import Mapping

from pydantic import ValidationError

from schemas.base import Frozen
from schemas.categories import known_categories
from schemas.errors import UsageError
from storage.listing import Filter, Order

FIELDS = (
    "text",
    "category",
    "min_share",
    "min_certainty",
    "min_followers",
    "min_interactions",
    "min_posts",
)
ORDERS: tuple[Order, ...] = ("name", "share", "certain", "uncertain")


class Wanted(Frozen):
    """A filter with the order of its results."""

    filter: Filter
    order: Order


def read_wanted(query: Mapping[str, str]) -> Wanted:
    """Return what an address asks for; empty fields are those left out.

    Raises:
        UsageError: a field has a value that cannot mean anything.
    """
    given = {name: query[name].strip() for name in FIELDS if query.get(name, "").strip()}
    if given.get("category", "") not in {"", *known_categories()}:
        raise UsageError(f"Unknown category: use one of {', '.join(known_categories())}.")
    try:
        wanted = Filter.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{first['loc'][0]}: {first['msg']}.") from None
    order = query.get("order") or ("share" if wanted.category else "name")
    if order not in ORDERS:
        raise UsageError(f"Unknown order: use one of {', '.join(ORDERS)}.")
    if order == "share" and not wanted.category:
        order = "name"
    return Wanted(filter=wanted, order=order)


def write_wanted(wanted: Wanted) -> dict[str, str]:
    """Return a filter as an address carries it, without what says nothing."""
    fields = wanted.filter.model_dump(include=set(FIELDS))
    return {name: str(value) for name, value in fields.items() if value} | {"order": wanted.order}
