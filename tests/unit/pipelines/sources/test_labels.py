"""Labels from tables and JSON lines."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.labels import read_labels
from schemas.errors import SourceError
from schemas.posts import Label, Problem

LABEL = Label(kind="account", id="ana", categories=("animal", "moda"), labeller="Eva")


def read(folder: Path, text: str, name: str = "labels.csv") -> tuple[list[Label], list[str]]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    items = list(read_labels(path))
    labels = [item for item in items if isinstance(item, Label)]
    return labels, [item.reason for item in items if isinstance(item, Problem)]


@pytest.mark.parametrize(
    "text",
    [
        "kind,id,categories,labeller\naccount,@Ana,animal|moda,Eva\n",
        'kind,id,categories,labeller\naccount,ana,"animal,moda",Eva\n',
        "tipo\tid\tcategorías\tetiquetador\tnota\ncuenta\tana\tanimal;moda\tEva\tx\n",
    ],
)
def test_a_table_of_labels_is_read(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == ([LABEL], [])


def test_json_lines_of_labels_are_read(tmp_path: Path) -> None:
    row = {"kind": "account", "id": "ana", "categories": ["animal", "moda"], "labeller": "Eva"}
    assert read(tmp_path, json.dumps(row), "labels.jsonl") == ([LABEL], [])


@pytest.mark.parametrize("categories", ["", "otra"])
def test_no_category_means_none_of_ours(tmp_path: Path, categories: str) -> None:
    labels, _ = read(tmp_path, f"kind,id,categories,labeller\npost,7,{categories},Eva\n")
    assert [label.categories for label in labels] == [()]


def test_unknown_categories_are_dropped_and_a_label_of_only_such_is_set_aside(
    tmp_path: Path,
) -> None:
    rows = "post,1,animal|autos,Eva\npost,2,autos,Eva\n"
    labels, reasons = read(tmp_path, f"kind,id,categories,labeller\n{rows}")
    assert [(label.id, label.categories) for label in labels] == [("1", ("animal",))]
    assert reasons == ["unknown-category", "unknown-category"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("planet,1,animal,Eva", "invalid-kind"),
        ("account,a b,animal,Eva", "invalid-id"),
        ("post,,animal,Eva", "invalid-id"),
        ("post,1,animal,", "invalid-labeller"),
    ],
)
def test_a_bad_row_is_a_problem_and_the_next_is_read(tmp_path: Path, row: str, reason: str) -> None:
    text = f"kind,id,categories,labeller\n{row}\npost,1,animal,Eva\n"
    labels, reasons = read(tmp_path, text)
    assert (len(labels), reasons) == (1, [reason])


def test_a_table_that_lacks_a_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="labeller"):
        read(tmp_path, "kind,id,categories\npost,1,animal\n")


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200), name=st.sampled_from(["l.jsonl", "l.json", "l.csv"]))
def test_arbitrary_bytes_give_items_or_a_source_error(data: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            items = list(read_labels(path))
        except SourceError:
            return
    assert all(isinstance(item, Label | Problem) for item in items)
