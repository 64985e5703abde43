"""afin demo: the whole way from three sources to verdicts, on samples drawn on the spot."""

import functools
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.output import JsonFlag, note, print_json, print_text, warn
from cli.progress import metering, wait_for_run
from cli.serve import House, open_house
from cli.training import read_training_progress
from cli.verdicts import print_verdicts, read_classifying_progress
from pipelines.sources.sandbox import Sandbox, SandboxContent
from schemas.categories import read_categories
from schemas.crawls import CrawlReport
from schemas.errors import AfinError, UsageError
from schemas.runs import Progress, RunState
from schemas.settings import load_settings
from schemas.verdicts import StoredVerdict
from storage.crawl_report import read_crawl_progress, read_crawl_report
from storage.export import describe_verdicts, to_json
from storage.verdicts import run_verdicts
from tasks.context import adopt_settings, context
from tasks.start import TRAINING, require_workers, start_classification, start_training
from tasks.start_crawl import (
    CRAWLING,
    crawl_accounts,
    crawl_imagenet,
    crawl_pexels,
    crawl_tags,
    terms_of_categories,
)

CATEGORIES = ("aire-libre", "animal", "comida", "deporte", "moda")
BACKBONE = "efficientnet_lite0"
TAGS = 3
"""Tags of each category: Instagram allows 30 in seven days."""

STARTING_S = 180.0
"""Six processes that import their libraries at once, perhaps on a busy machine."""

MARK = ".afin-demo"
"""Only a folder with this file in it is ever emptied."""


def demo(
    folder: Annotated[
        Path, typer.Option(help="Where the demo keeps its data; emptied first.")
    ] = Path("demo-data"),
    accounts: Annotated[int, typer.Option(min=1, help="Sample accounts.")] = 24,
    photos: Annotated[
        int, typer.Option(min=10, help="Training photos a category and source.")
    ] = 24,
    posts: Annotated[int, typer.Option(min=1, help="Posts found by each tag.")] = 12,
    seed: Annotated[int, typer.Option(help="The same seed draws the same photos.")] = 7,
    as_json: JsonFlag = False,
) -> None:
    """Crawl stand-ins of three sources, train on what they show, and classify every account.

    On a terminal, Flower goes on until Ctrl-C. The samples show the flow, not accuracy.
    """
    data_dir = _fresh_folder(folder)
    content = SandboxContent(
        seed=seed,
        photos_per_term=photos,
        urls_per_synset=photos,
        posts_per_tag=posts,
        accounts=accounts,
        account_topics=CATEGORIES,
    )
    with Sandbox(content) as sandbox:
        files = data_dir / "imagenet"
        sandbox.write_files(files)
        note(f"Stand-ins of ImageNet, Pexels and Instagram draw their photos with seed {seed}.")
        adopt_settings(
            {
                **sandbox.environment(),
                "AFIN_IMAGENET_FILES": str(files),
                "AFIN_DATA_DIR": str(data_dir),
            }
        )
        with open_house(load_settings()) as house:
            adopt_settings(house.environment)
            stored = _run(sandbox, photos=photos, posts=posts)
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


def _run(sandbox: Sandbox, *, photos: int, posts: int) -> list[StoredVerdict]:
    """Crawl, train and classify, each through the same code as the commands."""
    resources = context()
    with metering("Waiting for the workers"):
        require_workers(resources, {*CRAWLING, *TRAINING}, wait_s=STARTING_S)
    for name, run_id in _crawl(sandbox, photos=photos, posts=posts).items():
        _require_done(wait_for_run(functools.partial(_read_crawl, run_id), f"Crawling {name}"))
        _tell(name, run_id)
    training, _left_out = start_training(resources, CATEGORIES, backbone=BACKBONE, seed=0)
    _require_done(wait_for_run(lambda: read_training_progress(training), "Training"))
    run_id = start_classification(resources, None)
    _require_done(wait_for_run(lambda: read_classifying_progress(run_id), "Classifying"))
    with resources.database.read() as connection:
        return run_verdicts(connection, run_id)


def _crawl(sandbox: Sandbox, *, photos: int, posts: int) -> dict[str, int]:
    """Start every crawl; they go on side by side. Return their runs by what they bring."""
    resources = context()
    known = read_categories().categories
    tags = [(tag, name) for name in CATEGORIES for tag in known[name].instagram[:TAGS]]
    usernames = [account.username for account in sandbox.accounts]
    imagenet, _remarks = crawl_imagenet(
        resources, terms_of_categories("imagenet", CATEGORIES), recursive=True, limit=photos
    )
    pexels = terms_of_categories("pexels", CATEGORIES)
    return {
        "photos of ImageNet": imagenet,
        "photos of Pexels": crawl_pexels(resources, pexels, pages=False, limit=photos),
        "posts by tag": crawl_tags(resources, tags, posts=posts),
        "accounts": crawl_accounts(resources, usernames, posts=None, urgent=False),
    }


def _read_crawl(run_id: int) -> Progress:
    with context().database.read() as connection:
        return read_crawl_progress(connection, run_id)


def _tell(name: str, run_id: int) -> None:
    with context().database.read() as connection:
        report = read_crawl_report(connection, run_id)
    note(f"Crawled {name}: {report.stored} photos stored of {_asked(report)} asked for.")
    lacking = {**report.dead, **report.refused}
    if report.duplicates:
        lacking["duplicates"] = report.duplicates
    if report.placeholders:
        lacking["placeholders"] = report.placeholders
    if lacking:
        listed = ", ".join(f"{reason} {number}" for reason, number in lacking.items())
        warn(f"The others, each recorded with its reason: {listed}.")


def _asked(report: CrawlReport) -> int:
    return report.found - report.beyond_limit - report.waiting


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
    note(f"\nThe verdicts with their posts: {house.web_url}")
    note(f"Flower shows what the workers did: {house.flower_url}")
    note("Ctrl-C stops everything.")
    house.supervisor.wait()
