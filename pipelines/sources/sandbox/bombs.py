"""Bodies that hurt whoever trusts them: small on the wire, huge unpacked; and other non-photos."""

import io
import struct
import zlib
from functools import cache

from PIL import Image, ImageDraw

UNPACKED_BYTES = 100 * 2**20
BOMB_SIDE_PIXELS = 20_000
# As long as the bodies that Flickr serves under rate limiting.
THROTTLED_BODY = (
    b"<html><body>Too many requests. Slow down and come back a little later on.</body></html>"
    b"\r\n\r\n\r\n"
)
PAGE = b"<!doctype html><title>404</title><p>This photo does not live here any more.</p>\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="400" height="400"><circle r="200"/></svg>\n'

# 100 MiB of zeros as brotli packs them (quality 11, window 24).
BROTLI = bytes.fromhex(
    "cfffff7ff82700e2b14020f7fe9ffffffff04f00c4610180eefd3fffffffe19f0088c32200ddfb7ffeffffc33f01"
    "10870500baf7fffcffff877f02200e0b0074effff9ffff0fff04401c1600e8deffe7ffff0ffe0980382c00d0bdff"
    "01"
)


@cache
def make_gzip_bomb() -> bytes:
    """100 MiB of zeros in 100 kB."""
    packer = zlib.compressobj(9, wbits=31)
    piece = bytes(2**20)
    parts = [packer.compress(piece) for _ in range(UNPACKED_BYTES // len(piece))]
    return b"".join([*parts, packer.flush()])


@cache
def make_zstd_bomb() -> bytes:
    """100 MiB of zeros in 3 kB: a frame of run-length blocks (RFC 8878 §3.1.1)."""
    block_bytes = 128 * 2**10
    blocks = UNPACKED_BYTES // block_bytes
    # Single segment off, no content size, window of 128 KiB (exponent 7, mantissa 0).
    head = struct.pack("<IBB", 0xFD2FB528, 0, 7 << 3)
    body = [
        struct.pack("<I", (block_bytes << 3) | (1 << 1) | (number == blocks - 1))[:3] + b"\0"
        for number in range(blocks)
    ]
    return head + b"".join(body)


@cache
def make_png_bomb() -> bytes:
    """400 million black pixels in 50 kB."""
    row = bytes(1 + BOMB_SIDE_PIXELS // 8)
    packer = zlib.compressobj(9)
    packed = b"".join([packer.compress(row) for _ in range(BOMB_SIDE_PIXELS)]) + packer.flush()
    header = struct.pack(">IIBBBBB", BOMB_SIDE_PIXELS, BOMB_SIDE_PIXELS, 1, 0, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", packed), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@cache
def make_gif() -> bytes:
    """An animated GIF of three frames."""
    frames = [Image.new("P", (400, 400), index) for index in (1, 2, 3)]
    for frame in frames:
        frame.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    kept = io.BytesIO()
    frames[0].save(kept, "GIF", save_all=True, append_images=frames[1:], duration=80, loop=0)
    return kept.getvalue()


@cache
def make_placeholder() -> bytes:
    """The picture that stands in for photos that are gone, large enough to pass for one."""
    image = Image.new("RGB", (500, 374), (238, 238, 238))
    pen = ImageDraw.Draw(image)
    pen.rectangle((170, 117, 330, 237), outline=(160, 160, 160), width=6)
    pen.line((170, 117, 330, 237), fill=(160, 160, 160), width=6)
    pen.text((165, 260), "This photo is no longer available", fill=(120, 120, 120))
    kept = io.BytesIO()
    image.save(kept, "PNG")
    return kept.getvalue()
