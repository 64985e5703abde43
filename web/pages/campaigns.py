"""Campaigns: saved rankings of accounts by weighted categories."""

from collections.abc import Mapping

from aiohttp import web
from pydantic import ValidationError

from schemas.categories import known_categories
from schemas.errors import UsageError
from schemas.users import Role
from storage.campaigns import (
    MIN_FOLLOWERS,
    MIN_POSTS,
    NewCampaign,
    delete_campaign,
    find_campaign,
    list_campaigns,
    save_campaign,
)
from web.cursor import read_cursor, write_cursor
from web.exporting import FORMATS, write_accounts
from web.pages.accounts import PAGE, attachment, find
from web.render import render
from web.security import needs
from web.site import site_of, user_of


def routes() -> list[web.AbstractRouteDef]:
    """Return the addresses of these pages."""
    return [
        web.get("/campaigns", show_all),
        web.post("/campaigns", save),
        web.get(r"/campaigns/{id:\d{1,12}}", show),
        web.get(r"/campaigns/{id:\d{1,12}}/export", export),
        web.post(r"/campaigns/{id:\d{1,12}}/delete", delete),
    ]


async def show_all(request: web.Request) -> web.StreamResponse:
    """Show the saved campaigns and a form for another."""
    return render(
        request,
        "campaigns.html",
        campaigns=await site_of(request).read(list_campaigns),
        categories=known_categories(),
        min_followers=MIN_FOLLOWERS,
        min_posts=MIN_POSTS,
    )


async def show(request: web.Request) -> web.StreamResponse:
    """Show accounts by their affinity to a campaign."""
    site = site_of(request)
    campaign = await site.read(find_campaign, int(request.match_info["id"]))
    after = read_cursor(request.query.get("after"))
    found = await site.read(find, campaign.wanted, "affinity", after=after, limit=PAGE)
    following = write_cursor(found.next)
    more = f"/campaigns/{campaign.id}?after={following}" if following else None
    partial = after is not None and request.headers.get("HX-Request")
    template = "_cards.html" if partial else "campaign.html"
    return render(request, template, campaign=campaign, found=found, more=more)


async def export(request: web.Request) -> web.StreamResponse:
    """Send a campaign's ranking as CSV, JSON or Parquet."""
    form = request.query.get("format", "csv")
    if form not in FORMATS:
        raise UsageError(f"Unknown format {form!r}: use one of {', '.join(FORMATS)}.")
    site = site_of(request)
    campaign = await site.read(find_campaign, int(request.match_info["id"]))
    data = await site.read(write_accounts, campaign.wanted, "affinity", form)
    return attachment(data, f"campaign-{campaign.id}", form)


@needs(Role.REVIEWER)
async def save(request: web.Request) -> web.StreamResponse:
    """Save a campaign and show its ranking."""
    form = await request.post()
    campaign = _read_form({name: str(value) for name, value in form.items()})
    saved = await site_of(request).write(save_campaign, campaign, user_of(request).name)
    raise web.HTTPSeeOther(f"/campaigns/{saved.id}")


@needs(Role.REVIEWER)
async def delete(request: web.Request) -> web.StreamResponse:
    """Forget a campaign."""
    await site_of(request).write(delete_campaign, int(request.match_info["id"]))
    raise web.HTTPSeeOther("/campaigns")


def _read_form(form: Mapping[str, str]) -> NewCampaign:
    weights = {slug: form.get(f"weight-{slug}") or "0" for slug in known_categories()}
    fields = {
        "name": form.get("name", "").strip(),
        "weights": weights,
        "min_followers": form.get("min_followers") or "0",
        "min_interactions": form.get("min_interactions") or "0",
        "min_posts": form.get("min_posts") or "0",
    }
    try:
        return NewCampaign.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
