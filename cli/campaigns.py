"""afin campaigns: list, save, rank, delete."""

import getpass
from typing import Annotated

import typer
from pydantic import ValidationError

from cli.output import JsonFlag, note, print_json, print_table
from schemas.errors import UsageError
from storage.campaigns import (
    MIN_FOLLOWERS,
    MIN_POSTS,
    Campaign,
    NewCampaign,
    delete_campaign,
    find_campaign,
    list_campaigns,
    save_campaign,
)
from storage.listing import list_page
from tasks.context import context
from web.exporting import describe

app = typer.Typer(no_args_is_help=True, help="Rank accounts by weighted categories.")

Number = Annotated[int, typer.Argument(help="As 'afin campaigns list' shows it.")]


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """List the saved campaigns by name."""
    with context().database.read() as connection:
        found = list_campaigns(connection)
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    headers = ("id", "name", "weights", "followers", "interactions", "posts", "by")
    print_table(headers, [_row(one) for one in found])


@app.command()
def save(
    name: Annotated[str, typer.Argument(show_default=False)],
    weight: Annotated[
        list[str],
        typer.Option(help="CATEGORY=NUMBER; 2 counts twice as much as 1. May be repeated."),
    ],
    min_followers: Annotated[int, typer.Option(min=0, help="Followers, at least.")] = MIN_FOLLOWERS,
    min_interactions: Annotated[
        float, typer.Option(min=0, help="Likes and comments a post, at least.")
    ] = 0.0,
    min_posts: Annotated[int, typer.Option(min=0, help="Posts judged, at least.")] = MIN_POSTS,
    as_json: JsonFlag = False,
) -> None:
    """Save a campaign."""
    fields = {
        "name": name,
        "weights": dict(_read_weight(text) for text in weight),
        "min_followers": min_followers,
        "min_interactions": min_interactions,
        "min_posts": min_posts,
    }
    try:
        campaign = NewCampaign.model_validate(fields)
    except ValidationError as error:
        raise UsageError(f"{error.errors()[0]['msg']}.") from None
    with context().database.write() as connection:
        saved = save_campaign(connection, campaign, getpass.getuser())
    if as_json:
        print_json(saved.model_dump(mode="json"))
        return
    note(f"Campaign {saved.id} is saved: 'afin campaigns rank {saved.id}' shows who fits.")


@app.command()
def rank(
    campaign: Number,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 25,
    as_json: JsonFlag = False,
) -> None:
    """Show the accounts that fit a campaign best."""
    with context().database.read() as connection:
        wanted = find_campaign(connection, campaign).wanted
        found = list_page(connection, wanted, "affinity", after=None, limit=limit).accounts
    rows = [describe(one) for one in found]
    if as_json:
        print_json(rows)
        return
    shown = ("username", "score", "followers", "usable_posts", "certainty")
    print_table(
        ("username", "affinity", "followers", "posts judged", "certainty", "categories"),
        [(*(row[name] for name in shown), ", ".join(row["categories"])) for row in rows],
    )


@app.command()
def delete(campaign: Number, as_json: JsonFlag = False) -> None:
    """Forget a campaign."""
    with context().database.write() as connection:
        found = find_campaign(connection, campaign)
        delete_campaign(connection, campaign)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    note(f"Campaign {campaign} is forgotten.")


def _read_weight(text: str) -> tuple[str, float]:
    category, _, number = text.partition("=")
    try:
        return category, float(number)
    except ValueError:
        raise UsageError(f"{text!r} is no weight: write it as comida=2.") from None


def _row(one: Campaign) -> tuple[object, ...]:
    weights = ", ".join(f"{name} x {weight:g}" for name, weight in one.weights.items())
    limits = (one.min_followers, f"{one.min_interactions:g}", one.min_posts)
    return (one.id, one.name, weights, *limits, one.author)
