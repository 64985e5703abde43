"""The application: routes of all pages and of the API, and what every request goes through."""

import logging
import secrets
from collections.abc import Iterable

from aiohttp import web
from aiohttp.typedefs import Handler
from sqlalchemy.exc import SQLAlchemyError

from schemas.errors import AfinError, BrokerError, NotFoundError, UsageError, WorkersError
from tasks.at_work import at_work
from tasks.context import Context
from tasks.tracing import tracing_request
from web import photos, sign_in, statics
from web.api import routes as api_routes
from web.metrics import metrics_routes
from web.pages import account, accounts, campaigns, choices, maps, models, review, runs
from web.problems import answer_problem
from web.render import make_templates
from web.security import (
    HEADERS,
    SAFE_METHODS,
    Attempts,
    check_csrf,
    is_open,
    is_signed,
    open_to_all,
    role_needed,
)
from web.sign_in import adopt, anonymous_cookie, cookie_name, identify, set_cookie
from web.site import LOOPBACK, SITE, USER, Site, read_secret, site_of

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1 << 20
YEAR_S = 365 * 24 * 3600


def create_app(
    resources: Context,
    *,
    flower_url: str | None = None,
    extra_routes: Iterable[web.AbstractRouteDef] = (),
) -> web.Application:
    """Return the application; ``extra_routes`` are others' (signed events, say), under its rules.

    Raises:
        UsageError: it would be open to the network, or nobody could sign in.
    """
    settings = resources.settings
    with resources.database.read() as connection:
        sign_in.check_users(connection, settings)
    secret = settings.web_secret.get_secret_value() if settings.web_secret else None
    https = bool(settings.web_url and settings.web_url.startswith("https://"))
    site = Site(
        resources=resources,
        templates=make_templates(),
        secret=read_secret(settings.data_dir.absolute(), secret),
        sign_in=sign_in.needs_sign_in(settings),
        secure=https or settings.web_address not in LOOPBACK,
        flower_url=flower_url,
    )
    app = web.Application(
        middlewares=[with_ids, with_headers, with_problems, with_user],
        client_max_size=MAX_BODY_BYTES,
    )
    app[SITE] = site
    app[sign_in.BY_NAME] = Attempts(at_most=5, window_s=60)
    app[sign_in.BY_PEER] = Attempts(at_most=30, window_s=60)
    app.on_cleanup.append(_close)
    app.add_routes(
        [
            web.get("/sign-in", sign_in.show_form),
            web.post("/sign-in", sign_in.sign_in),
            web.post("/sign-out", sign_in.sign_out),
            web.get("/healthz", healthz),
            web.get("/favicon.ico", favicon),
        ]
    )
    pages = (accounts, account, campaigns, review, runs, models, maps, choices, photos, statics)
    for module in pages:
        app.add_routes(module.routes())
    app.add_routes(api_routes.routes())
    app.add_routes(metrics_routes())
    app.add_routes(extra_routes)
    return app


@open_to_all
async def healthz(request: web.Request) -> web.StreamResponse:
    """Say whether the database answers."""
    await site_of(request).read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    return web.json_response({"status": "ok"})


@open_to_all
async def favicon(_request: web.Request) -> web.StreamResponse:
    """Send browsers to the icon."""
    raise web.HTTPMovedPermanently("/static/icon.svg")


@web.middleware
async def with_ids(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let logs and traces tell which request it was, and what it was about."""
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else ""
    ids: dict[str, object] = {"request_id": secrets.token_hex(6)}
    ids["route"] = f"{request.method} {route}"
    if "username" in request.match_info:
        ids["username"] = request.match_info["username"]
    # Not the id of an event: who knows it may ask what became of it.
    if "/runs/" in route and request.match_info.get("id", "").isdecimal():
        ids["run"] = int(request.match_info["id"])
    with at_work(**ids), tracing_request(request.method, route, request.headers) as span:
        response = await handler(request)
        if span is not None:
            span.set_attribute("http.response.status_code", response.status)
        return response


@web.middleware
async def with_headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send the headers that keep browsers from doing what these pages never ask for."""
    try:
        response = await handler(request)
    except web.HTTPException as redirect:
        redirect.headers.update(HEADERS)
        raise
    if not response.prepared:
        for name, value in HEADERS.items():
            # A report comes with a policy of its own, which is stricter but for its style.
            response.headers.setdefault(name, value)
        if request.path.startswith("/static/") and response.status in {200, 304}:
            fresh = f"public, max-age={YEAR_S}, immutable"
            response.headers["Cache-Control"] = fresh if "v" in request.query else "no-cache"
    return response


@web.middleware
async def with_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn errors into answers that say what to do next."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or error.content_type == "application/problem+json":  # noqa: PLR2004
            raise
        return answer_problem(request, error.status, error.reason)
    except AfinError as error:
        return answer_problem(request, _status(error), str(error))
    except SQLAlchemyError as error:
        log.exception("The database failed")
        return answer_problem(request, 503, f"The database failed: {type(error).__name__}.")


@web.middleware
async def with_user(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Find out who asks; send strangers to sign in; refuse what a role or another site may not."""
    site = site_of(request)
    if not site.sign_in and request.url.host not in LOOPBACK:
        # A name that was made to lead here would make another site's page one of ours.
        raise web.HTTPMisdirectedRequest(reason="Ask for it as 127.0.0.1 or localhost")
    user, by_token = await identify(request)
    cookie = anonymous_cookie(request)
    adopt(request, user, cookie)
    signed = request.path.startswith("/photos/") and is_signed(request)
    if user is None and not is_open(request) and not signed:
        return _turn_away(request)
    if user is not None and not is_open(request) and not user.role.covers(role_needed(request)):
        raise web.HTTPForbidden(reason=f"This needs the role {role_needed(request)}")
    checked = not is_open(request) or request.path in {"/sign-in", "/choices"}
    if request.method not in SAFE_METHODS and checked and not by_token:
        await check_csrf(request)
    response = await handler(request)
    if cookie_name(site) not in request.cookies and response.content_type == "text/html":
        set_cookie(site, response, cookie)
    return response


def _turn_away(request: web.Request) -> web.StreamResponse:
    if request.path.startswith(("/api/v1", "/photos/", "/metrics")):
        raise web.HTTPUnauthorized(
            reason="Sign in, or send a token", headers={"WWW-Authenticate": "Bearer"}
        )
    if request.headers.get("HX-Request"):
        return web.Response(status=200, headers={"HX-Redirect": "/sign-in"})
    where = request.path_qs if request.method in SAFE_METHODS else "/"
    raise web.HTTPSeeOther(request.rel_url.with_path("/sign-in").with_query(to=where))


def _status(error: AfinError) -> int:
    if isinstance(error, NotFoundError):
        return 404
    if isinstance(error, BrokerError | WorkersError):
        return 503
    return 400 if isinstance(error, UsageError) else 409


async def _close(app: web.Application) -> None:
    app[SITE].threads.shutdown(wait=True)


__all__ = ["USER", "create_app"]
