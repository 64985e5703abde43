"""How commands speak: one JSON document or a table on stdout, everything else on stderr."""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

JsonFlag = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")
]

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
"""Characters by which a caption or a file's name could steer a terminal; line ends may stay."""

notes = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
"""Notes, warnings and progress: never mixed with results."""


def print_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")
    # Whoever started a command that goes on waits for this through a pipe.
    sys.stdout.flush()


def print_text(text: str) -> None:
    """Print text as it is on stdout."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on stdout; without a terminal it is as wide as its contents."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*(_CONTROL.sub(" ", str(cell)) for cell in row))
    # What people wrote is printed as it stands: "[red]" and ":smile:" mean nothing here.
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, emoji=False, width=200)
    console.print(table)


def note(message: str) -> None:
    """Say something to a person, on stderr."""
    notes.print(_CONTROL.sub(" ", message))


def warn(message: str) -> None:
    """Say something on stderr that asks for attention."""
    notes.print(_CONTROL.sub(" ", message), style="yellow")
