"""What protects the pages: headers, CSRF tokens, signed addresses, roles, limits on guessing."""

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlsplit

from aiohttp import web

from schemas.users import Role
from web.site import CSRF, Site, site_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Opened = TypeVar("Opened", bound=Callable[..., Awaitable[web.StreamResponse]])

CSRF_FIELD = "csrf"
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
PHOTO_ADDRESS_S = 3600
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}

_ROLE = "afin_role"
_OPEN = "afin_open"


def needs(role: Role) -> Callable[[Handler], Handler]:
    """Mark a handler as one that only users of a role, or a higher one, may call."""

    def mark(handler: Handler) -> Handler:
        setattr(handler, _ROLE, role)
        return handler

    return mark


def open_to_all(handler: Opened) -> Opened:
    """Mark a handler as one that checks for itself who calls, or that anybody may call."""
    setattr(handler, _OPEN, True)
    return handler


def is_open(request: web.Request) -> bool:
    """Whether anybody may ask for this: sign-in, its style sheet, signed events, health."""
    handler = request.match_info.handler
    return bool(getattr(handler, _OPEN, False)) or request.path.startswith("/static/")


def role_needed(request: web.Request) -> Role:
    """Return the least role for a request; what changes something is for operators by default."""
    marked = getattr(request.match_info.handler, _ROLE, None)
    if isinstance(marked, Role):
        return marked
    return Role.VIEWER if request.method in SAFE_METHODS else Role.OPERATOR


def csrf_token(site: Site, cookie: str) -> str:
    """Return the token that forms carry: only our own pages can know it for this cookie."""
    return sign(site, f"csrf:{cookie}")


async def check_csrf(request: web.Request) -> None:
    """Refuse a change that another site's page could have asked for.

    Raises:
        web.HTTPForbidden: the token is missing or another one, or the request's origin is foreign.
    """
    site_header = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.host
    if site_header not in {"same-origin", "none"} or (foreign and not _ours(request, origin)):
        raise web.HTTPForbidden(reason="Asked for by another site")
    given = request.headers.get(CSRF_HEADER)
    if given is None and request.content_type in {
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    }:
        given = str((await request.post()).get(CSRF_FIELD, ""))
    expected = request.get(CSRF, "")
    if not expected or not hmac.compare_digest((given or "").encode(), expected.encode()):
        page = "This page is too old: load it again"
        raise web.HTTPForbidden(reason=page if given else "A change needs a page's form or a token")


def _ours(request: web.Request, origin: str | None) -> bool:
    url = site_of(request).resources.settings.web_url
    return url is not None and urlsplit(url).netloc == urlsplit(origin or "").netloc


def sign(site: Site, text: str) -> str:
    """Return a keyed hash of a text, short enough for an address."""
    return hmac.new(site.secret, text.encode(), hashlib.sha256).hexdigest()[:32]


def photo_address(site: Site, sha256: str, *, small: bool = False) -> str:
    """Return an address that shows one photo to whoever has it, for an hour."""
    until = int(time.time()) + PHOTO_ADDRESS_S
    path = f"/photos/{sha256}" + ("/small" if small else "")
    return f"{path}?until={until}&sign={sign(site, f'{path}:{until}')}"


def is_signed(request: web.Request) -> bool:
    """Whether a request's address carries our signature and is not too old."""
    until, given = request.query.get("until", ""), request.query.get("sign", "")
    if not until.isdigit() or int(until) < time.time():
        return False
    expected = sign(site_of(request), f"{request.path}:{until}")
    return hmac.compare_digest(given.encode(), expected.encode())


class Attempts:
    """Counts failures by key within a window; kept in memory, for as many keys as fit."""

    def __init__(self, *, at_most: int, window_s: float, keys: int = 10_000) -> None:
        self._at_most = at_most
        self._window_s = window_s
        self._keys = keys
        self._failed: OrderedDict[str, list[float]] = OrderedDict()

    def wait_s(self, key: str) -> float:
        """Return how long nobody may try again under a key; 0 if now."""
        now = time.monotonic()
        recent = [when for when in self._failed.get(key, ()) if now - when < self._window_s]
        if len(recent) < self._at_most:
            return 0.0
        return self._window_s - (now - recent[-self._at_most])

    def note(self, key: str) -> None:
        """Note a failure."""
        now = time.monotonic()
        recent = [when for when in self._failed.pop(key, ()) if now - when < self._window_s]
        self._failed[key] = [*recent[-self._at_most :], now]
        while len(self._failed) > self._keys:
            self._failed.popitem(last=False)
