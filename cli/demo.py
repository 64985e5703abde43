"""afin demo: the whole way from photos to verdicts, on samples drawn on the spot."""

import functools
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.imports import describe_problems
from cli.models import read_training_progress
from cli.output import JsonFlag, note, print_json, print_text, warn
from cli.progress import metering, wait_for_run
from cli.serve import House, open_house
from cli.verdicts import print_verdicts, read_classifying_progress
from pipelines.sources.accounts import read_accounts
from pipelines.sources.photos import read_labelled_photos
from pipelines.sources.samples.writer import SampleSet, write_samples
from schemas.errors import AfinError, UsageError
from schemas.runs import Progress, RunState
from schemas.settings import load_settings
from schemas.verdicts import StoredVerdict
from storage.export import describe_verdicts, to_json
from storage.photos import count_photo_problems
from storage.verdicts import run_verdicts
from tasks.context import adopt_settings, context
from tasks.ingest import Intake, take_accounts, take_photos
from tasks.start import TRAINING, require_workers, start_classification, start_training

CATEGORIES = ("aire-libre", "animal", "comida", "deporte", "moda")
BACKBONE = "efficientnet_lite0"
STARTING_S = 180.0
"""Six processes that import their libraries at once, perhaps on a busy machine."""

MARK = ".afin-demo"
"""Only a folder with this file in it is ever emptied."""


def demo(
    folder: Annotated[
        Path, typer.Option(help="Where the demo keeps its data; emptied first.")
    ] = Path("demo-data"),
    accounts: Annotated[int, typer.Option(min=1, help="Sample accounts.")] = 24,
    photos: Annotated[int, typer.Option(min=10, help="Training photos a category.")] = 30,
    seed: Annotated[int, typer.Option(help="The same seed draws the same photos.")] = 7,
    as_json: JsonFlag = False,
) -> None:
    """Draw sample accounts, train on drawn photos, classify everyone, and show the verdicts.

    On a terminal, Flower goes on until Ctrl-C. The samples show the flow, not accuracy.
    """
    data_dir = _fresh_folder(folder)
    adopt_settings({"AFIN_DATA_DIR": str(data_dir), "AFIN_FETCH_ALLOW_LOOPBACK": "true"})
    with serve_folder(data_dir / "samples") as base_url:
        samples = _draw(data_dir / "samples", base_url, accounts=accounts, photos=photos, seed=seed)
        with open_house(load_settings()) as house:
            adopt_settings(house.environment)
            stored = _run(samples)
            _tell_broken()
            _show(stored, as_json=as_json)
            if sys.stdout.isatty() and not as_json:
                _stay(house)


def _fresh_folder(folder: Path) -> Path:
    """Empty the demo's own folder, and nobody else's."""
    path = folder.absolute()
    if path.exists() and any(path.iterdir()) and not (path / MARK).exists():
        raise UsageError(f"{folder} holds other things than a demo: name another --folder.")
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    (path / MARK).touch()
    return path


class _QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without writing every request to stderr."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
        """Say nothing."""


@contextmanager
def serve_folder(folder: Path) -> Iterator[str]:
    """Serve a folder on loopback, as the web the scrape workers fetch photos from."""
    folder.mkdir(parents=True, exist_ok=True)
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, name="samples", daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def _draw(folder: Path, base_url: str, *, accounts: int, photos: int, seed: int) -> SampleSet:
    samples = write_samples(
        folder,
        seed=seed,
        categories=CATEGORIES,
        training_per_category=photos,
        accounts=accounts,
        posts=(4, 14),
        photo_base_url=base_url,
    )
    note(
        f"Drew {samples.training_photos} training photos and {samples.accounts} accounts with "
        f"{samples.posts} posts (seed {seed})."
    )
    return samples


def _run(samples: SampleSet) -> list[StoredVerdict]:
    """Import, train and classify, each through the same code as the commands."""
    resources = context()
    with metering("Importing photos") as meter:
        items = read_labelled_photos(samples.photos_table)
        _tell(take_photos(resources, items, source="samples", on_item=meter.step))
    with metering("Importing accounts") as meter:
        found = read_accounts(samples.accounts_file)
        _tell(take_accounts(resources, found, origin="samples", on_item=meter.step))
    with metering("Waiting for the workers"):
        require_workers(resources, TRAINING, wait_s=STARTING_S)
    training, _left_out = start_training(resources, CATEGORIES, backbone=BACKBONE, seed=0)
    _require_done(wait_for_run(lambda: read_training_progress(training), "Training"))
    run_id = start_classification(resources, None)
    _require_done(wait_for_run(lambda: read_classifying_progress(run_id), "Classifying"))
    with resources.database.read() as connection:
        return run_verdicts(connection, run_id)


def _tell(intake: Intake) -> None:
    note(f"Imported {intake.accounts} accounts, {intake.posts} posts, {intake.photos} photos.")
    if intake.problems:
        warn(f"Problems, recorded beside what has them: {describe_problems(intake)}.")


def _tell_broken() -> None:
    with context().database.read() as connection:
        broken = count_photo_problems(connection)
    reasons = ", ".join(f"{reason} {count}" for reason, count in broken.items())
    warn(f"Photos broken on purpose, each recorded on its post: {reasons}.")


def _require_done(progress: Progress) -> None:
    if progress.state is not RunState.DONE:
        raise AfinError(progress.error or f"The demo's run was {progress.state}.")


def _show(stored: list[StoredVerdict], *, as_json: bool) -> None:
    documents = describe_verdicts(stored)
    if as_json:
        print_json(documents)
        return
    print_verdicts(stored)
    print_text("\n" + to_json(documents))


def _stay(house: House) -> None:
    note(f"\nFlower shows what the workers did: {house.flower_url}")
    note("Ctrl-C stops everything.")
    house.supervisor.wait()
