"""Every misbehaviour as an answer, but for those that only Pexels or only Instagram has."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import urlsplit

from aiohttp import web

from pipelines.sources.sandbox import bombs, wire
from pipelines.sources.sandbox.misbehaviours import Misbehaviour, Server
from pipelines.sources.sandbox.world import World

PLACEHOLDER_PATH = "/pw/images/en-us/photo_unavailable.png"
ABSURD_RETRY_AFTER = "999999999999"
GARBAGE_RETRY_AFTER = "soon, probably"


@dataclass(frozen=True)
class Call:
    """A request that is to be answered badly; ``genuine`` gives the answer it should have had."""

    world: World
    server: Server
    request: web.Request
    genuine: Callable[[], Awaitable[web.Response]]


Answer = Callable[[Call], Awaitable[web.StreamResponse]]


async def answer_badly(misbehaviour: Misbehaviour, call: Call) -> web.StreamResponse:
    """Answer a request as the misbehaviour has it."""
    return await ANSWERS[misbehaviour](call)


def retry_after_headers(world: World) -> dict[str, str]:
    """The Retry-After header that the plan asks for, or none."""
    value = world.plan.retry_after
    if value == "absent":
        return {}
    if value == "date":
        now = datetime.fromtimestamp(world.clock(), UTC)
        value = format_datetime(now + timedelta(seconds=2), usegmt=True)
    special = {"absurd": ABSURD_RETRY_AFTER, "garbage": GARBAGE_RETRY_AFTER}
    return {"Retry-After": special.get(value, value)}


def _always(body: bytes, content_type: str, status: int = 200, **headers: str) -> Answer:
    async def answer(_call: Call) -> web.StreamResponse:
        return _reply(body, content_type, status, headers)

    return answer


def _bomb(make: Callable[[], bytes], content_type: str = "image/jpeg", packing: str = "") -> Answer:
    async def answer(_call: Call) -> web.StreamResponse:
        body = await asyncio.to_thread(make)
        return _reply(body, content_type, 200, {"Content_Encoding": packing} if packing else {})

    return answer


def _reply(body: bytes, content_type: str, status: int, headers: dict[str, str]) -> web.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(body=body, status=status, headers={**named, "Content-Type": content_type})


def _refuse(status: int) -> Answer:
    async def answer(call: Call) -> web.StreamResponse:
        return web.Response(
            status=status, text="Slow down.\n", headers=retry_after_headers(call.world)
        )

    return answer


def _retype(content_type: str) -> Answer:
    async def answer(call: Call) -> web.StreamResponse:
        genuine = await call.genuine()
        genuine.headers["Content-Type"] = content_type
        return genuine

    return answer


async def _withhold(call: Call) -> web.StreamResponse:
    genuine = await call.genuine()
    genuine.headers["X-Robots-Tag"] = "noai, noimageai"
    return genuine


async def _truncate(call: Call) -> web.StreamResponse:
    genuine = await call.genuine()
    body = genuine.body if isinstance(genuine.body, bytes) else b""
    return _reply(body[: len(body) // 2], genuine.content_type, 200, {})


async def _wait(call: Call) -> web.StreamResponse:
    await asyncio.sleep(call.world.plan.slow_s)
    return await call.genuine()


async def _drop(call: Call) -> web.StreamResponse:
    return await wire.drop(call.request)


async def _halve(call: Call) -> web.StreamResponse:
    return await wire.cut_off(call.request, await call.genuine(), times=1)


async def _lie(call: Call) -> web.StreamResponse:
    return await wire.cut_off(call.request, await call.genuine(), times=2)


async def _drip(call: Call) -> web.StreamResponse:
    return await wire.drip(call.request, await call.genuine(), every_s=call.world.plan.drip_s)


async def _drip_headers(call: Call) -> web.StreamResponse:
    return await wire.send_headers_slowly(call.request, every_s=call.world.plan.drip_s)


async def _never_end(call: Call) -> web.StreamResponse:
    return await wire.send_without_end(call.request)


async def _swell_headers(call: Call) -> web.StreamResponse:
    return await wire.send_huge_headers(call.request)


def _lead(location: str) -> Answer:
    """Redirect; ``{trap}`` is the port of the server that nobody may reach, ``{path}`` the path."""

    async def answer(call: Call) -> web.StreamResponse:
        world = call.world
        target = location.format(
            trap=urlsplit(world.trap_base).port,
            path=call.request.rel_url.raw_path,
            base=world.bases[call.server],
            elsewhere=world.bases[_other_host(call.server)],
        )
        return _redirect(target)

    return answer


def _other_host(server: Server) -> Server:
    photos = Server.PEXELS_PHOTOS
    return Server.INSTAGRAM_PHOTOS if server == photos else photos


def _redirect(location: str) -> web.Response:
    return web.Response(status=302, headers={"Location": location})


async def _lead_in_a_circle(call: Call) -> web.StreamResponse:
    turned = "0" if call.request.query.get("turn") == "1" else "1"
    return _redirect(str(call.request.rel_url.update_query(turn=turned)))


async def _lead_on(call: Call) -> web.StreamResponse:
    hop = call.request.query.get("hop", "")
    number = int(hop) if hop.isdecimal() else 0
    if number >= call.world.plan.redirects:
        return await call.genuine()
    return _redirect(str(call.request.rel_url.update_query(hop=str(number + 1))))


ANSWERS: dict[Misbehaviour, Answer] = {
    Misbehaviour.THROTTLE: _refuse(429),
    Misbehaviour.SERVER_ERROR: _always(b"Something broke.\n", "text/plain", 500),
    Misbehaviour.UNAVAILABLE: _refuse(503),
    Misbehaviour.DROPPED: _drop,
    Misbehaviour.HALF: _halve,
    Misbehaviour.NOT_FOUND: _always(bombs.PAGE, "text/html", 404),
    Misbehaviour.GONE: _always(bombs.PAGE, "text/html", 410),
    Misbehaviour.EXPIRED: _always(b"URL signature expired", "text/plain", 403),
    Misbehaviour.HTML: _always(bombs.PAGE, "text/html"),
    Misbehaviour.HTML_AS_JPEG: _always(bombs.PAGE, "image/jpeg"),
    Misbehaviour.JPEG_AS_HTML: _retype("text/html"),
    Misbehaviour.PLACEHOLDER: _lead("{base}" + PLACEHOLDER_PATH),
    Misbehaviour.STAND_IN: _bomb(bombs.make_placeholder, "image/png"),
    Misbehaviour.THROTTLED_BODY: _always(bombs.THROTTLED_BODY, "image/jpeg"),
    Misbehaviour.SVG: _always(bombs.SVG, "image/svg+xml"),
    Misbehaviour.GIF: _bomb(bombs.make_gif, "image/gif"),
    Misbehaviour.EMPTY: _always(b"", "image/jpeg"),
    Misbehaviour.TRUNCATED: _truncate,
    Misbehaviour.NOAI: _withhold,
    Misbehaviour.SLOW: _wait,
    Misbehaviour.SLOW_HEADERS: _drip_headers,
    Misbehaviour.DRIP: _drip,
    Misbehaviour.ENDLESS: _never_end,
    Misbehaviour.LYING_LENGTH: _lie,
    Misbehaviour.HUGE_HEADERS: _swell_headers,
    Misbehaviour.GZIP_BOMB: _bomb(bombs.make_gzip_bomb, packing="gzip"),
    Misbehaviour.BROTLI_BOMB: _always(bombs.BROTLI, "image/jpeg", Content_Encoding="br"),
    Misbehaviour.ZSTD_BOMB: _bomb(bombs.make_zstd_bomb, packing="zstd"),
    Misbehaviour.PNG_BOMB: _bomb(bombs.make_png_bomb, "image/png"),
    Misbehaviour.REDIRECT_LOOP: _lead_in_a_circle,
    Misbehaviour.REDIRECT_CHAIN: _lead_on,
    Misbehaviour.REDIRECT_ELSEWHERE: _lead("{elsewhere}/elsewhere{path}"),
    Misbehaviour.REDIRECT_FILE: _lead("file:///etc/hostname"),
    Misbehaviour.REDIRECT_DATA: _lead("data:image/gif;base64,R0lGODlhAQABAAAAACw="),
    Misbehaviour.REDIRECT_LOOPBACK: _lead("http://localhost:{trap}/trap.jpg"),
    Misbehaviour.REDIRECT_HEX: _lead("http://0x7f.1:{trap}/trap.jpg"),
    Misbehaviour.REDIRECT_DECIMAL: _lead("http://2130706433:{trap}/trap.jpg"),
    Misbehaviour.REDIRECT_MAPPED_LOOPBACK: _lead("http://[::ffff:127.0.0.1]:{trap}/trap.jpg"),
    Misbehaviour.REDIRECT_LINK_LOCAL: _lead("http://169.254.169.254/latest/meta-data/"),
    Misbehaviour.REDIRECT_PRIVATE: _lead("http://10.0.0.1/private.jpg"),
    Misbehaviour.REDIRECT_CGNAT: _lead("http://100.64.0.1/carrier.jpg"),
    Misbehaviour.REDIRECT_ULA: _lead("http://[fd00::1]/local.jpg"),
    Misbehaviour.REDIRECT_MAPPED: _lead("http://[::ffff:192.168.0.1]/mapped.jpg"),
}
