"""afin refresh: the new posts of accounts that are known already."""

from typing import Annotated

import typer

from cli.output import JsonFlag
from cli.scrape import WaitFlag, follow
from schemas.errors import UsageError
from tasks.context import context
from tasks.renewal import refresh_accounts, refresh_everybody
from tasks.start import require_workers
from tasks.start_crawl import CRAWLING


def refresh(
    usernames: Annotated[
        list[str] | None, typer.Argument(metavar="[USERNAME]…", show_default=False)
    ] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Every known account.")] = False,
    wait: WaitFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Fetch new posts of known accounts of businesses and creators, newest first."""
    if bool(usernames) == everybody:
        raise UsageError("Say whose posts: names, or --all for every known account; not both.")
    resources = context()
    require_workers(resources, CRAWLING)
    started = refresh_accounts(resources, usernames) if usernames else refresh_everybody(resources)
    follow(started, wait=wait, as_json=as_json)
