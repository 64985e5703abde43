"""afin labels: what people say, and how far they agree."""

from enum import StrEnum
from typing import Annotated

import typer

from cli.output import JsonFlag, note, print_json, print_table
from pipelines.agreement import LabelAgreement, measure_agreement
from schemas.categories import known_categories
from schemas.errors import UsageError
from storage.doubts import add_doubts
from storage.labels import read_said
from tasks.context import context
from tasks.doubts import doubt_labels

SHOWN = 24
"""Characters of a photo's hash or a post's name that tell it from all others."""

app = typer.Typer(no_args_is_help=True, help="How far labellers agree; which labels are doubtful.")


class Kind(StrEnum):
    """What was labelled."""

    PHOTO = "photo"
    POST = "post"
    ACCOUNT = "account"


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


@app.command()
def doubtful(
    bundle: Annotated[
        str | None,
        typer.Option(help="Whose vectors are used: its id, or the beginning of it."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the most doubtful ones.")] = None,
    send_to_review: Annotated[
        bool, typer.Option(help="Show them on the Review page, where people settle them.")
    ] = False,
    seed: Annotated[int, typer.Option(help="How samples are divided into five folds.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """List labels of training photos and tagged posts that are probably wrong.

    By confident learning: each is judged by a model that was trained without it and its like.
    """
    resources = context()
    found = doubt_labels(resources, bundle, seed=seed)
    listed = found.doubts[:limit]
    new = None
    if send_to_review:
        with resources.database.write() as connection:
            new = add_doubts(connection, listed)
    if as_json:
        print_json(
            {
                "bundle": found.bundle_id,
                "looked_at": found.looked_at,
                "doubtful": len(found.doubts),
                "sent_to_review": new,
                "doubts": [one.model_dump() for one in listed],
            }
        )
        return
    print_table(
        ("", "which", "label", "probability", "rather", "probability"),
        [
            (
                one.kind,
                one.target[:SHOWN],
                one.given,
                f"{one.given_probability:.1%}",
                one.suggested,
                f"{one.suggested_probability:.1%}",
            )
            for one in listed
        ],
    )
    note(f"{len(found.doubts)} of {found.looked_at} labels are doubtful.")
    if new is not None:
        note(f"{new} more of them wait on the Review page.")
    elif listed:
        note("--send-to-review shows them on the Review page.")


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
