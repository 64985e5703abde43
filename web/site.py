"""What one web process holds: resources, templates, its secret, and threads for SQL."""

import asyncio
import contextlib
import contextvars
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from aiohttp import web
from jinja2 import Environment
from sqlalchemy import Connection

from schemas.users import User
from tasks.context import Context

Params = ParamSpec("Params")
Result = TypeVar("Result")

LOOPBACK = ("127.0.0.1", "::1", "localhost")
THREADS = 8
SECRET_FILE = "web.secret"  # noqa: S105 - a file's name


@dataclass(frozen=True)
class Site:
    """Everything that handlers share.

    ``sign_in`` says whether people have to sign in; ``secure`` whether cookies are for https only.
    """

    resources: Context
    templates: Environment
    secret: bytes
    sign_in: bool
    secure: bool
    flower_url: str | None
    threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="web-sql")
    )

    async def read(
        self,
        function: Callable[Concatenate[Connection, Params], Result],
        *args: Params.args,
        **kwargs: Params.kwargs,
    ) -> Result:
        """Call a storage function within a reading transaction, off the event loop."""

        def call() -> Result:
            with self.resources.database.read() as connection:
                return function(connection, *args, **kwargs)

        return await self._in_thread(call)

    async def write(
        self,
        function: Callable[Concatenate[Connection, Params], Result],
        *args: Params.args,
        **kwargs: Params.kwargs,
    ) -> Result:
        """Call a storage function within a writing transaction, off the event loop."""

        def call() -> Result:
            with self.resources.database.write() as connection:
                return function(connection, *args, **kwargs)

        return await self._in_thread(call)

    async def call(
        self, function: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
    ) -> Result:
        """Call any function that blocks, off the event loop."""
        return await self._in_thread(lambda: function(*args, **kwargs))

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        # Executors leave behind what the request is at work on.
        run = contextvars.copy_context().run
        return await asyncio.get_running_loop().run_in_executor(self.threads, run, call)


SITE = web.AppKey("site", Site)
USER = web.RequestKey("user", User)
CSRF = web.RequestKey("csrf", str)


def site_of(request: web.Request) -> Site:
    """Return what the request's application holds."""
    return request.config_dict[SITE]


def user_of(request: web.Request) -> User:
    """Return who asks."""
    return request[USER]


def read_secret(data_dir: Path, given: str | None) -> bytes:
    """Return the secret that signs addresses: the setting's, or one drawn once and kept."""
    if given:
        return given.encode()
    path = data_dir / SECRET_FILE
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        # Two web processes that come first at once must not see half of it, nor two of them.
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_hex(32).encode())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_bytes()
