"""One way of logging for every process: text for people or JSON lines, without secrets.

Modules log with the standard library, as their libraries do; structlog writes all of it.
"""

import logging
import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, TextIO
from urllib.parse import unquote, urlsplit

from celery.signals import setup_logging
from pydantic import SecretStr

from pipelines.sources.http.addresses import redact
from schemas.settings import Settings
from tasks.at_work import follow_tasks, ids_at_work

Event = dict[str, Any]
Processor = Callable[[Any, str, Event], Event]

SHORTEST_SECRET = 8
"""A setting that is shorter is no secret, and would blot out ordinary words."""

QUIET = {"celery.worker.strategy": logging.WARNING, "celery.beat": logging.WARNING}
"""What says twice what others say: that a task was due, or came; its end tells more."""

BY_CLOCK = ("runs.sweep", "figures.count")
"""Come again and again, and say by themselves what they found."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_KEY = re.compile(r"(whsec_|[Bb]earer )[A-Za-z0-9+/=._-]{8,}")
_WRITTEN = ("message", "exception", "stack")


def set_up_logs(settings: Settings, process: str, *, stream: TextIO | None = None) -> None:
    """Send what this process logs to stderr, in the form that the settings ask for.

    ``process`` names it in each JSON line. Celery is kept from setting up logs of its own.
    """
    target = stream or sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(make_formatter(settings, process, terminal=target.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level if root.level == logging.INFO else logging.NOTSET)
    logging.captureWarnings(capture=True)
    logging.getLogger("celery.app.trace").addFilter(_leave_out_sweeps)
    setup_logging.connect(_leave_logs_alone, dispatch_uid="afin.logs")
    follow_tasks()


def writes_json(settings: Settings, *, terminal: bool) -> bool:
    """Whether logs are JSON lines: unless told otherwise, where nobody looks on."""
    return settings.log_format == "json" or (settings.log_format == "auto" and not terminal)


def make_formatter(settings: Settings, process: str, *, terminal: bool) -> logging.Formatter:
    """Return what turns a record of any library into one line, or text with its traceback."""
    structlog = _import_structlog()
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_ids,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    conceal = make_concealer(settings)
    if writes_json(settings, terminal=terminal):
        last += [
            _naming(process),
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            _concealing(conceal),
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ]
    else:
        last += [
            structlog.processors.format_exc_info,
            _concealing(conceal),
            structlog.dev.ConsoleRenderer(
                colors=terminal, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
            ),
        ]
    formatter: logging.Formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=last
    )
    return formatter


def make_concealer(settings: Settings) -> Callable[[str], str]:
    """Return what takes secrets out of a text: those in addresses, and those of the settings."""
    known = sorted(_secrets(settings), key=len, reverse=True)
    secrets = re.compile("|".join(map(re.escape, known))) if known else None

    def conceal(text: str) -> str:
        if secrets is not None:
            text = secrets.sub("…", text)
        if "://" in text:
            text = _ADDRESS.sub(lambda found: _show_address(found[0]), text)
        # Looked for first: the expression has to try at every letter.
        if "whsec_" in text or "earer " in text:
            text = _KEY.sub(r"\1…", text)
        return text

    return conceal


def _import_structlog() -> ModuleType:
    """Import structlog without rich, which it would load for tracebacks that we write plainly.

    That is 3 MB and 80 ms of CPU in each process; rich shows local variables, too.
    """
    hidden = "rich" not in sys.modules and "structlog" not in sys.modules
    if hidden:
        sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog
    finally:
        if hidden:
            del sys.modules["rich"]
    return structlog


def _leave_logs_alone(**_signal: object) -> None:
    """Celery sets nothing up, and redirects nothing, as soon as somebody listens here."""


def _leave_out_sweeps(record: logging.LogRecord) -> bool:
    """Whether a record is worth telling; at DEBUG each one is."""
    return (
        record.levelno != logging.INFO
        or ids_at_work().get("task") not in BY_CLOCK
        or logging.getLogger().level < logging.INFO
    )


def _add_ids(_logger: object, _name: str, event: Event) -> Event:
    event.update(ids_at_work())
    return event


def _naming(process: str) -> Processor:
    def add(_logger: object, _name: str, event: Event) -> Event:
        event["process"] = process
        return event

    return add


def _concealing(conceal: Callable[[str], str]) -> Processor:
    def clean(_logger: object, _name: str, event: Event) -> Event:
        for key in (*_WRITTEN, "event"):
            text = event.get(key)
            if isinstance(text, str):
                event[key] = conceal(text)
        return event

    return clean


def _show_address(url: str) -> str:
    """Write an address without what may be secret in it; other schemes keep path and query."""
    if url.lower().startswith(("http://", "https://")):
        return redact(url)
    scheme, _, rest = url.partition("://")
    # The last @, as a password may hold one.
    _, at, place = rest.rpartition("@")
    return f"{scheme}://{'…@' if at else ''}{place}"


def _secrets(settings: Settings) -> set[str]:
    """Every secret of the settings; of lists every part, of addresses the password."""
    found: set[str] = set()
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            for part in re.split(r"[\s,]+", value.get_secret_value()):
                found |= _secret_parts(part)
    return {one for one in found if len(one) >= SHORTEST_SECRET}


def _secret_parts(part: str) -> set[str]:
    """What is secret in ``NAME=secret``, ``user:secret``, ``whsec_secret`` or an address."""
    if "://" in part:
        password = urlsplit(part).password or ""
        return {password, unquote(password)}
    return {part, part.partition("=")[2], part.partition(":")[2], part.partition("whsec_")[2]}
