"""Verdicts as other programs want them: the thesis's JSON, CSV, Parquet."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from schemas.verdicts import CategoryShare, StoredVerdict, Verdict
from storage.database import in_parts
from storage.tables import posts

Document = dict[str, Any]

PARQUET_COLUMNS = (
    "username",
    "method",
    "categories",
    "usable",
    "unknown",
    "lacking",
    "enough",
    "bundle",
    "concluded_at",
)


def name_posts(connection: Connection, stored: Sequence[StoredVerdict]) -> dict[int, str]:
    """Return the platform's own ids of the posts that verdicts show as evidence."""
    shown = {
        post_id
        for one in stored
        for verdict in one.verdicts
        for share in verdict.shares
        for post_id in share.evidence
    }
    names: dict[int, str] = {}
    for part in in_parts(shown):
        query = select(posts.c.id, posts.c.external_id).where(posts.c.id.in_(part))
        names.update(connection.execute(query).all())
    return names


def describe_verdicts(
    stored: Sequence[StoredVerdict], names: Mapping[int, str] | None = None
) -> list[Document]:
    """Return verdicts in the thesis's form: ``{"username": …, "categories": {method: […]}}``.

    With the ``names`` of posts, each also carries what it rests on: shares with their intervals
    and thresholds, counts, and the posts behind each category, most certain first.
    """
    return [_document(one, names) for one in stored]


def to_json(documents: Sequence[Document]) -> str:
    """Return verdicts as indented JSON, one ``"username"`` a line."""
    return json.dumps(documents, indent=2, ensure_ascii=False)


def to_csv(stored: Sequence[StoredVerdict]) -> str:
    """Return verdicts as CSV, a row an account and method; categories joined by ``|``."""
    out = io.StringIO()
    writer = csv.DictWriter(out, PARQUET_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in _rows(stored):
        # A spreadsheet would run a cell that begins like a formula; usernames never do.
        writer.writerow({**row, "categories": "|".join(row["categories"])})
    return out.getvalue()


def to_parquet(stored: Sequence[StoredVerdict]) -> bytes:
    """Return verdicts as a Parquet file, a row an account and method; categories as a list."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("username", pa.string()),
            ("method", pa.string()),
            ("categories", pa.list_(pa.string())),
            ("usable", pa.int32()),
            ("unknown", pa.int32()),
            ("lacking", pa.int32()),
            ("enough", pa.bool_()),
            ("bundle", pa.string()),
            ("concluded_at", pa.timestamp("us", tz="UTC")),
        ]
    )
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(_rows(stored), schema=schema), sink)
    return sink.getvalue()


def _rows(stored: Sequence[StoredVerdict]) -> list[Document]:
    return [
        {
            "username": one.username,
            "method": verdict.method,
            "categories": list(verdict.categories),
            "usable": verdict.usable,
            "unknown": verdict.unknown,
            "lacking": verdict.lacking,
            "enough": verdict.enough,
            "bundle": one.bundle_id,
            "concluded_at": one.concluded_at,
        }
        for one in stored
        for verdict in one.verdicts
    ]


def _document(one: StoredVerdict, names: Mapping[int, str] | None) -> Document:
    document: Document = {
        "username": one.username,
        "categories": {verdict.method: list(verdict.categories) for verdict in one.verdicts},
    }
    if names is not None:
        document["bundle"] = one.bundle_id
        document["concluded_at"] = one.concluded_at.isoformat()
        document["evidence"] = {
            verdict.method: _evidence(verdict, names) for verdict in one.verdicts
        }
    return document


def _evidence(verdict: Verdict, names: Mapping[int, str]) -> Document:
    return {
        "usable_posts": verdict.usable,
        "unknown_posts": verdict.unknown,
        "lacking_posts": verdict.lacking,
        "enough_posts": verdict.enough,
        "abstained": list(verdict.abstained),
        "shares": {share.category: _share(share, names) for share in verdict.shares},
    }


def _share(share: CategoryShare, names: Mapping[int, str]) -> Document:
    return {
        "posts": share.posts,
        "share": round(share.share, 4),
        "low": round(share.low, 4),
        "high": round(share.high, 4),
        "certainty": share.certainty,
        "threshold": share.threshold,
        "chosen": share.chosen,
        "evidence": [names[post_id] for post_id in share.evidence if post_id in names],
    }
