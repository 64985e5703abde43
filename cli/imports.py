"""afin import: photos, accounts and labels from files."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from cli.output import JsonFlag, note, print_json, print_table, warn
from cli.progress import metering
from pipelines.sources.accounts import read_accounts
from pipelines.sources.labels import read_labels
from pipelines.sources.photos import read_labelled_photos
from tasks.context import context
from tasks.ingest import Intake, take_accounts, take_labels, take_photos

app = typer.Typer(no_args_is_help=True, help="Take in photos, accounts and labels from files.")

Item = TypeVar("Item")

InputPath = Annotated[Path, typer.Argument(metavar="FILE_OR_FOLDER", show_default=False)]


@app.command()
def photos(
    path: InputPath,
    source: Annotated[
        str, typer.Option(help="Where these photos are from; names the set in later reports.")
    ],
    as_json: JsonFlag = False,
) -> None:
    """Import labelled photos: a folder per category, or a table with file, category, split."""
    items = read_labelled_photos(path)
    intake = _import(
        items,
        "photos",
        lambda step: take_photos(context(), items, source=source, on_item=step),
    )
    _report(intake, as_json=as_json)


@app.command()
def accounts(path: InputPath, as_json: JsonFlag = False) -> None:
    """Import accounts with posts: JSON Lines, CSV, or Instaloader and gallery-dl folders."""
    settings = context().settings
    items = read_accounts(path, max_caption_chars=settings.max_caption_chars)
    intake = _import(
        items,
        "accounts",
        lambda step: take_accounts(context(), items, origin=path.name, on_item=step),
    )
    _report(intake, as_json=as_json)


@app.command()
def labels(path: InputPath, as_json: JsonFlag = False) -> None:
    """Import what people say of photos, posts and accounts: kind, id, categories, labeller."""
    _report(take_labels(context(), read_labels(path), origin=path.name), as_json=as_json)


def _import(
    _items: Iterable[Item], what: str, take: Callable[[Callable[[], None]], Intake]
) -> Intake:
    with metering(f"Importing {what}") as meter:
        return take(meter.step)


def _report(intake: Intake, *, as_json: bool) -> None:
    if as_json:
        print_json(intake.model_dump(mode="json"))
        return
    kinds = ("accounts", "posts", "photos", "to_fetch", "labels")
    counted = [(kind, getattr(intake, kind)) for kind in kinds if getattr(intake, kind)]
    print_table(("imported", "count"), counted or [("nothing", 0)])
    if intake.to_fetch:
        note(
            f"{intake.to_fetch} photos are addresses: scrape workers fetch them when their "
            "accounts are classified."
        )
    if intake.problems:
        total = sum(intake.problems.values())
        warn(f"{total} problems, recorded beside what has them: {describe_problems(intake)}.")
        for problem in intake.examples:
            warn(f"  {problem.where}: {problem.detail}")


def describe_problems(intake: Intake) -> str:
    """Return the reasons of an import's problems with their counts."""
    return ", ".join(f"{reason} {count}" for reason, count in intake.problems.items())
