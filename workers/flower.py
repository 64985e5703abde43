"""Flower: the pages that show workers, queues and tasks."""

import os

from schemas.errors import UsageError
from schemas.settings import Settings
from workers.processes import free_port

FLOWER = "flower"
COLUMNS = "name,args,state,received,runtime,result,worker"
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

    check_flower(settings)
    auth = settings.flower_auth
    if auth is not None:
        # By environment: arguments are shown to everybody by ps.
        os.environ["FLOWER_BASIC_AUTH"] = auth.get_secret_value()
    port = port or settings.flower_port or free_port()
    options = [
        f"--address={settings.flower_address}",
        f"--port={port}",
        f"--tasks-columns={COLUMNS}",
        "--read-only",
    ]
    app.start(argv=["--quiet", "flower", *options])
    return 0
