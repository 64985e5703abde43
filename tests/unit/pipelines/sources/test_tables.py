"""Tables are read in whatever encoding and delimiter, and a bad row hurts only itself."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.tables import MAX_ROW_CHARS, Row, normalise_name, read_rows
from schemas.errors import SourceError
from schemas.posts import Problem

COLUMNS = {"file": "file", "archivo": "file", "text": "text", "descripcion": "text"}


def read(path: Path, data: bytes) -> list[Row | Problem]:
    path.write_bytes(data)
    return list(read_rows(path, COLUMNS, ["file"]))


def cells(items: list[Row | Problem]) -> list[Mapping[str, str]]:
    return [item.cells for item in items if isinstance(item, Row)]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


@pytest.mark.parametrize("delimiter", ["\t", ",", ";", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_every_encoding_and_delimiter_reads_the_same(
    table: Path, encoding: str, delimiter: str
) -> None:
    text = f"archivo{delimiter}descripción\na.jpg{delimiter}Montaña y año\n"
    items = read(table, text.encode(encoding))
    assert cells(items) == [{"file": "a.jpg", "text": "Montaña y año"}]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_recognised(table: Path, encoding: str) -> None:
    items = read(table, "file,text\na.jpg,niño\n".encode(encoding))
    assert cells(items) == [{"file": "a.jpg", "text": "niño"}]


def test_one_damaged_row_does_not_spoil_the_accents_of_the_others(table: Path) -> None:
    data = "file,text\na,camión\nb,avión\nc,mal".encode() + b"\xf3\n"
    assert [row["text"] for row in cells(read(table, data))] == ["camión", "avión", "mal\ufffd"]


def test_the_delimiter_is_the_one_under_which_the_header_makes_sense(table: Path) -> None:
    items = read(table, b"file;a,b,c,d;text\nx.jpg;1,2,3,4;hola, mundo\n")
    assert cells(items) == [{"file": "x.jpg", "text": "hola, mundo"}]


def test_the_line_by_which_excel_names_its_delimiter_is_obeyed(table: Path) -> None:
    assert cells(read(table, b"sep=;\r\nfile;text\r\na;b\r\n")) == [{"file": "a", "text": "b"}]


def test_quoted_cells_hold_delimiters_quotes_and_line_breaks(table: Path) -> None:
    items = read(table, b'file,text\na,"uno, ""dos""\n\ntres"\nb,c\n')
    assert [row["text"] for row in cells(items)] == ['uno, "dos"\n\ntres', "c"]


def test_a_cell_with_loose_quotes_is_taken_as_it_stands(table: Path) -> None:
    items = read(table, b'file\ttext\na\t"Hola" dijo\nb\tc\n')
    assert [row["text"] for row in cells(items)] == ['"Hola" dijo', "c"]


def test_an_unclosed_quote_swallows_no_other_row(table: Path) -> None:
    items = read(table, b'file,text\na,"abierta\nb,dos\nc,tres\n')
    assert [row["text"] for row in cells(items)] == ['"abierta', "dos", "tres"]


def test_a_quote_that_would_join_two_rows_into_a_misfit_is_taken_as_it_stands(table: Path) -> None:
    items = read(table, b'file,x,text\na,"1,uno\nb",2,dos\n')
    assert cells(items) == [{"file": "a", "text": "uno"}, {"file": 'b"', "text": "dos"}]
    assert [item.where for item in items] == ["table.csv:2", "table.csv:3"]


def test_rows_are_named_by_their_line(table: Path) -> None:
    items = read(table, b'file,text\na,"x\ny"\n\nb,z\n')
    assert [item.where for item in items] == ["table.csv:2", "table.csv:5"]


def test_a_row_with_too_many_cells_is_a_problem_and_the_rest_goes_on(table: Path) -> None:
    items = read(table, b"file,text\na,hola, mundo\nb,c\n")
    assert isinstance(items[0], Problem)
    assert (items[0].where, items[0].reason) == ("table.csv:2", "bad-row")
    assert cells(items) == [{"file": "b", "text": "c"}]


def test_missing_cells_at_the_end_are_empty(table: Path) -> None:
    assert cells(read(table, b"file,text\na\n")) == [{"file": "a", "text": ""}]


def test_a_megabyte_in_one_cell_is_read(table: Path) -> None:
    items = read(table, b"file,text\na," + b"x" * 2**20 + b"\n")
    assert len(cells(items)[0]["text"]) == 2**20


def test_an_endless_row_is_a_problem_and_the_rest_goes_on(table: Path) -> None:
    items = read(table, b"file,text\na," + b"x" * (MAX_ROW_CHARS + 9) + b"\nb,c\n")
    assert [getattr(item, "reason", None) for item in items] == ["bad-row", None]


def test_nul_characters_are_dropped(table: Path) -> None:
    assert cells(read(table, b"file,text\na,b\0c\n")) == [{"file": "a", "text": "bc"}]


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"a,b\n1,2\n", "no column file"),
        (b"PK\x03\x04rest of a workbook", "save the sheet as CSV"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(32)) * 20, "not a text file"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_what_to_do(
    table: Path, data: bytes, hint: str
) -> None:
    with pytest.raises(SourceError, match=hint):
        read(table, data)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no file"):
        list(read_rows(tmp_path / "none.csv", COLUMNS, ["file"]))


@pytest.mark.parametrize("name", ["Descripción", " descripcion ", "DESCRIPCION", '"descripcion"'])
def test_column_names_are_compared_without_case_and_accents(name: str) -> None:
    assert normalise_name(name) == "descripcion"


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300), headed=st.booleans())
def test_arbitrary_bytes_give_rows_problems_or_a_source_error(data: bytes, headed: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            items = read(Path(folder) / "t.csv", b"file,text\n" * headed + data)
        except SourceError:
            return
    assert all(isinstance(item, Row | Problem) for item in items)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(st.text(min_size=1), st.text()), min_size=1, max_size=5))
def test_what_a_csv_writer_wrote_is_read_back(rows: list[tuple[str, str]]) -> None:
    safe = [
        tuple(cell.encode("utf-8", "ignore").decode().replace("\0", "") for cell in row)
        for row in rows
    ]
    expected = [row for row in safe if any(cell.strip() for cell in row)]
    lines = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in safe]
    with tempfile.TemporaryDirectory() as folder:
        data = "file,text\r\n" + "\r\n".join(lines) + "\r\n"
        items = read(Path(folder) / "t.csv", data.encode("utf-8-sig"))
    assert [tuple(row.values()) for row in cells(items)] == expected
