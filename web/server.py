"""The web process: listens on the settings' address, and keeps its address in the data folder."""

import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path

from aiohttp import web
from threadpoolctl import threadpool_limits

from schemas.errors import UsageError
from schemas.settings import Settings
from storage.database import Database
from storage.standings import catch_up
from tasks.context import Context, context
from tasks.logs import set_up_logs
from tasks.tracing import set_up_tracing
from web.app import USER, create_app
from web.events import event_routes
from web.sign_in import check_users

log = logging.getLogger(__name__)

URL_FILE = "web.url"


def web_url(settings: Settings, port: int) -> str:
    """Return where people find the pages."""
    return settings.pages_url(port)


def check_web(resources: Context) -> None:
    """Make sure that the pages can be served.

    Raises:
        UsageError: they would be open to the network, or nobody could sign in.
    """
    with resources.database.read() as connection:
        check_users(connection, resources.settings)


def run_web(
    settings: Settings, port: int | None = None, *, on_ready: Callable[[str], None] | None = None
) -> int:
    """Serve pages and API until asked to stop; any free port if none is named.

    ``on_ready`` gets the address once the pages answer.

    Raises:
        UsageError: as ``check_web``, or the address cannot be listened on.
    """
    set_up_logs(settings, "web")
    set_up_tracing(settings, "web")
    # One account's vectors are few: several threads would spend more on waiting for each other.
    threadpool_limits(limits=1)
    asyncio.run(_serve(settings, settings.web_port if port is None else port, on_ready or _say))
    return 0


def _say(url: str) -> None:
    log.info("Pages: %s", url)


async def _serve(settings: Settings, port: int, on_ready: Callable[[str], None]) -> None:
    resources = context()
    flower = settings.flower_url or read_url(settings.data_dir.absolute() / "flower.url")
    events = event_routes(resources, may_read=_is_signed_in)
    app = create_app(resources, flower_url=flower, extra_routes=events)
    # No access log: addresses may carry signatures.
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.web_address, port)
        try:
            await site.start()
        except OSError as error:
            raise UsageError(
                f"Port {port} of {settings.web_address} cannot be used ({error.strerror}): name "
                "another one in AFIN_WEB_PORT, or 0 for any."
            ) from error
        found = runner.addresses[0][1]
        record = settings.data_dir.absolute() / URL_FILE
        record.write_text(web_url(settings, found) + "\n", "utf-8")
        on_ready(web_url(settings, found))
        try:
            await _until_stopped(resources.database)
        finally:
            record.unlink(missing_ok=True)
    finally:
        await runner.cleanup()
        resources.database.close()


async def _is_signed_in(request: web.Request) -> bool:
    """Whether pages would be shown to whoever asks; on loopback without sign-in to everybody."""
    return request.get(USER) is not None


async def _until_stopped(database: Database) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stopped.set)
    behind = asyncio.create_task(_catch_up(database, stopped))
    await stopped.wait()
    await behind


async def _catch_up(database: Database, stopped: asyncio.Event) -> None:
    """Give standings to verdicts older than the pages, a part at a time."""

    def part() -> bool:
        with database.write() as connection:
            return catch_up(connection) > 0

    while not stopped.is_set() and await asyncio.to_thread(part):
        await asyncio.sleep(0)


def read_url(path: Path) -> str | None:
    """Return an address that another process keeps in the data folder, if it is there."""
    try:
        return path.read_text("utf-8").strip() or None
    except FileNotFoundError:
        return None
