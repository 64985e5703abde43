"""afin migrate, afin up, afin worker and afin flower."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cli.output import JsonFlag, note, print_json
from schemas.settings import Settings, load_settings
from storage.tables import SCHEMA_VERSION
from tasks.app import require_broker
from tasks.context import adopt_settings, context
from tasks.logs import set_up_logs
from web.server import check_web, run_web, web_url
from workers.broker import EmbeddedBroker
from workers.devices import ALL, check_device, run_on_all_devices
from workers.flower import check_flower, flower_url, run_flower
from workers.kinds import KINDS, run_worker
from workers.processes import free_port
from workers.supervisor import RestartPolicy, Supervisor, standard_specs


@dataclass(frozen=True)
class House:
    """Everything that ``afin up`` runs, and where pages and Flower answer."""

    supervisor: Supervisor
    flower_url: str
    web_url: str
    environment: dict[str, str]


def migrate(as_json: JsonFlag = False) -> None:
    """Bring the database to the newest schema; every other command does so too, if need be."""
    database = context().database
    if as_json:
        print_json({"database": database.location, "schema": SCHEMA_VERSION})
    note(f"{database.location} has schema {SCHEMA_VERSION}.")


def up(as_json: JsonFlag = False) -> None:
    """Run everything: broker (embedded unless AFIN_BROKER_URL is set), workers, pages, Flower.

    Ends with one Ctrl-C; a second one does not wait for tasks.
    """
    settings = load_settings()
    set_up_logs(settings, "up")
    with open_house(settings) as house:
        if as_json:
            print_json(
                {
                    "web": house.web_url,
                    "flower": house.flower_url,
                    "data_dir": str(settings.data_dir.absolute()),
                }
            )
        note(f"Everything runs on {settings.data_dir.absolute()}. Pages: {house.web_url}")
        note(f"Flower: {house.flower_url}")
        note("Ctrl-C stops it.")
        house.supervisor.wait()


def worker(
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(KINDS)}.")],
    device: Annotated[
        str | None,
        typer.Option(help="cpu, cuda, cuda:1, or all: a process on every GPU (gpu workers)."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run one worker of a kind in the foreground."""
    settings = load_settings()
    if device is not None:
        check_device(kind, device)
    if device == ALL:
        require_broker(settings)
        raise typer.Exit(run_on_all_devices(settings, settings.data_dir.absolute() / "logs"))
    if device is not None:
        settings = adopt_settings({"AFIN_DEVICE": device})

    def tell() -> None:
        print_json({"worker": kind, "pid": os.getpid()})

    # Not before it works: an error would make a second document.
    ready = tell if as_json else None
    raise typer.Exit(run_worker(kind, settings, on_ready=ready))


def flower(as_json: JsonFlag = False) -> None:
    """Run Flower, which shows workers, queues and tasks; read-only."""
    settings = load_settings()
    check_flower(settings)
    port = settings.flower_port or free_port()
    if as_json:
        print_json({"flower": flower_url(settings, port)})
    raise typer.Exit(run_flower(settings, port))


def web(as_json: JsonFlag = False) -> None:
    """Serve the pages and the API; on loopback without sign-in, elsewhere never."""

    def tell(url: str) -> None:
        print_json({"web": url})

    raise typer.Exit(run_web(load_settings(), on_ready=tell if as_json else None))


@contextmanager
def open_house(
    settings: Settings,
    *,
    environment: dict[str, str] | None = None,
    policy: RestartPolicy | None = None,
) -> Iterator[House]:
    """Run broker, workers and Flower until the block ends.

    Raises:
        BrokerError: the embedded broker cannot start.
        DatabaseError, BlobError: what all need cannot be reached.
    """
    data_dir = settings.data_dir.absolute()
    data_dir.mkdir(parents=True, exist_ok=True)
    # A wrong address is told here, once, and not in the log of each worker.
    resources = context()
    check_web(resources)
    resources.database.close()
    resources.blobs.check()
    with ExitStack() as stack:
        shared = dict(environment or {})
        broker = None
        if settings.broker_url is None:
            broker = stack.enter_context(EmbeddedBroker.start(data_dir))
            shared["AFIN_BROKER_URL"] = broker.url
        port = settings.flower_port or free_port()
        pages = settings.web_port or free_port()
        specs = standard_specs(settings, env=shared, flower_port=port, web_port=pages)
        record = data_dir / "flower.url"
        url = flower_url(settings, port)
        record.write_text(url + "\n", "utf-8")
        stack.callback(_forget, record)
        supervisor = Supervisor(
            specs, logs=data_dir / "logs", broker=broker, policy=policy, say=note
        )
        stack.enter_context(supervisor)
        address = web_url(settings, pages)
        yield House(supervisor=supervisor, flower_url=url, web_url=address, environment=shared)


def _forget(path: Path) -> None:
    path.unlink(missing_ok=True)
