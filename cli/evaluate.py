"""afin evaluate: how good a bundle's verdicts are."""

from typing import Annotated

import typer

from cli.output import JsonFlag, note, print_json, print_table
from pipelines.evaluation.metrics import Scores
from tasks.context import context
from tasks.scoring import score_accounts


def evaluate(
    bundle: Annotated[
        str | None,
        typer.Argument(help="Its id or the beginning of it; else the active one."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Score a bundle's verdicts on every account whose true categories were imported."""
    scores = score_accounts(context(), bundle_id=bundle)
    if as_json:
        print_json(scores.model_dump(mode="json"))
        return
    _print_scores(scores)


def _print_scores(scores: Scores) -> None:
    rows: list[tuple[object, ...]] = [
        (
            score.category,
            score.support,
            score.predicted,
            _percent(score.precision),
            _percent(score.recall),
            _percent(score.f1),
        )
        for score in scores.classes
    ]
    for name, average in (("micro", scores.micro), ("macro", scores.macro)):
        figures = (average.precision, average.recall, average.f1)
        rows.append((name, "", "", *(_percent(figure) for figure in figures)))
    print_table(("category", "accounts", "predicted", "precision", "recall", "F1"), rows)
    low, high = scores.hamming_interval
    note(
        f"{scores.items} accounts. Hamming loss {scores.hamming:.3f} (95 %: {low:.3f}-{high:.3f}); "
        f"predicting nothing: {scores.hamming_of_nothing:.3f}."
    )


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"
