"""afin accounts: list, show, delete."""

from typing import Annotated, Any

import typer
from pydantic import TypeAdapter

from cli.output import JsonFlag, note, print_json, print_table
from schemas.errors import UsageError
from storage.accounts import PostRow, account_posts, find_account, list_accounts
from storage.verdicts import newest_verdicts
from tasks.context import context
from tasks.erasing import erase_doomed, erase_rows

app = typer.Typer(no_args_is_help=True, help="See and erase accounts.")

Username = Annotated[str, typer.Argument(show_default=False)]


@app.command("list")
def list_(
    after: Annotated[str, typer.Option(help="Begin after this name.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    as_json: JsonFlag = False,
) -> None:
    """List accounts by name with what they are about, as far as is known."""
    with context().database.read() as connection:
        accounts = list_accounts(connection, after=after, limit=limit)
        verdicts = newest_verdicts(connection, [account.id for account in accounts])
    found = {one.influencer_id: one.verdicts[0].categories for one in verdicts if one.verdicts}
    if as_json:
        print_json(
            [
                {
                    "username": account.username,
                    "followers": account.followers,
                    "posts": account.posts,
                    "categories": found.get(account.id),
                }
                for account in accounts
            ]
        )
        return
    rows = [
        (
            account.username,
            "" if account.followers is None else account.followers,
            account.posts,
            ", ".join(found[account.id]) or "unknown" if account.id in found else "",
        )
        for account in accounts
    ]
    print_table(("username", "followers", "posts", "categories"), rows)
    if len(accounts) == limit:
        note(f"More may follow: afin accounts list --after {accounts[-1].username}")


@app.command()
def show(username: Username, as_json: JsonFlag = False) -> None:
    """Show one account: its posts, what is wrong with their photos, and its verdict."""
    with context().database.read() as connection:
        account = find_account(connection, username)
        posts = account_posts(connection, [account.id])[account.id]
        verdicts = newest_verdicts(connection, [account.id])
    if as_json:
        print_json(
            {
                **account.model_dump(mode="json", exclude={"id", "posts"}),
                "posts": [_describe_post(post) for post in posts],
                "verdict": verdicts[0].model_dump(mode="json") if verdicts else None,
            }
        )
        return
    print_table(
        ("post", "photos", "problems", "caption"),
        [
            (
                post.external_id,
                sum(place.sha256 is not None for place in post.photos),
                ", ".join(place.problem for place in post.photos if place.problem),
                post.caption[:60].replace("\n", " "),
            )
            for post in posts
        ],
    )
    shares = [share for one in verdicts for verdict in one.verdicts for share in verdict.shares]
    if shares:
        print_table(
            ("category", "posts", "share", "95 % interval", "threshold", "chosen"),
            [
                (
                    share.category,
                    share.posts,
                    f"{share.share:.0%}",
                    f"{share.low:.0%}-{share.high:.0%}",
                    f"{share.threshold:.0%}",
                    "yes" if share.chosen else "",
                )
                for share in shares
            ],
        )


def _describe_post(post: PostRow) -> dict[str, Any]:
    described: dict[str, Any] = TypeAdapter(PostRow).dump_python(post, mode="json")
    del described["caption_sha256"]
    return described


@app.command()
def delete(
    username: Username,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Erase an account: posts, verdicts, labels, and photos that nobody else uses."""
    with context().database.read() as connection:
        account = find_account(connection, username)
    question = f"Erase {account.username} with {account.posts} posts?"
    if not yes and (as_json or not typer.confirm(question, err=True)):
        raise UsageError("Nothing was erased: confirm, or pass --yes.")
    with context().database.write() as connection:
        erase_rows(connection, account.username)
    photos = erase_doomed(context())
    if as_json:
        print_json({"deleted": account.username, "photos": photos})
    else:
        note(f"Erased {account.username}: {account.posts} posts, {photos} photos.")
