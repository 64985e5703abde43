"""The hosts that photos come from: strangers' for ImageNet, a CDN each for Pexels and Instagram."""

from collections.abc import Callable

from aiohttp import web

from pipelines.sources.sandbox import imagenet, media, pexels
from pipelines.sources.sandbox.gate import Handler
from pipelines.sources.sandbox.library import Subject
from pipelines.sources.sandbox.misbehaviours import Server
from pipelines.sources.sandbox.world import KIND, World

ELSEWHERE = "/elsewhere"
VIDEO = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2" + bytes(64 * 2**10)

Find = Callable[[World, str], Subject | None]


def photo_routes(world: World, server: Server) -> dict[str, Handler]:
    """The handler of everything that a photo host has."""
    # A photo that another host sent us after is not among ours by its path alone.
    finders: tuple[Find, ...] = (imagenet.find_subject, pexels.find_subject, media.find_subject)

    async def serve(request: web.Request) -> web.Response:
        path = request.path
        if path.startswith(ELSEWHERE):
            _look_for_credentials(world, server, request)
        elif server is Server.INSTAGRAM_PHOTOS:
            refusal = media.check_address(world, request)
            if refusal is not None:
                request[KIND] = "expired"
                return refusal
        if path.endswith(".mp4"):
            request[KIND] = "video"
            return web.Response(body=VIDEO, content_type="video/mp4")
        for find in finders:
            subject = find(world, path)
            if subject is not None:
                request[KIND] = "photo"
                picture = await world.library.photo(subject)
                fault = media.find_fault(world, path)
                if fault is not None:
                    request[KIND] = f"faulty-{fault}"
                    return media.spoil(fault, picture.body)
                return web.Response(body=picture.body, content_type=picture.content_type)
        raise web.HTTPNotFound

    return {"/{path:.*}": serve}


def _look_for_credentials(world: World, server: Server, request: web.Request) -> None:
    """Count it if somebody brings along what was meant for another host."""
    if "Authorization" in request.headers or "Cookie" in request.headers:
        world.ledger.answer(server, "credentials", request.path)
