"""Accounts, their posts and verdicts, and campaigns over the API."""

from typing import Any

from sqlalchemy import Connection

from schemas.categories import known_categories
from schemas.errors import NotFoundError, UsageError
from schemas.users import Role
from storage.accounts import find_account
from storage.campaigns import (
    Campaign,
    NewCampaign,
    delete_campaign,
    find_campaign,
    list_campaigns,
    save_campaign,
)
from storage.export import describe_verdicts
from storage.listing import Filter, Order, describe_accounts, list_page
from storage.overrides import add_override, list_overrides
from storage.verdicts import newest_verdicts
from tasks.start import start_classification
from web.api import models
from web.api.operation import Call, Operation
from web.cursor import read_cursor, write_cursor
from web.evidence import read_account, read_history
from web.exporting import write_accounts
from web.pages.accounts import attachment
from web.security import photo_address
from web.site import site_of, user_of

TAG = ("accounts",)
CAMPAIGNS = ("campaigns",)
FILTER = set(Filter.model_fields) - {"weights"}


def operations() -> list[Operation]:
    """Return the operations on accounts and campaigns."""
    one, campaign = "/accounts/{username}", "/campaigns/{id}"
    reviewer = Role.REVIEWER
    return [
        Operation(
            "GET",
            "/accounts",
            "List accounts.",
            list_,
            models.Accounts,
            query=models.AccountsQuery,
            tags=TAG,
        ),
        Operation(
            "GET",
            "/accounts/export",
            "Get all accounts that a filter finds as a file.",
            export,
            list[models.ExportedAccount],
            query=models.AccountsExport,
            tags=TAG,
        ),
        Operation("GET", one, "Get one account with its verdict.", show, models.Account, tags=TAG),
        Operation(
            "GET",
            f"{one}/posts",
            "Get an account's posts with what was made of each.",
            posts,
            list[models.Post],
            tags=TAG,
        ),
        Operation(
            "GET",
            f"{one}/verdict",
            "Get its verdict in the thesis's form.",
            verdict,
            models.ThesisVerdict,
            tags=TAG,
        ),
        Operation(
            "POST",
            f"{one}/classify",
            "Classify it again, ahead of bulk work.",
            classify,
            models.StartedRun,
            role=reviewer,
            status=202,
            tags=TAG,
        ),
        Operation(
            "PUT",
            f"{one}/override",
            "Say something else than the model.",
            override,
            models.Account,
            body=models.NewOverride,
            role=reviewer,
            tags=TAG,
        ),
        Operation("GET", "/campaigns", "List campaigns.", list_all, list[Campaign], tags=CAMPAIGNS),
        Operation(
            "POST",
            "/campaigns",
            "Save a campaign.",
            save,
            Campaign,
            body=NewCampaign,
            role=reviewer,
            status=201,
            tags=CAMPAIGNS,
        ),
        Operation("GET", campaign, "Get one campaign.", campaign_, Campaign, tags=CAMPAIGNS),
        Operation(
            "DELETE",
            campaign,
            "Forget a campaign.",
            forget,
            Campaign,
            role=reviewer,
            tags=CAMPAIGNS,
        ),
        Operation(
            "GET",
            f"{campaign}/accounts",
            "Rank accounts by affinity.",
            ranking,
            models.Accounts,
            query=models.PageQuery,
            tags=CAMPAIGNS,
        ),
    ]


async def list_(call: Call) -> models.Accounts:
    """Return a page of accounts."""
    wanted, order = _wanted(call.query)
    return await _page(call, wanted, order)


async def export(call: Call) -> Any:
    """Return every account that is wanted as a file."""
    wanted, order = _wanted(call.query)
    form = call.query.format
    data = await site_of(call.request).read(write_accounts, wanted, order, form)
    return attachment(data, "accounts", form)


async def show(call: Call) -> models.Account:
    """Return one account."""
    return await site_of(call.request).read(_account, call.path("username"))


async def posts(call: Call) -> list[models.Post]:
    """Return an account's posts."""
    site = site_of(call.request)
    view = await site.call(read_account, site.resources, call.path("username"))
    return [
        models.Post(
            **dict(post),
            photo_urls=tuple(photo_address(site, sha256) for sha256 in post.photos),
        )
        for post in view.posts
    ]


async def verdict(call: Call) -> models.ThesisVerdict:
    """Return a verdict as the thesis wrote it."""

    def read(connection: Connection) -> models.ThesisVerdict:
        account = find_account(connection, call.path("username"))
        stored = newest_verdicts(connection, [account.id])
        if not stored:
            raise NotFoundError(f"{account.username} has no verdict yet: classify it first.")
        return models.ThesisVerdict.model_validate(describe_verdicts(stored)[0])

    return await site_of(call.request).read(read)


async def classify(call: Call) -> models.StartedRun:
    """Start classifying one account."""
    site = site_of(call.request)
    names = [call.path("username")]
    return models.StartedRun(run=await site.call(start_classification, site.resources, names))


async def override(call: Call) -> models.Account:
    """Keep an analyst's word."""
    site, author = site_of(call.request), user_of(call.request).name

    def write(connection: Connection) -> None:
        account = find_account(connection, call.path("username"))
        body = call.body
        add_override(connection, account.id, body.categories, reason=body.reason, author=author)

    await site.write(write)
    return await show(call)


async def list_all(call: Call) -> list[Campaign]:
    """Return all campaigns."""
    return await site_of(call.request).read(list_campaigns)


async def save(call: Call) -> Campaign:
    """Save a campaign."""
    author = user_of(call.request).name
    return await site_of(call.request).write(save_campaign, call.body, author)


async def campaign_(call: Call) -> Campaign:
    """Return one campaign."""
    return await site_of(call.request).read(find_campaign, call.number("id"))


async def forget(call: Call) -> Campaign:
    """Forget a campaign and return what it was."""
    campaign = await campaign_(call)
    await site_of(call.request).write(delete_campaign, campaign.id)
    return campaign


async def ranking(call: Call) -> models.Accounts:
    """Return a page of accounts by their affinity to a campaign."""
    campaign = await campaign_(call)
    return await _page(call, campaign.wanted, "affinity")


async def _page(call: Call, wanted: Filter, order: Order) -> models.Accounts:
    after = read_cursor(call.query.cursor)
    page = await site_of(call.request).read(
        list_page, wanted, order, after=after, limit=call.query.limit
    )
    return models.Accounts(accounts=page.accounts, next=write_cursor(page.next))


def _wanted(query: models.AccountsQuery) -> tuple[Filter, Order]:
    if query.category and query.category not in known_categories():
        raise UsageError(f"Unknown category: use one of {', '.join(known_categories())}.")
    if query.order == "affinity":
        raise UsageError("Affinity is to a campaign: ask for /campaigns/{id}/accounts.")
    order: Order = query.order or ("share" if query.category else "name")
    if order == "share" and not query.category:
        raise UsageError("Which share? Name a category beside order=share.")
    return Filter.model_validate(query.model_dump(include=FILTER)), order


def _account(connection: Connection, username: str) -> models.Account:
    account = find_account(connection, username)
    stored = newest_verdicts(connection, [account.id])
    said = list_overrides(connection, account.id)
    return models.Account(
        account=describe_accounts(connection, [account.id])[0],
        verdict=stored[0] if stored else None,
        history=read_history(connection, account.id),
        override=models.Override(**dict(said[0])) if said else None,
    )
