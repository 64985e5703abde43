"""Traces of events, runs and accounts through web and workers, where OpenTelemetry is wanted.

Wanted means: the extra ``otel`` is installed and OTEL_EXPORTER_OTLP_ENDPOINT is set. Otherwise
nothing of it is imported, and the functions here do nothing.
"""

import logging
import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from celery import Task
from celery.signals import (
    before_task_publish,
    task_failure,
    task_postrun,
    task_prerun,
    worker_process_shutdown,
)

from schemas.settings import Settings
from tasks.at_work import add_to_task, at_work, ids_at_work
from tasks.logs import make_concealer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

log = logging.getLogger(__name__)

WANTED = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
HEADERS = ("traceparent", "tracestate")
FLUSH_MS = 2000
STACK = "afin_span"
"""Where a task's request keeps what has to be ended with it."""


class Tracer:
    """Begins and ends the spans of one process."""

    def __init__(self, provider: "TracerProvider", settings: Settings) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("afin")
        self._conceal = make_concealer(settings)

    def follow_tasks(self) -> None:
        """Make a span of every task, as a child of what sent it."""
        uid = "afin.tracing"
        before_task_publish.connect(self._send, weak=False, dispatch_uid=uid)
        task_prerun.connect(self._begin, weak=False, dispatch_uid=uid)
        task_failure.connect(self._fail, weak=False, dispatch_uid=uid)
        task_postrun.connect(self._end, weak=False, dispatch_uid=uid)
        worker_process_shutdown.connect(self._flush, weak=False, dispatch_uid=uid)

    @contextmanager
    def request(self, method: str, route: str, headers: Mapping[str, str]) -> Iterator["Span"]:
        """Make a span of a request; of its address only the route, as the rest may be secret."""
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        carrier = {name: headers[name] for name in HEADERS if name in headers}
        attributes = {"http.request.method": method, "http.route": route}
        with (
            self._tracer.start_as_current_span(
                f"{method} {route}", extract(carrier), SpanKind.SERVER, {**attributes, **_own_ids()}
            ) as span,
            at_work(trace_id=_trace_id(span)),
        ):
            yield span

    @contextmanager
    def account(self, run_id: int, influencer_id: int, *, alone: bool) -> Iterator[None]:
        """Make a span of sending an account on its way; ``alone``: it begins a trace of its own."""
        from opentelemetry.context import Context
        from opentelemetry.trace import Link, get_current_span

        feeder = get_current_span().get_span_context()
        links = [Link(feeder)] if alone and feeder.is_valid else None
        with self._tracer.start_as_current_span(
            "send account",
            Context() if alone else None,
            attributes={"afin.run": run_id, "afin.account": influencer_id},
            links=links,
        ):
            yield

    def _send(self, headers: MutableMapping[str, Any] | None = None, **_signal: object) -> None:
        from opentelemetry.propagate import inject

        if headers is not None:
            inject(headers)

    def _begin(self, task: Task, **_signal: object) -> None:
        from opentelemetry import context
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind, use_span

        carrier = {name: getattr(task.request, name, None) for name in HEADERS}
        # From nothing but the message: this thread may have been at something else.
        parent = extract({key: value for key, value in carrier.items() if value}, context.Context())
        attributes = {"messaging.system": "celery", **_own_ids()}
        span = self._tracer.start_span(task.name, parent, SpanKind.CONSUMER, attributes)
        stack = ExitStack()
        stack.enter_context(use_span(span, end_on_exit=True))
        add_to_task(trace_id=_trace_id(span))
        task.request.__dict__[STACK] = (stack, span)

    def _fail(
        self, sender: Task | None = None, exception: BaseException | None = None, **_signal: object
    ) -> None:
        held = sender.request.__dict__.get(STACK) if sender is not None else None
        if held is not None:
            self._mark(held[1], f"{type(exception).__name__}: {exception}")

    def _end(self, task: Task, retval: object = None, **_signal: object) -> None:
        held = task.request.__dict__.pop(STACK, None)
        if held is None:
            return
        stack, span = held
        if isinstance(retval, str):
            result = self._conceal(retval)
            span.set_attribute("afin.result", result)
            # A header of a chord never raises: it says what went wrong.
            if result.startswith("failed"):
                self._mark(span, result)
        stack.close()

    def _mark(self, span: "Span", problem: str) -> None:
        from opentelemetry.trace import StatusCode

        span.set_status(StatusCode.ERROR, self._conceal(problem))

    def _flush(self, **_signal: object) -> None:
        # A pool's child ends without what Python does at exit.
        self._provider.force_flush(FLUSH_MS)


_tracers: list[Tracer] = []
"""The tracer of this process, if there is one."""


def set_up_tracing(settings: Settings, process: str) -> None:
    """Begin to trace this process, if that is wanted and possible."""
    if not any(os.environ.get(name) for name in WANTED):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning(
            "%s is set, but OpenTelemetry is not installed: pip install afin[otel], or unset it.",
            WANTED[0],
        )
        return
    provider = TracerProvider(resource=Resource.create({"service.name": f"afin-{process}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    use_tracer(Tracer(provider, settings))


def use_tracer(tracer: Tracer) -> None:
    """Let this process be traced from now on."""
    _tracers[:] = [tracer]
    tracer.follow_tasks()


@contextmanager
def tracing_request(method: str, route: str, headers: Mapping[str, str]) -> Iterator["Span | None"]:
    """Trace a request, if this process is traced."""
    if not _tracers:
        yield None
        return
    with _tracers[0].request(method, route, headers) as span:
        yield span


@contextmanager
def tracing_account(run_id: int, influencer_id: int, *, urgent: bool) -> Iterator[None]:
    """Trace the sending of an account, if this process is traced.

    An account of an event stays in the event's trace; in a bulk run each has its own, as that
    of the run would never end.
    """
    if not _tracers:
        yield
        return
    with _tracers[0].account(run_id, influencer_id, alone=not urgent):
        yield


def _trace_id(span: "Span") -> str:
    """The trace's number as collectors write it, for logs to name."""
    return f"{span.get_span_context().trace_id:032x}"


def _own_ids() -> dict[str, Any]:
    return {f"afin.{name}": value for name, value in ids_at_work().items()}
