"""Logs: what a record carries, in which form, and what never stands in it."""

import asyncio
import io
import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
from celery.signals import task_postrun, task_prerun
from pydantic import SecretStr

from schemas.errors import UsageError
from schemas.settings import Settings, load_settings
from tasks.app import app
from tasks.at_work import at_work, ids_at_work
from tasks.logs import make_concealer
from tests.logs import Screen, logging_to

ROOT = Path(__file__).parents[3]
log = logging.getLogger("some.library")


def logged(settings: Settings | None = None) -> list[dict[str, Any]]:
    """Log once as JSON, and read it."""
    out = io.StringIO()
    with logging_to(out, settings or Settings(log_format="json")):
        log.warning("lost %s of %s", 2, "three")
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_library_s_record_is_one_json_object_a_line() -> None:
    (record,) = logged()
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "message": "lost 2 of three",
        "level": "warning",
        "logger": "some.library",
        "process": "gpu",
    }


def test_people_at_a_terminal_read_text_and_machines_json() -> None:
    screen, file = Screen(), io.StringIO()
    for stream in (screen, file):
        with logging_to(stream, Settings()):
            log.error("é")
    assert "é" in screen.getvalue()
    assert not screen.getvalue().startswith("{")
    assert json.loads(file.getvalue())["message"] == "é"


def test_text_can_be_asked_for_where_nobody_looks_on() -> None:
    out = io.StringIO()
    with logging_to(out, Settings(log_format="text")), at_work(run=3):
        log.error("oh")
    assert "oh" in out.getvalue()
    assert "run=3" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def run_task(name: str, task_id: str, *args: object) -> list[dict[str, Any]]:
    """Log between the signals that Celery sends around a task."""
    task = app.tasks[name]
    app.loader.import_default_modules()
    task_prerun.send(sender=task, task_id=task_id, task=task, args=args, kwargs={})
    try:
        return logged()
    finally:
        task_postrun.send(sender=task, task_id=task_id, task=task, args=args, kwargs={})


def test_a_record_tells_task_run_and_account() -> None:
    app.loader.import_default_modules()
    with logging_to(io.StringIO(), Settings()):
        (record,) = run_task("images.embed", "t-1", 7, 1, 42, 100, 131)
        assert ids_at_work() == {}
    ids = {name: record[name] for name in ("task", "task_id", "run", "account")}
    assert ids == {"task": "images.embed", "task_id": "t-1", "run": 7, "account": 42}


def test_what_a_task_starts_on_the_loop_carries_its_ids_and_no_other_thread_does() -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    found: list[object] = []

    async def look() -> None:
        found.append(dict(ids_at_work()))

    def elsewhere() -> None:
        found.append(dict(ids_at_work()))

    with at_work(run=1):
        asyncio.run_coroutine_threadsafe(look(), loop).result(10)
        other = threading.Thread(target=elsewhere)
        other.start()
        other.join()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    assert found == [{"run": 1}, {}]


def test_a_traceback_is_part_of_its_record_and_shows_no_secret() -> None:
    out = io.StringIO()
    settings = Settings(log_format="json", pexels_key=SecretStr("pexels-key-1234"))
    with logging_to(out, settings):
        error = ValueError("https://me:pass@host/a?token=abc said pexels-key-1234")
        log.error("no luck", exc_info=error)
    record = json.loads(out.getvalue())
    assert "ValueError: https://host/a?… said …" in record["exception"]
    for secret in ("pexels-key-1234", "token=abc", "pass"):
        assert secret not in out.getvalue()


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("redis://:p@ss/word@host:1/0 is away", "redis://…@host:1/0 is away"),
        ("postgresql://afin:secret@db/afin", "postgresql://…@db/afin"),
        ("see https://host/a?access_token=x.", "see https://host/a?…"),
        ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer …"),
        ("signed by whsec_c3NzMTIzNDU2", "signed by whsec_…"),
        ("run 3: 5 accounts sent again", "run 3: 5 accounts sent again"),
    ],
)
def test_secrets_are_taken_out_of_what_is_said(said: str, written: str) -> None:
    assert make_concealer(Settings())(said) == written


def test_every_part_of_the_settings_secrets_is_taken_out() -> None:
    settings = Settings(
        flower_auth=SecretStr("afin:flowersecret"),
        event_secrets=SecretStr("agency=whsec_YWdlbmN5 whsec_b3RoZXJzZWNyZXQ="),
        database_url=SecretStr("postgresql://afin:data%40base@db/afin"),
    )
    said = "flowersecret YWdlbmN5 b3RoZXJzZWNyZXQ= data%40base data@base agency db"
    assert make_concealer(settings)(said) == "… … … … … agency db"


def test_warnings_are_logged() -> None:
    out = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with logging_to(out, Settings(log_format="json")):
            warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert json.loads(out.getvalue())["logger"] == "py.warnings"


def test_celery_sets_up_no_logs_of_its_own() -> None:
    out = io.StringIO()
    with logging_to(out, Settings(log_format="json")):
        handlers = logging.getLogger().handlers[:]
        was, app.log.already_setup = app.log.already_setup, False
        type(app.log)._setup = False
        try:
            handled = app.log.setup(loglevel="INFO", redirect_stdouts=True)
        finally:
            app.log.already_setup = was
        assert handled
        assert logging.getLogger().handlers == handlers
        assert sys.stdout.__class__.__name__ != "LoggingProxy"


def test_an_arriving_task_is_told_only_at_debug() -> None:
    arrivals = logging.getLogger("celery.worker.strategy")
    with logging_to(io.StringIO(), Settings()):
        assert not arrivals.isEnabledFor(logging.INFO)
    with logging_to(io.StringIO(), Settings(log_level="DEBUG")):
        assert arrivals.isEnabledFor(logging.INFO)


def test_a_level_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFIN_LOG_LEVEL", "LOUD")
    load_settings.cache_clear()
    try:
        with pytest.raises(UsageError, match="AFIN_LOG_LEVEL"):
            load_settings()
        monkeypatch.setenv("AFIN_LOG_LEVEL", "debug")
        assert load_settings().log_level == "DEBUG"
    finally:
        load_settings.cache_clear()


def test_a_process_that_logs_loads_neither_rich_nor_opentelemetry() -> None:
    program = (
        "import sys; from schemas.settings import Settings; import tasks.tracing, tasks.logs;"
        "tasks.logs.set_up_logs(Settings(), 'web');"
        "tasks.tracing.set_up_tracing(Settings(), 'web');"
        "print([one for one in ('rich', 'opentelemetry') if one in sys.modules]);"
        "import rich.console"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == "[]"
