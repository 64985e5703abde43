"""Lists of accounts as files: CSV, JSON, Parquet."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from storage.listing import Filter, Listed, Mark, Order, list_page

FORMATS = {
    "csv": "text/csv",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
}
PART = 500
COLUMNS = (
    "username",
    "followers",
    "categories",
    "score",
    "certainty",
    "usable_posts",
    "unknown_posts",
    "interactions",
    "enough_posts",
    "bundle",
    "concluded_at",
)


def write_accounts(connection: Connection, wanted: Filter, order: Order, form: str) -> bytes:
    """Return every account that is wanted, in order, as a file of a form."""
    rows = [describe(one) for one in _all(connection, wanted, order)]
    if form == "json":
        return json.dumps(rows, ensure_ascii=False, indent=2).encode()
    if form == "parquet":
        return _parquet(rows)
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({**row, "categories": "|".join(row["categories"])})
    return out.getvalue().encode()


def describe(one: Listed) -> dict[str, Any]:
    """Return an account as a flat record; what is not known is null."""
    standing = one.standing
    return {
        "username": one.username,
        "followers": one.followers,
        "categories": list(one.categories),
        "score": None if one.score is None else round(one.score, 4),
        "certainty": standing and round(standing.certainty, 4),
        "usable_posts": standing and standing.usable,
        "unknown_posts": standing and standing.unknown,
        "interactions": standing and standing.interactions,
        "enough_posts": standing and standing.enough,
        "bundle": standing and standing.bundle_id,
        "concluded_at": standing and standing.concluded_at.isoformat(),
    }


def _all(connection: Connection, wanted: Filter, order: Order) -> Iterator[Listed]:
    after: Mark | None = None
    while True:
        page = list_page(connection, wanted, order, after=after, limit=PART)
        yield from page.accounts
        if page.next is None:
            return
        after = page.next


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("username", pa.string()),
            ("followers", pa.int64()),
            ("categories", pa.list_(pa.string())),
            ("score", pa.float64()),
            ("certainty", pa.float64()),
            ("usable_posts", pa.int64()),
            ("unknown_posts", pa.int64()),
            ("interactions", pa.float64()),
            ("enough_posts", pa.bool_()),
            ("bundle", pa.string()),
            ("concluded_at", pa.string()),
        ]
    )
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), out)
    return out.getvalue()
