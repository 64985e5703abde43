"""The files that never change while this process lives: held in memory, zipped once."""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aiohttp import web

STATIC = Path(__file__).parent / "static"
LEAST_SAVED = 0.9
"""A file that zipping leaves larger than this part of it is sent as it is."""


@dataclass(frozen=True)
class StaticFile:
    """A file as it is sent; ``zipped`` is None where that would save nothing."""

    body: bytes
    zipped: bytes | None
    kind: str
    digest: str


def routes() -> list[web.AbstractRouteDef]:
    """Return the address of these files."""
    return [web.get("/static/{name:.+}", show)]


async def show(request: web.Request) -> web.StreamResponse:
    """Send a file, zipped for who can read that; nothing, if the asker has it already."""
    found = read_files().get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    headers = {"ETag": f'"{found.digest}"', "Vary": "Accept-Encoding"}
    if any(one.value == found.digest for one in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    body = found.body
    if found.zipped is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
        body, headers["Content-Encoding"] = found.zipped, "gzip"
    return web.Response(body=body, headers={**headers, "Content-Type": found.kind})


@cache
def static_address(name: str) -> str:
    """Return a file's address with its hash, so that browsers may keep it for ever."""
    return f"/static/{name}?v={read_files()[name].digest}"


@cache
def read_files() -> dict[str, StaticFile]:
    """Return every file by its name."""
    paths = (path for path in STATIC.rglob("*") if path.is_file())
    return {path.relative_to(STATIC).as_posix(): _read(path) for path in paths}


def _read(path: Path) -> StaticFile:
    body = path.read_bytes()
    zipped = gzip.compress(body, 9, mtime=0)
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if kind.startswith("text/"):
        kind += "; charset=utf-8"
    return StaticFile(
        body=body,
        zipped=zipped if len(zipped) < LEAST_SAVED * len(body) else None,
        kind=kind,
        digest=hashlib.sha256(body).hexdigest()[:12],
    )
