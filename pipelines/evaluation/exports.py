"""A report's figures for programs: one JSON document, and a CSV table."""

import csv
import io
import json
from typing import Any

from pipelines.evaluation.assess import SetEvaluation
from pipelines.evaluation.methods import MethodRow
from pipelines.evaluation.metrics import Interval
from pipelines.evaluation.report import Report, sort_evaluations

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def to_json(report: Report) -> str:
    """Return everything as one JSON document, thumbnails left out."""
    document = report.model_dump(mode="json")
    for found in document["mistakes"]:
        for mistake in found["mistakes"]:
            del mistake["image"]
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def to_csv(report: Report) -> str:
    """Return a row a set, method and category, and one for all categories together (``*``)."""
    rows = [
        {**head, **figures}
        for each in sort_evaluations(report.evaluations)
        for row in each.table.rows
        for head in [_csv_head(report, each, row)]
        for figures in _csv_figures(row)
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    target = io.StringIO()
    writer = csv.DictWriter(target, columns or ["bundle"], lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return target.getvalue()


def _csv_head(report: Report, each: SetEvaluation, row: MethodRow) -> dict[str, Any]:
    return {
        "bundle": report.bundle.id,
        "set": each.name,
        "kind": each.kind,
        "relation": each.relation,
        "items": each.items,
        "seen": each.seen,
        "method": row.name,
        "halves": row.halves,
        "best": row.best,
    }


def _csv_figures(row: MethodRow) -> list[dict[str, Any]]:
    scores = row.scores
    together = {
        "category": "*",
        **_bounded("precision", scores.macro.precision, scores.macro_precision_interval),
        **_bounded("recall", scores.macro.recall, scores.macro_recall_interval),
        **_bounded("f1", scores.macro.f1, scores.macro_f1_interval),
        **_bounded("top", row.top, row.top_interval),
        **_bounded("exact", row.exact, row.exact_interval),
        **_bounded("coverage", scores.coverage, scores.coverage_interval),
        **_bounded("hamming", scores.hamming, scores.hamming_interval),
        "hamming_of_nothing": scores.hamming_of_nothing,
        "unknown": row.unknown,
        "lacking": row.lacking,
        "ece": row.confidence.ece if row.confidence else None,
        "aurc": row.confidence.aurc if row.confidence else None,
        "p_value": row.difference.p_value if row.difference else None,
        "p_adjusted": row.difference.p_adjusted if row.difference else None,
    }
    single = [
        {
            "category": score.category,
            "support": score.support,
            "predicted": score.predicted,
            "hits": score.hits,
            **_bounded("precision", score.precision, score.precision_interval),
            **_bounded("recall", score.recall, score.recall_interval),
            **_bounded("f1", score.f1, score.f1_interval),
        }
        for score in scores.classes
    ]
    return [together, *single]


def _bounded(name: str, value: float | None, interval: Interval | None) -> dict[str, Any]:
    low, high = interval or (None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _cell(value: Any) -> Any:
    """Keep a spreadsheet from taking people's names for formulas."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value
