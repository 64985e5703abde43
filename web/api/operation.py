"""What an API operation is: its models say what it takes and gives, and write its document."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from pydantic import BaseModel, TypeAdapter, ValidationError

from schemas.errors import UsageError
from schemas.users import Role
from web.problems import API
from web.render import LEAST_ZIPPED, ZIPPED_AT_ONCE
from web.security import needs


@dataclass(frozen=True)
class Call:
    """A request to an operation, with what was sent already read and checked."""

    request: web.Request
    query: Any
    body: Any

    def path(self, name: str) -> str:
        """Return a part of the address."""
        return self.request.match_info[name]

    def number(self, name: str) -> int:
        """Return a part of the address that is a number.

        Raises:
            UsageError: it is none.
        """
        text = self.path(name)
        if not text.isdigit() or len(text) > 12:  # noqa: PLR2004
            raise UsageError(f"{name} is a whole number, not {text!r}.")
        return int(text)


Answer = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True)
class Operation:
    """One method of one address; ``answer`` is what its JSON is, a model or a list of one."""

    verb: str
    path: str
    summary: str
    handle: Answer
    answer: Any
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    role: Role = Role.VIEWER
    status: int = 200
    tags: tuple[str, ...] = field(default=())

    def route(self) -> web.RouteDef:
        """Return the route of this operation."""
        adapter = TypeAdapter(self.answer)

        @needs(self.role)
        async def handler(request: web.Request) -> web.StreamResponse:
            call = Call(request, _read_query(self, request), await _read_body(self, request))
            found = await self.handle(call)
            if isinstance(found, web.StreamResponse):
                return found
            return tagged(request, adapter.dump_json(found), self.status)

        return web.route(self.verb, API + self.path, handler)


def _read_query(operation: Operation, request: web.Request) -> BaseModel | None:
    if operation.query is None:
        return None
    given = {name: value for name, value in request.query.items() if value != ""}
    return _checked(operation.query, given)


async def _read_body(operation: Operation, request: web.Request) -> BaseModel | None:
    if operation.body is None:
        return None
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(reason="Send JSON, with its content type")
    try:
        given = await request.json()
    except (ValueError, RecursionError):
        raise UsageError("The body is not JSON.") from None
    return _checked(operation.body, given)


def _checked(model: type[BaseModel], given: Any) -> BaseModel:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise UsageError(f"{where}: {first['msg']}.") from None


def tagged(request: web.Request, body: bytes, status: int = 200) -> web.Response:
    """Answer JSON with an ETag, and with nothing if the asker has this very answer."""
    tag = hashlib.sha256(body).hexdigest()[:24]
    headers = {"ETag": f'"{tag}"', "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if request.method == "GET" and any(one.value == tag for one in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    response = web.Response(
        body=body,
        status=status,
        content_type="application/json",
        charset="utf-8",
        headers=headers,
        zlib_executor_size=ZIPPED_AT_ONCE,
    )
    if len(body) >= LEAST_ZIPPED:
        response.enable_compression()
    return response
