"""Labels that people gave to photos, posts and accounts; kept apart from training."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

from pipelines.sources.assemble import Notes, read_truth
from pipelines.sources.paths import shorten
from pipelines.sources.records import read_records
from pipelines.sources.tables import Row, read_rows
from pipelines.sources.values import parse_name, parse_username
from schemas.posts import Label, LabelKind, Problem

_NAMES = {
    "kind": "kind type tipo",
    "id": "id identificador",
    "categories": "categories category categorias categoria labels etiquetas",
    "labeller": "labeller labeler annotator rater etiquetador anotador persona",
}
COLUMNS = {name: column for column, names in _NAMES.items() for name in names.split()}
_KINDS: dict[str, LabelKind] = {kind: kind for kind in get_args(LabelKind)}
_SPANISH_KINDS: dict[str, LabelKind] = {
    "foto": "photo",
    "publicacion": "post",
    "publicación": "post",
    "cuenta": "account",
}


def read_labels(path: Path) -> Iterator[Label | Problem]:
    """Stream labels from a table or JSON lines with kind, id, categories and labeller.

    No category, or ``otra``, means none of ours. Categories that we do not know are dropped with
    a problem; a label that held only such is set aside.

    Raises:
        SourceError: the file is neither, or lacks a column.
    """
    if path.suffix.lower() in {".json", ".jsonl", ".ndjson"}:
        for record in read_records(path):
            if isinstance(record, Problem):
                yield record
            else:
                yield from _read_label(record.where, record.value)
        return
    for row in read_rows(path, COLUMNS, list(_NAMES)):
        if isinstance(row, Row):
            yield from _read_label(row.where, row.cells)
        else:
            yield row


def _read_label(where: str, raw: object) -> Iterator[Label | Problem]:
    notes = Notes(where)
    if not isinstance(raw, Mapping):
        notes.add("not-a-label", "Not an object with kind, id, categories and labeller.")
    else:
        label = _build_label(raw, notes)
        if label is not None:
            yield label
    yield from notes.problems


def _build_label(raw: Mapping[str, object], notes: Notes) -> Label | None:
    kind = notes.read(_parse_kind, raw.get("kind"), "invalid-kind")
    parse_id = parse_username if kind == "account" else parse_name
    name = notes.read(parse_id, raw.get("id"), "invalid-id")
    labeller = notes.read(parse_name, raw.get("labeller"), "invalid-labeller")
    given = raw.get("categories")
    categories = read_truth("otra" if _is_blank(given) else given, notes)
    if kind is None or name is None or labeller is None or categories is None:
        return None
    return Label(kind=kind, id=name, categories=categories, labeller=labeller)


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _parse_kind(value: object) -> LabelKind:
    name = value.strip().lower() if isinstance(value, str) else ""
    kind = _KINDS.get(name) or _SPANISH_KINDS.get(name)
    if kind is None:
        raise ValueError(f"{shorten(name, 40)} is no kind of label: {', '.join(_KINDS)}.")
    return kind
