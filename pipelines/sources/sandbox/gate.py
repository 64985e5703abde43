"""Where every request to a sandbox enters: counted, delayed, and perhaps answered badly."""

import asyncio
import functools
from collections.abc import Awaitable, Callable

from aiohttp import web

from pipelines.sources.sandbox.bombs import make_placeholder
from pipelines.sources.sandbox.chance import draw_misbehaviour
from pipelines.sources.sandbox.hostile import (
    PLACEHOLDER_PATH,
    Answer,
    Call,
    answer_badly,
)
from pipelines.sources.sandbox.misbehaviours import (
    LASTING,
    PASSING,
    PHOTO_SERVERS,
    Misbehaviour,
    Server,
)
from pipelines.sources.sandbox.world import KIND, World, name_target

Handler = Callable[[web.Request], Awaitable[web.Response]]
AnyHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Own = dict[Misbehaviour, Answer]

WALKING = ("turn", "hop", "access_token")
ROBOTS_PATH = "/robots.txt"


def build_app(
    world: World, server: Server, routes: dict[str, Handler], own: Own | None = None
) -> web.Application:
    """Build the application of one server.

    ``routes`` are handlers by path; a handler names the kind of its answer in ``request[KIND]``.
    ``own`` are misbehaviours that only this server has an answer for.
    """
    special = own or {}

    @web.middleware
    async def enter(request: web.Request, handler: AnyHandler) -> web.StreamResponse:
        return await _answer(world, server, special, request, handler)

    app = web.Application(middlewares=[enter])
    app.router.add_get(ROBOTS_PATH, functools.partial(_serve_robots, world, server))
    if server in PHOTO_SERVERS:
        app.router.add_get(PLACEHOLDER_PATH, _serve_placeholder)
    for path, handler in routes.items():
        app.router.add_get(path, handler)
    return app


async def _answer(
    world: World, server: Server, own: Own, request: web.Request, handler: AnyHandler
) -> web.StreamResponse:
    target = name_target(request)
    attempt = world.ledger.arrive(server, target)
    if world.plan.latency_s:
        await asyncio.sleep(world.plan.latency_s)

    async def genuine() -> web.Response:
        response = await handler(request)
        if not isinstance(response, web.Response):
            raise TypeError("Handlers of the sandbox give whole answers.")
        return response

    misbehaviour = _choose(world, server, request, attempt)
    if misbehaviour is None:
        try:
            response = await genuine()
        except web.HTTPException as error:
            world.ledger.answer(server, f"http-{error.status}", target)
            raise
        world.ledger.answer(server, request.get(KIND, "other"), target)
        return response
    world.ledger.answer(server, misbehaviour, target)
    call = Call(world, server, request, genuine)
    if misbehaviour in own:
        return await own[misbehaviour](call)
    return await answer_badly(misbehaviour, call)


def _choose(
    world: World, server: Server, request: web.Request, attempt: int
) -> Misbehaviour | None:
    shares = world.plan.shares(server)
    if not shares or request.path in (ROBOTS_PATH, PLACEHOLDER_PATH):
        return None
    # A photo is the same whatever size its query asks for.
    address = (
        request.path
        if server in PHOTO_SERVERS
        else str(request.rel_url.without_query_params(*WALKING))
    )
    seed = world.content.seed
    return draw_misbehaviour(
        shares, PASSING, seed, server, "passing", address, attempt
    ) or draw_misbehaviour(shares, LASTING, seed, server, "lasting", address)


async def _serve_robots(world: World, server: Server, request: web.Request) -> web.Response:
    request[KIND] = "robots"
    if world.plan.shares(server).get(Misbehaviour.ROBOTS, 0.0) > 0:
        return web.Response(text="User-agent: *\nDisallow: /\n")
    return web.Response(text="User-agent: *\nAllow: /\n")


async def _serve_placeholder(request: web.Request) -> web.Response:
    request[KIND] = "unavailable-picture"
    return web.Response(body=make_placeholder(), content_type="image/png")
