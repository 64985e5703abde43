"""Events over HTTP: signed ones in, their status and verdicts out."""

import asyncio
import contextvars
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from pipelines.sources.records import parse_json
from pipelines.webhooks import verify
from schemas.errors import AfinError, NotFoundError, SignatureError, UsageError
from schemas.events import EventStatus, event_schema
from storage.accounts import find_account
from storage.inbox import find_event
from storage.outbox import describe_methods
from storage.verdicts import newest_verdicts
from tasks.context import Context
from tasks.reception import CrowdedError, read_secrets, take_event, wake_handler
from web.limits import RateLimit
from web.security import open_to_all

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 10.0
"""A body that comes more slowly is given up."""

SCHEMA_PATH = "/events/schema/v1.json"


class TooLargeError(AfinError):
    """An event has more bytes than we read."""


MayRead = Callable[[web.Request], Awaitable[bool]]
REFUSALS: tuple[tuple[type[Exception], int, dict[str, str] | None], ...] = (
    (SignatureError, 401, None),
    (NotFoundError, 404, None),
    (TooLargeError, 413, None),
    (CrowdedError, 429, {"Retry-After": "60"}),
    (UsageError, 422, None),
)
SIGNED = ("webhook-id", "webhook-timestamp", "webhook-signature")


def event_routes(resources: Context, *, may_read: MayRead | None = None) -> list[web.RouteDef]:
    """Return the routes of events, for an application of whoever serves them.

    A bearer token of AFIN_EVENT_TOKENS may read verdicts, and whoever ``may_read`` lets.
    ``POST /events`` is guarded by its signature, an event's status by its address, which nobody
    can guess.

    Raises:
        UsageError: AFIN_EVENT_SECRETS is malformed.
    """
    desk = EventDesk(resources, may_read)
    return [
        web.post("/events", desk.receive),
        web.get(SCHEMA_PATH, desk.show_schema),
        web.get("/events/{id}", desk.show_event),
        web.get("/verdicts/{username}", desk.show_verdict),
    ]


class EventDesk:
    """Answers requests about events; database work is done in threads beside the loop."""

    def __init__(self, resources: Context, may_read: MayRead | None) -> None:
        self._resources = resources
        self._settings = resources.settings
        # Malformed secrets are told at the start; with none, every event is refused.
        unset = self._settings.event_secrets is None
        self._secrets = {} if unset else read_secrets(self._settings)
        self._limit = RateLimit(self._settings.events_per_minute)
        self._may_read = may_read
        self._waking = False
        self._again = False

    @open_to_all
    async def receive(self, request: web.Request) -> web.Response:
        """Take an event in: 202 once it is kept, whatever becomes of it."""
        return await _guarded(self._receive(request))

    @open_to_all
    async def show_event(self, request: web.Request) -> web.Response:
        """Say how far an event is."""
        return await _guarded(self._show_event(request))

    @open_to_all
    async def show_verdict(self, request: web.Request) -> web.Response:
        """Say what an account is about, as far as is known."""
        return await _guarded(self._show_verdict(request))

    @open_to_all
    async def show_schema(self, _request: web.Request) -> web.Response:
        """Publish what events may look like."""
        return web.json_response(event_schema())

    async def _receive(self, request: web.Request) -> web.Response:
        body = await self._read_body(request)
        headers = {name: _single(request, name) for name in SIGNED}
        sender, webhook_id = verify(
            self._secrets,
            headers,
            body,
            now=time.time(),
            tolerance_s=self._settings.event_tolerance_s,
        )
        if request.content_type != "application/json":
            return _refuse(415, "Events are JSON: send them as application/json.")
        wait_s = self._limit.wait_s(sender)
        if wait_s:
            message = f"Too many events of {sender}: ask again in {wait_s:.0f} s."
            return _refuse(429, message, {"Retry-After": f"{wait_s:.0f}"})
        document = _parse(body)
        status, new = await asyncio.to_thread(
            take_event, self._resources, sender=sender, webhook_id=webhook_id, document=document
        )
        self._wake()
        return _accepted(status, new=new)

    async def _read_body(self, request: web.Request) -> bytes:
        most = self._settings.event_max_bytes
        too_large = TooLargeError(f"The event has more than {most} bytes: send fewer posts.")
        if request.content_length is not None and request.content_length > most:
            raise too_large
        parts: list[bytes] = []
        size = 0
        async with asyncio.timeout(READ_TIMEOUT_S):
            async for part in request.content.iter_any():
                size += len(part)
                if size > most:
                    raise too_large
                parts.append(part)
        return b"".join(parts)

    def _wake(self) -> None:
        """Wake a worker beside the answer, and once more for all events that come meanwhile."""
        if self._waking:
            self._again = True
            return
        self._waking, self._again = True, False
        # With the ids and the trace of the request that asks for it.
        wake = contextvars.copy_context().run
        done = asyncio.get_running_loop().run_in_executor(None, wake, wake_handler)
        done.add_done_callback(self._woken)

    def _woken(self, done: asyncio.Future[None]) -> None:
        self._waking = False
        if not done.cancelled() and done.exception() is not None:
            log.warning("no worker was woken, the sweeper will: %s", done.exception())
        if self._again:
            self._wake()

    async def _show_event(self, request: web.Request) -> web.Response:
        status = await asyncio.to_thread(self._find_event, request.match_info["id"])
        return web.json_response(describe_event(status))

    def _find_event(self, public_id: str) -> EventStatus:
        if not public_id.isascii() or "\0" in public_id:
            raise NotFoundError("There is no such event: use the address that answered it.")
        with self._resources.database.read() as connection:
            return find_event(connection, public_id)

    async def _show_verdict(self, request: web.Request) -> web.Response:
        welcome = self._may_read is not None and await self._may_read(request)
        if not welcome and not self._bears_token(request):
            message = "Send 'Authorization: Bearer TOKEN' with a token of AFIN_EVENT_TOKENS."
            return _refuse(401, message, {"WWW-Authenticate": "Bearer"})
        name = request.match_info["username"]
        document = await asyncio.to_thread(self._find_verdict, name)
        return web.json_response(document)

    def _find_verdict(self, username: str) -> dict[str, Any]:
        # Nothing but a name is asked of the database, which takes no NUL and no half characters.
        name = "".join(char for char in username if char.isascii() and char.isprintable())[:40]
        with self._resources.database.read() as connection:
            try:
                account = find_account(connection, name)
            except NotFoundError:
                raise NotFoundError("No account has that name.") from None
            stored = newest_verdicts(connection, [account.id])
        if not stored:
            raise NotFoundError(f"{account.username} has no verdict yet.")
        (newest,) = stored
        return {
            "username": newest.username,
            "bundle": newest.bundle_id,
            "run": newest.run_id,
            "concluded_at": newest.concluded_at.isoformat(),
            "methods": describe_methods(newest.verdicts),
        }

    def _bears_token(self, request: web.Request) -> bool:
        if self._settings.event_tokens is None:
            return False
        tokens = self._settings.event_tokens.get_secret_value().replace(",", " ").split()
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        offered = given.strip().encode("utf-8", "replace")
        fits = sum(hmac.compare_digest(token.encode(), offered) for token in tokens)
        return scheme.lower() == "bearer" and bool(fits)


def describe_event(status: EventStatus) -> dict[str, Any]:
    """Describe an event to whoever sent it."""
    return {**status.model_dump(mode="json"), "status": f"/events/{status.id}"}


async def _guarded(answer: Awaitable[web.Response]) -> web.Response:
    """Turn what went wrong into a sentence with the status that fits."""
    try:
        return await answer
    except TimeoutError:
        return _refuse(408, "The event came too slowly.")
    except (AfinError, SQLAlchemyError) as error:
        for kind, status, headers in REFUSALS:
            if isinstance(error, kind):
                return _refuse(status, str(error), headers)
        # Database or settings: nothing that a stranger should read about.
        log.warning("an event could not be taken: %s", type(error).__name__)
        return _refuse(503, "Events cannot be taken now: send it again.", {"Retry-After": "5"})


def _parse(body: bytes) -> object:
    try:
        return parse_json(body.decode("utf-8"))
    except ValueError as error:
        reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)[:100]
        raise UsageError(f"The event is no JSON: {reason}.") from None


def _single(request: web.Request, name: str) -> str:
    """Return a header that may come once: of two nobody could say which one was signed."""
    values = request.headers.getall(name, [])
    return values[0] if len(values) == 1 else ""


def _accepted(status: EventStatus, *, new: bool) -> web.Response:
    address = f"/events/{status.id}"
    document = {"id": status.id, "status": address, "state": status.state, "duplicate": not new}
    return web.json_response(document, status=202, headers={"Location": address})


def _refuse(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": message}, status=status, headers=headers)
