"""Photos for pages: the bytes as they were kept, and small copies for grids."""

import io
from pathlib import Path

from aiohttp import web
from PIL import Image, ImageOps
from sqlalchemy import Connection, select

from schemas.errors import BlobError, LostBlobError, NotFoundError
from storage.tables import photos
from web.site import Site, site_of

SMALL_PIXELS = 320
TYPES = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "tiff": "image/tiff",
}
HASH_CHARS = 64


def routes() -> list[web.AbstractRouteDef]:
    """Return the addresses of photos."""
    return [
        web.get("/photos/{sha256:[0-9a-f]{64}}", show),
        web.get("/photos/{sha256:[0-9a-f]{64}}/small", show_small),
    ]


async def show(request: web.Request) -> web.StreamResponse:
    """Send a photo as it was kept, under the type it was found to have."""
    site, sha256 = site_of(request), request.match_info["sha256"]
    kind = await site.read(_format, sha256)
    data = await site.call(site.resources.blobs.read_photo, sha256)
    return _answer(data, TYPES.get(kind, "application/octet-stream"))


async def show_small(request: web.Request) -> web.StreamResponse:
    """Send a photo as at most 320 pixels a side, as WebP; made once, then kept."""
    site, sha256 = site_of(request), request.match_info["sha256"]
    await site.read(_format, sha256)
    return _answer(await site.call(_small, site, sha256), "image/webp")


def _answer(data: bytes, kind: str) -> web.Response:
    response = web.Response(body=data, content_type=kind)
    # The address names the content: it can never change. Private, as only some may see it.
    response.headers["Cache-Control"] = "private, max-age=86400, immutable"
    response.headers["Content-Disposition"] = "inline"
    return response


def _format(connection: Connection, sha256: str) -> str:
    """Return a photo's format as found at its import: an erased photo's copies stay unseen."""
    kind: str | None = connection.scalar(select(photos.c.format).where(photos.c.sha256 == sha256))
    if kind is None:
        raise NotFoundError("There is no such photo: it was never imported, or was erased.")
    return kind


def _small(site: Site, sha256: str) -> bytes:
    folder = site.resources.settings.data_dir.absolute() / "cache" / "small" / sha256[:2]
    kept = folder / f"{sha256}.webp"
    if kept.exists():
        return kept.read_bytes()
    try:
        data = site.resources.blobs.read_photo(sha256)
    except LostBlobError as error:
        raise NotFoundError(str(error)) from error
    small = _shrink(data)
    _keep(folder, kept, small)
    return small


def _shrink(data: bytes) -> bytes:
    """Return a small copy; size and pixels were checked when the photo was imported."""
    try:
        with Image.open(io.BytesIO(data), formats=[name.upper() for name in TYPES]) as photo:
            photo.draft("RGB", (2 * SMALL_PIXELS, 2 * SMALL_PIXELS))
            upright = ImageOps.exif_transpose(photo)
            upright.thumbnail((SMALL_PIXELS, SMALL_PIXELS))
            out = io.BytesIO()
            upright.convert("RGB").save(out, "WEBP", quality=80, method=4)
    except (OSError, ValueError, SyntaxError) as error:
        raise BlobError(
            f"A kept photo cannot be shown ({error}): look at it with 'afin'."
        ) from error
    return out.getvalue()


def _keep(folder: Path, path: Path, data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    half.write_bytes(data)
    half.replace(path)
