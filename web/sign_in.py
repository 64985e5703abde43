"""Who asks: sessions after sign-in, tokens for programs, anybody on loopback where allowed."""

import secrets
from functools import cache
from urllib.parse import quote

from aiohttp import web
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection

from schemas.errors import NotFoundError, UsageError
from schemas.settings import Settings
from schemas.users import LOCAL, Role, User
from storage.users import (
    SESSION_HOURS,
    close_session,
    count_users,
    find_user,
    open_session,
    session_user,
    token_user,
)
from web.render import render
from web.security import Attempts, csrf_token, needs, open_to_all
from web.site import CSRF, LOOPBACK, USER, Site, site_of

MIN_PASSWORD = 10
BY_NAME = web.AppKey("by_name", Attempts)
BY_PEER = web.AppKey("by_peer", Attempts)


@cache
def hasher() -> PasswordHasher:
    """Return the one hasher, with argon2's own present defaults."""
    return PasswordHasher()


def hash_password(password: str) -> str:
    """Return what is kept of a password.

    Raises:
        UsageError: it is too short.
    """
    if len(password) < MIN_PASSWORD:
        raise UsageError(f"A password has at least {MIN_PASSWORD} characters: use a longer one.")
    return hasher().hash(password)


def needs_sign_in(settings: Settings) -> bool:
    """Whether people have to sign in: always, but on loopback where it was not asked for."""
    return settings.web_sign_in or settings.web_address not in LOOPBACK


def check_users(connection: Connection, settings: Settings) -> None:
    """Refuse to serve pages that nobody could sign in to, or that everybody could read.

    Raises:
        UsageError: sign-in is needed and there are no users.
    """
    if needs_sign_in(settings) and count_users(connection) == 0:
        raise UsageError(
            "Nobody could sign in: add somebody with 'afin users add NAME --role operator' first, "
            "or leave AFIN_WEB_ADDRESS at 127.0.0.1."
        )


def cookie_name(site: Site) -> str:
    """Return the session cookie's name; with __Host- browsers take it over https only."""
    return "__Host-afin" if site.secure else "afin"


async def identify(request: web.Request) -> tuple[User | None, bool]:
    """Return who asks, and whether by token (which no other site's page can send)."""
    site = site_of(request)
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return await site.read(token_user, token.strip()), True
    if not site.sign_in:
        return LOCAL, False
    cookie = request.cookies.get(cookie_name(site))
    return (await site.read(session_user, cookie) if cookie else None), False


def set_cookie(site: Site, response: web.StreamResponse, value: str) -> None:
    """Give a browser its session: not readable by scripts, not sent by other sites' forms."""
    response.set_cookie(
        cookie_name(site),
        value,
        httponly=True,
        secure=site.secure,
        samesite="Lax",
        path="/",
        max_age=SESSION_HOURS * 3600,
    )


def anonymous_cookie(request: web.Request) -> str:
    """Return the cookie of a browser nobody has signed in with, drawn if it has none yet."""
    return request.cookies.get(cookie_name(site_of(request))) or secrets.token_urlsafe(24)


@open_to_all
async def show_form(request: web.Request) -> web.StreamResponse:
    """Show the sign-in form."""
    return _show(request, _local(request.query.get("to", "/")))


@open_to_all
async def sign_in(request: web.Request) -> web.StreamResponse:
    """Check name and password, and begin a session."""
    site = site_of(request)
    form = await request.post()
    name, password = str(form.get("name", ""))[:100], str(form.get("password", ""))[:1000]
    where = _local(str(form.get("to", "/")))
    by_name, by_peer = request.config_dict[BY_NAME], request.config_dict[BY_PEER]
    peer = request.remote or ""
    wait_s = max(by_name.wait_s(name), by_peer.wait_s(peer))
    if wait_s > 0:
        page = _show(request, where, failed="sign_in.wait", status=429)
        page.headers["Retry-After"] = str(int(wait_s) + 1)
        return page
    user = await site.call(_check_password, site, name, password)
    if user is None:
        by_name.note(name)
        by_peer.note(peer)
        return _show(request, where, failed="sign_in.wrong", status=403)
    token = await site.write(open_session, user.id)
    response = web.HTTPSeeOther(where)
    set_cookie(site, response, token)
    raise response


@needs(Role.VIEWER)
async def sign_out(request: web.Request) -> web.StreamResponse:
    """End the session."""
    site = site_of(request)
    cookie = request.cookies.get(cookie_name(site))
    if cookie:
        await site.write(close_session, cookie)
    response = web.HTTPSeeOther("/sign-in" if site.sign_in else "/")
    response.del_cookie(cookie_name(site), path="/", secure=site.secure)
    raise response


def adopt(request: web.Request, user: User | None, cookie: str) -> None:
    """Note on a request who asks and which token its forms must carry."""
    if user is not None:
        request[USER] = user
    request[CSRF] = csrf_token(site_of(request), cookie)


def _show(request: web.Request, where: str, *, failed: str = "", status: int = 200) -> web.Response:
    """Show the form; who chooses a language there still gets to where they wanted."""
    here = f"/sign-in?to={quote(where)}"
    return render(request, "sign_in.html", failed=failed, where=where, here=here, status=status)


def _check_password(site: Site, name: str, password: str) -> User | None:
    with site.resources.database.read() as connection:
        try:
            user, stored = find_user(connection, name)
        except NotFoundError:
            user, stored = None, _nobody()
    try:
        hasher().verify(stored, password)
    except (VerificationError, InvalidHashError):
        return None
    return user


@cache
def _nobody() -> str:
    """A hash that nothing matches: an unknown name must take as long as a known one."""
    return hasher().hash(secrets.token_urlsafe(24))


def _local(where: str) -> str:
    """Return an address within these pages, or the first page: never lead people elsewhere."""
    fine = where.startswith("/") and not where.startswith(("//", "/\\")) and where.isprintable()
    return where if fine else "/"
