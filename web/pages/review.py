"""Review: posts of the least certain accounts and doubted labels, settled with the keyboard."""

from typing import get_args

from aiohttp import web
from sqlalchemy import Connection

from schemas.base import Frozen
from schemas.categories import known_categories
from schemas.errors import UsageError
from schemas.users import Role
from schemas.verdicts import PostOutcome
from storage.accounts import account_posts
from storage.bundles import find_bundle
from storage.doubts import DoubtFate, count_doubts, next_doubt, settle_doubt
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

LABELS, CERTAIN, DISPUTED = "labels", "certain", "disputed"
ORDERS = (LABELS, CERTAIN, DISPUTED)
"""What comes first: doubted labels, the least certain accounts, or the most disputed ones."""


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
    site, first = site_of(request), request.query.get("first", "")
    name = user_of(request).name
    # What somebody has sent here comes first, unless another order is asked for.
    doubt = await site.read(next_doubt, name) if first in {"", LABELS} else None
    order = first if first in ORDERS else LABELS if doubt else CERTAIN
    task = None
    if order != LABELS:
        task = await site.read(next_task, name, disputed_first=order == DISPUTED)
    fate = request.query.get("fate", "")
    return render(
        request,
        "review.html",
        task=task,
        doubt=doubt,
        order=order,
        waiting=await site.read(count_doubts),
        answers=list(zip(KEYS, known_categories(), strict=False)),
        fate=fate if fate in {*get_args(Fate), *get_args(DoubtFate)} else "",
        recent=await site.read(_recent),
        counts={"accept": 0, "correct": 0, "skip": 0} | await site.read(count_reviews),
    )


@needs(Role.REVIEWER)
async def settle(request: web.Request) -> web.StreamResponse:
    """Keep a decision and go on to the next post."""
    form = await request.post()
    answer, doubt_id = str(form.get("answer", "")), str(form.get("doubt", ""))
    asked = doubt_id or str(form.get("post", ""))
    if not asked.isdigit():
        raise UsageError("Which post? Load the page again.")
    decision, categories = read_answer(answer)
    fate = await site_of(request).write(
        settle_doubt if doubt_id else decide,
        int(asked),
        reviewer=user_of(request).name,
        decision=decision,
        categories=categories,
    )
    first = str(form.get("first", ""))
    raise web.HTTPSeeOther(f"/review?fate={fate}" + (f"&first={first}" if first in ORDERS else ""))


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
    left = [rows[post_id] for post_id in waiting if post_id in rows]
    if not left:
        return None
    outcomes = read_outcomes(connection, standing.bundle_id, [post.id for post in left])
    said = {post.id: outcomes.get((post.id, PRIMARY)) for post in left}
    post = min(left, key=lambda post: (_sure(said[post.id]), post.id))
    shown = [place.sha256 for place in post.photos if place.sha256]
    view = view_post(post, manifest, said[post.id], {}, read_credits(connection, shown))
    return Task(account=account, post=view, left_of_account=len(left))


def _sure(outcome: PostOutcome | None) -> float:
    return max(outcome.probabilities, default=0.0) if outcome else 0.0


def _recent(connection: Connection) -> list[Review]:
    return list_reviews(connection, limit=RECENT)
