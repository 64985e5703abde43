"""afin evaluate: how good a bundle is, on any labelled set."""

from typing import Annotated

import typer

from cli.output import JsonFlag, note, print_json, print_table, warn
from cli.progress import metering
from pipelines.evaluation.assess import SetEvaluation, SetKind
from pipelines.evaluation.metrics import Interval, Scores
from schemas.errors import UsageError
from storage.bundles import find_bundle
from tasks.context import context
from tasks.scoring import score_accounts, score_set

COMPUTING = "Computing missing vectors of photos here"

PhotosOption = Annotated[
    str | None, typer.Option(help="Score every method on the photos of this source or labeller.")
]
PostsOption = Annotated[
    str | None, typer.Option(help="Score every method on this labeller's posts; all: everybody's.")
]
AccountsOption = Annotated[
    str | None,
    typer.Option(help="Score every method on this labeller's accounts; all: everybody's."),
]


def evaluate(
    bundle: Annotated[
        str | None,
        typer.Argument(help="Its id or the beginning of it; else the active one."),
    ] = None,
    photos: PhotosOption = None,
    posts: PostsOption = None,
    accounts: AccountsOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Score a bundle: every method on a labelled set, or its verdicts on all labelled accounts.

    What the bundle was trained on is left out. Missing vectors are computed here, without workers.
    """
    chosen = choose_set(photos, posts, accounts)
    if chosen is None:
        scores = score_accounts(context(), bundle_id=bundle)
        if as_json:
            print_json(scores.model_dump(mode="json"))
        else:
            _print_scores(scores)
        return
    resources = context()
    with resources.database.read() as connection:
        info = find_bundle(connection, bundle)
    with metering(COMPUTING) as meter:
        scored = score_set(resources, info, *chosen, on_step=meter.show)
    if as_json:
        print_json(scored.evaluation.model_dump(mode="json"))
    else:
        print_evaluation(scored.evaluation)


def choose_set(
    photos: str | None, posts: str | None, accounts: str | None
) -> tuple[SetKind, str] | None:
    """Return the one set that was asked for; None where none was.

    Raises:
        UsageError: several were.
    """
    asked: list[tuple[SetKind, str]] = []
    if photos is not None:
        asked.append(("photos", photos))
    if posts is not None:
        asked.append(("posts", posts))
    if accounts is not None:
        asked.append(("accounts", accounts))
    if len(asked) > 1:
        raise UsageError("One set at a time: give one of --photos, --posts and --accounts.")
    return asked[0] if asked else None


def print_evaluation(found: SetEvaluation) -> None:
    """Print a row a method, best marked, and what has to be known to read it."""
    rows = [
        (
            f"{'* ' if row.best else '  '}{row.label}",
            f"{_percent(row.top)} {_range(row.top_interval)}",
            f"{_percent(row.exact)} {_range(row.exact_interval)}",
            f"{_percent(row.scores.macro.f1)} {_range(row.scores.macro_f1_interval)}",
            _percent(row.scores.macro.precision),
            _percent(row.scores.macro.recall),
            _percent(row.scores.coverage),
            f"{row.scores.hamming:.3f}",
            "" if row.difference is None else f"{row.difference.p_adjusted:.3g}",
        )
        for row in found.table.rows
    ]
    headers = (
        *("method", "top class right", "exactly right", "macro-F1"),
        *("precision", "recall", "coverage", "Hamming", "p (McNemar)"),
    )
    print_table(headers, rows)
    seen = f"; {found.seen} more were trained on and left out" if found.seen else ""
    note(
        f"{found.items} {found.kind} of {found.name} ({found.relation}){seen}. 95 % intervals in "
        "brackets; * is the best by macro-F1. Hamming loss of predicting nothing: "
        f"{found.table.rows[0].scores.hamming_of_nothing:.3f}."
    )
    for line in found.notes:
        warn(line)


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


def _range(interval: Interval | None) -> str:
    return "" if interval is None else f"[{interval[0]:.1%}, {interval[1]:.1%}]"
