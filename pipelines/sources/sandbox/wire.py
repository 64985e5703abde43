"""Answers that no web framework would give: written byte by byte, cut off, without end."""

import asyncio
from itertools import count

from aiohttp import web

HEADERS_BYTES = 10 * 2**20
PIECE = bytes(64 * 2**10)


async def drop(request: web.Request) -> web.StreamResponse:
    """Close the connection without a word."""
    return await _write_and_close(request, b"")


async def cut_off(request: web.Request, genuine: web.Response, *, times: int) -> web.StreamResponse:
    """Send half of a body whose length is announced ``times`` as long as it is, and close."""
    body = genuine.body if isinstance(genuine.body, bytes) else b""
    announced = max(1, len(body) * times)
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: {genuine.content_type}\r\n"
        f"Content-Length: {announced}\r\n\r\n"
    )
    sent = body if times > 1 else body[: len(body) // 2]
    return await _write_and_close(request, head.encode() + sent)


async def send_huge_headers(request: web.Request) -> web.StreamResponse:
    """Send 10 MB of headers, or as many as the other side takes."""
    line = b"X-Padding: " + b"x" * 4000 + b"\r\n"
    transport = _transport(request)
    transport.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(HEADERS_BYTES // len(line)):
        if transport.is_closing():
            break
        transport.write(line)
        while transport.get_write_buffer_size() > len(PIECE) and not transport.is_closing():
            await asyncio.sleep(0.001)
    return await _write_and_close(request, b"Content-Length: 0\r\n\r\n")


async def send_headers_slowly(request: web.Request, *, every_s: float) -> web.StreamResponse:
    """Send the head a byte at a time; after the status line it never ends."""
    transport = _transport(request)
    line = b"HTTP/1.1 200 OK\r\n"
    for number in count():
        if transport.is_closing():
            break
        transport.write(line[number : number + 1] or b"X-A: b\r\n"[number % 8 :][:1])
        await asyncio.sleep(every_s)
    return await _write_and_close(request, b"")


async def drip(
    request: web.Request, genuine: web.Response, *, every_s: float
) -> web.StreamResponse:
    """Send a body one byte at a time."""
    body = genuine.body if isinstance(genuine.body, bytes) else b""
    response = web.StreamResponse(headers={"Content-Type": genuine.content_type})
    response.content_length = len(body)
    await response.prepare(request)
    for position in range(len(body)):
        await response.write(body[position : position + 1])
        await asyncio.sleep(every_s)
    return response


async def send_without_end(request: web.Request) -> web.StreamResponse:
    """Send chunks until the other side has had enough."""
    response = web.StreamResponse(headers={"Content-Type": "image/jpeg"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    while True:
        await response.write(PIECE)


def _transport(request: web.Request) -> asyncio.WriteTransport:
    transport = request.transport
    if not isinstance(transport, asyncio.WriteTransport):
        raise ConnectionResetError("The other side has gone.")
    return transport


async def _write_and_close(request: web.Request, data: bytes) -> web.StreamResponse:
    transport = _transport(request)
    if data and not transport.is_closing():
        transport.write(data)
    transport.close()
    # The framework finds the connection closed, and leaves it at that.
    return web.Response()
