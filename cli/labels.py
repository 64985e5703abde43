"""afin labels: what people say, and how far they agree."""

from enum import StrEnum
from typing import Annotated

import typer

from cli.output import JsonFlag, note, print_json, print_table
from pipelines.agreement import LabelAgreement, measure_agreement
from schemas.categories import known_categories
from schemas.errors import UsageError
from storage.labels import read_said
from tasks.context import context

app = typer.Typer(no_args_is_help=True, help="See how far people who labelled the same agree.")


class Kind(StrEnum):
    """What was labelled."""

    PHOTO = "photo"
    POST = "post"
    ACCOUNT = "account"


@app.callback()
def _root() -> None:
    """Keep 'agreement' a command of its own while it is the only one."""


@app.command()
def agreement(
    kind: Annotated[Kind, typer.Argument(help="What was labelled.")] = Kind.ACCOUNT,
    as_json: JsonFlag = False,
) -> None:
    """Measure agreement beyond chance: Krippendorff's alpha, and Cohen's kappa of every pair."""
    with context().database.read() as connection:
        said = read_said(connection, kind.value)
    found = measure_agreement(said, known_categories())
    if not found.pairs:
        raise UsageError(
            f"Nobody labelled the same {kind.value} as somebody else: 'afin import labels FILE' "
            "adds labels, a row for each labeller."
        )
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _show(found)


def _show(found: LabelAgreement) -> None:
    print_table(
        ("category", "items", "named", "alpha"),
        [(c.category, c.items, c.named, _number(c.alpha)) for c in found.categories if c.named],
    )
    print_table(
        ("labellers", "category", "items", "alike", "kappa"),
        [
            (f"{p.first} / {p.second}", p.category, p.items, f"{p.agreement:.1%}", _number(p.kappa))
            for p in found.pairs
            if p.kappa is not None
        ],
    )
    note("1 is full agreement, 0 what chance would give; from 0.667 on labels are worth learning.")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
