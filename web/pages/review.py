"""Review: posts of the least certain accounts, settled one by one with the keyboard."""

from typing import get_args

from aiohttp import web
from sqlalchemy import Connection

from schemas.base import Frozen
from schemas.bundles import BundleManifest
from schemas.categories import known_categories
from schemas.errors import UsageError
from schemas.users import Role
from storage.accounts import PostRow, account_posts
from storage.bundles import find_bundle
from storage.listing import Listed, describe_accounts
from storage.photos import read_credits
from storage.reviews import (
    Decision,
    Fate,
    Review,
    count_reviews,
    decide,
    list_reviews,
    next_posts,
)
from storage.standings import PRIMARY
from storage.verdicts import read_outcomes
from web.evidence import PostView, view_post
from web.render import render
from web.security import needs
from web.site import site_of, user_of

KEYS = "123456789abcdefghi"
RECENT = 12


class Task(Frozen):
    """A post to settle, with the account it belongs to."""

    account: Listed
    post: PostView
    left_of_account: int


def routes() -> list[web.AbstractRouteDef]:
    """Return the addresses of this page."""
    return [web.get("/review", show), web.post("/review", settle)]


@needs(Role.REVIEWER)
async def show(request: web.Request) -> web.StreamResponse:
    """Show the post to settle next, and the labels made last."""
    site, disputed = site_of(request), request.query.get("first") == "disputed"
    task = await site.read(next_task, user_of(request).name, disputed_first=disputed)
    fate = request.query.get("fate", "")
    return render(
        request,
        "review.html",
        task=task,
        disputed=disputed,
        answers=list(zip(KEYS, known_categories(), strict=False)),
        fate=fate if fate in get_args(Fate) else "",
        recent=await site.read(_recent),
        counts={"accept": 0, "correct": 0, "skip": 0} | await site.read(count_reviews),
    )


@needs(Role.REVIEWER)
async def settle(request: web.Request) -> web.StreamResponse:
    """Keep a decision and go on to the next post."""
    form = await request.post()
    post_id, answer = str(form.get("post", "")), str(form.get("answer", ""))
    if not post_id.isdigit():
        raise UsageError("Which post? Load the page again.")
    decision, categories = read_answer(answer)
    fate = await site_of(request).write(
        decide,
        int(post_id),
        reviewer=user_of(request).name,
        decision=decision,
        categories=categories,
    )
    first = "&first=disputed" if form.get("first") == "disputed" else ""
    raise web.HTTPSeeOther(f"/review?fate={fate}{first}")


def read_answer(answer: str) -> tuple[Decision, tuple[str, ...]]:
    """Return what a button means: accept, skip, none of ours, or a category's slug."""
    if answer == "accept":
        return "accept", ()
    if answer == "skip":
        return "skip", ()
    return "correct", () if answer == "none" else (answer,)


def next_task(connection: Connection, reviewer: str, *, disputed_first: bool) -> Task | None:
    """Return the least certain post of the account that comes next."""
    found = next_posts(connection, reviewer, disputed_first=disputed_first)
    if found is None:
        return None
    influencer_id, waiting = found
    (account,) = describe_accounts(connection, [influencer_id])
    standing = account.standing
    if standing is None:
        return None
    manifest = find_bundle(connection, standing.bundle_id).manifest
    rows = {post.id: post for post in account_posts(connection, [influencer_id])[influencer_id]}
    views = [
        _view(connection, rows[post_id], standing.bundle_id, manifest)
        for post_id in waiting
        if post_id in rows
    ]
    views.sort(key=lambda post: (post.sure or 0.0, post.id))
    return Task(account=account, post=views[0], left_of_account=len(views)) if views else None


def _view(
    connection: Connection, post: PostRow, bundle_id: str, manifest: BundleManifest
) -> PostView:
    outcome = read_outcomes(connection, bundle_id, [post.id]).get((post.id, PRIMARY))
    shown = [place.sha256 for place in post.photos if place.sha256]
    return view_post(post, manifest, outcome, {}, read_credits(connection, shown))


def _recent(connection: Connection) -> list[Review]:
    return list_reviews(connection, limit=RECENT)
