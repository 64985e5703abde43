"""One account: what it is about, the posts that prove it, and what people say instead."""

from urllib.parse import quote

from aiohttp import web
from sqlalchemy import Connection

from schemas.categories import known_categories
from schemas.settings import Settings
from schemas.users import Role
from schemas.verdicts import CategoryShare
from storage.accounts import find_account
from storage.bundles import find_bundle
from storage.overrides import add_override
from storage.standings import read_standings
from storage.word_evidence import WordWeight, read_words
from tasks.app import app as celery
from tasks.app import require_broker
from tasks.start import start_classification
from web.evidence import AccountView, PostView, read_account, speaking_photos
from web.render import render
from web.security import needs
from web.site import site_of, user_of

Words = dict[str, tuple[WordWeight, ...]]

POSTS_SHOWN = 48
WAIT_POLLS = 30


def routes() -> list[web.AbstractRouteDef]:
    """Return the addresses of this page."""
    return [
        web.get("/accounts/{username}", show),
        web.get("/accounts/{username}/words", show_words),
        web.post("/accounts/{username}/words", ask_for_words),
        web.post("/accounts/{username}/classify", classify),
        web.post("/accounts/{username}/override", override),
    ]


async def show(request: web.Request) -> web.StreamResponse:
    """Show an account, perhaps only its posts of one category."""
    site = site_of(request)
    view = await site.call(read_account, site.resources, request.match_info["username"])
    only = request.query.get("category", "")
    about = _about(view, only)
    speaking, against = speaking_photos(view.posts, about) if about else ([], [])
    posts = _arrange(view, only)
    return render(
        request,
        "account.html",
        view=view,
        only=only,
        about=about,
        speaking=speaking,
        against=against,
        posts=posts[: None if "all" in request.query else POSTS_SHOWN],
        hidden=max(0, len(posts) - POSTS_SHOWN) if "all" not in request.query else 0,
        words=(view.words or {}).get(about, ()),
        asked=False,
        categories=known_categories(),
    )


async def show_words(request: web.Request) -> web.StreamResponse:
    """Show what words say, or that they are still being weighed."""
    username, about = request.match_info["username"], request.query.get("about", "")
    polls = int(request.query.get("polls", "0")[:4] or 0) if "polls" in request.query else 0
    found = await site_of(request).read(_words, username)
    return render(
        request,
        "_words.html",
        username=username,
        about=about,
        words=(found or {}).get(about, ()),
        known=found is not None,
        asked=found is None and polls < WAIT_POLLS,
        polls=polls + 1,
    )


@needs(Role.REVIEWER)
async def ask_for_words(request: web.Request) -> web.StreamResponse:
    """Ask a cpu worker to weigh the words, since the text model is too large for this process."""
    site, username = site_of(request), request.match_info["username"]
    influencer_id, bundle_id = await site.read(_judged_by, username)
    await site.call(_send_words, site.resources.settings, influencer_id, bundle_id)
    about = str((await request.post()).get("about", ""))
    return render(
        request,
        "_words.html",
        username=username,
        about=about,
        words=(),
        known=False,
        asked=True,
        polls=0,
    )


@needs(Role.REVIEWER)
async def classify(request: web.Request) -> web.StreamResponse:
    """Classify an account again, ahead of any bulk run, and show that run."""
    site, username = site_of(request), request.match_info["username"]
    run_id = await site.call(start_classification, site.resources, [username])
    raise web.HTTPSeeOther(f"/runs/{run_id}")


@needs(Role.REVIEWER)
async def override(request: web.Request) -> web.StreamResponse:
    """Keep what the analyst says of an account, beside what the model says."""
    form, username = await request.post(), request.match_info["username"]
    taken_back = form.get("what") == "take-back"
    categories = None if taken_back else [str(name) for name in form.getall("categories", [])]
    await site_of(request).write(
        _override, username, categories, str(form.get("reason", "")), user_of(request).name
    )
    raise web.HTTPSeeOther(f"/accounts/{quote(username)}#override")


def _override(
    connection: Connection, username: str, categories: list[str] | None, reason: str, author: str
) -> None:
    account = find_account(connection, username)
    add_override(connection, account.id, categories, reason=reason, author=author)


def _words(connection: Connection, username: str) -> Words | None:
    influencer_id, bundle_id = _judged_by(connection, username)
    return read_words(connection, influencer_id, bundle_id)


def _judged_by(connection: Connection, username: str) -> tuple[int, str]:
    """Return an account's id and the bundle whose verdict is in force, else the active one."""
    account = find_account(connection, username)
    standing = read_standings(connection, [account.id]).get(account.id)
    return account.id, standing.bundle_id if standing else find_bundle(connection).id


def _send_words(settings: Settings, influencer_id: int, bundle_id: str) -> None:
    require_broker(settings)
    celery.send_task("explain.words", (influencer_id, bundle_id), queue="cpu.event")


def _about(view: AccountView, only: str) -> str:
    if only in known_categories():
        return only
    return view.top.category if view.top else ""


def _arrange(view: AccountView, only: str) -> list[PostView]:
    """Return posts of the largest category first, the surest of each first, the unusable last."""
    ranks = {share.category: place for place, share in enumerate(_shares(view))}
    if only == "unknown":
        chosen = [post for post in view.posts if post.category is None and post.halves != "none"]
    elif only:
        chosen = [post for post in view.posts if post.category == only]
    else:
        chosen = list(view.posts)
    last = len(ranks)
    return sorted(
        chosen,
        key=lambda post: (
            post.sure is None,
            ranks.get(post.category or "", last),
            -(post.sure or 0),
            post.id,
        ),
    )


def _shares(view: AccountView) -> tuple[CategoryShare, ...]:
    return view.verdict.shares if view.verdict else ()
