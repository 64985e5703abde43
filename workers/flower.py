"""Flower: the pages that show workers, queues and tasks."""

import html
import os
from pathlib import Path

from schemas.errors import UsageError
from schemas.settings import Settings
from workers.processes import free_port

FLOWER = "flower"
COLUMNS = "name,args,state,received,runtime,result,worker"

MOST_TASKS = 10_000
"""Tasks kept in memory, 5.5 kB each: Flower's own 100,000 are more than its container has."""

INSPECT_MS = 5000
"""What workers get to say what they serve; on a busy machine Flower's own second is too short."""

NAVIGATION = "navbar.html"
FIRST_ENTRY = b'<ul class="app-nav navbar-nav">'
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def flower_url(settings: Settings, port: int) -> str:
    """Return where Flower's pages are."""
    return f"http://{settings.flower_address}:{port}"


def check_flower(settings: Settings) -> None:
    """Make sure that Flower can be served.

    Raises:
        UsageError: it would be open to the network without a password.
        BrokerError: no broker is named and the embedded one does not run.
    """
    if settings.flower_auth is None and settings.flower_address not in LOOPBACK:
        raise UsageError(
            "Flower would be open to the network: set AFIN_FLOWER_AUTH=user:password, or leave "
            "AFIN_FLOWER_ADDRESS at 127.0.0.1."
        )
    from tasks.app import require_broker

    require_broker(settings)


def run_flower(settings: Settings, port: int | None = None) -> int:
    """Serve Flower, read-only, until asked to stop; any free port if none is named.

    Raises:
        UsageError, BrokerError: as ``check_flower``.
    """
    from tasks.app import app
    from tasks.logs import set_up_logs

    check_flower(settings)
    set_up_logs(settings, FLOWER)
    auth = settings.flower_auth
    if auth is not None:
        # By environment: arguments are shown to everybody by ps.
        os.environ["FLOWER_BASIC_AUTH"] = auth.get_secret_value()
    port = port or settings.flower_port or free_port()
    link_pages(settings)
    show_all_queues()
    options = [
        f"--address={settings.flower_address}",
        f"--port={port}",
        f"--tasks-columns={COLUMNS}",
        f"--max-tasks={MOST_TASKS}",
        f"--inspect-timeout={INSPECT_MS}",
        "--read-only",
    ]
    app.start(argv=["--quiet", "flower", *options])
    return 0


def link_pages(settings: Settings) -> None:
    """Let Flower's pages lead back to ours, where it is known where these are."""
    if settings.web_url is None and not settings.web_port:
        return
    from flower.urls import settings as flower_settings
    from tornado.template import Loader, Template

    address = html.escape(settings.pages_url(settings.web_port))
    entry = f'<li class="nav-item"><a class="nav-link" href="{address}">afin</a></li>'

    class Linked(Loader):
        """Flower's own templates, with one entry more in the navigation."""

        def _create_template(self, name: str) -> Template:
            text = (Path(self.root) / name).read_bytes()
            if name == NAVIGATION:
                text = text.replace(FIRST_ENTRY, FIRST_ENTRY + entry.encode(), 1)
            return Template(text, name=name, loader=self)

    flower_settings["template_loader"] = Linked(flower_settings["template_path"])


def show_all_queues() -> None:
    """Let Flower show the length of every queue, not only of those whose worker answered it."""
    from flower.views import BaseHandler

    from tasks.app import QUEUES

    names = sorted(name for served in QUEUES.values() for name in served)
    BaseHandler.get_active_queue_names = lambda _handler: names
