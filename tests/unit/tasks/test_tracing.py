"""Traces in one process, with an exporter that keeps spans in memory."""

import sys
from collections.abc import Iterator

import pytest
from celery.signals import (
    before_task_publish,
    task_failure,
    task_postrun,
    task_prerun,
    worker_process_shutdown,
)

from schemas.settings import Settings
from tasks import tracing
from tasks.app import app
from tasks.at_work import follow_tasks, ids_at_work
from tasks.tracing import Tracer, set_up_tracing, tracing_account, tracing_request, use_tracer

sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="The extra otel is not installed.")
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (  # noqa: E402
    InMemorySpanExporter,
)

SIGNALS = (
    before_task_publish,
    task_failure,
    task_postrun,
    task_prerun,
    worker_process_shutdown,
)


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Trace this process for the length of a test."""
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    app.loader.import_default_modules()
    follow_tasks()
    use_tracer(Tracer(provider, Settings()))
    yield kept
    tracing._tracers.clear()
    for signal in SIGNALS:
        signal.disconnect(dispatch_uid="afin.tracing")


def publish() -> dict[str, str]:
    """The headers that a message sent now would carry."""
    headers: dict[str, str] = {}
    before_task_publish.send(sender="images.embed", headers=headers)
    return headers


def work(headers: dict[str, str], *, result: str = "", error: Exception | None = None) -> None:
    """Do what a worker does around a task that came with these headers."""
    task = app.tasks["images.embed"]
    task.push_request(id="t1", **headers)
    ids = {"sender": task, "task_id": "t1", "task": task}
    task_prerun.send(**ids, args=(7, 1, 42, 1, 9), kwargs={})
    if error is not None:
        task_failure.send(sender=task, task_id="t1", exception=error)
    task_postrun.send(**ids, args=(), kwargs={}, retval=result)
    task.pop_request()


def spans(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_task_is_a_child_of_the_request_that_sent_it(exporter: InMemorySpanExporter) -> None:
    with tracing_request("POST", "/events", {}) as span:
        assert span is not None
        headers = publish()
    work(headers)
    found = spans(exporter)
    request, task = found["POST /events"], found["images.embed"]
    assert task.parent is not None
    assert task.parent.span_id == request.context.span_id
    assert task.context.trace_id == request.context.trace_id
    assert task.attributes is not None
    assert (task.attributes["afin.run"], task.attributes["afin.account"]) == (7, 42)


def test_logs_name_the_trace(exporter: InMemorySpanExporter) -> None:
    with tracing_request("POST", "/events", {}):
        of_request = ids_at_work()["trace_id"]
        headers = publish()
    task = app.tasks["images.embed"]
    task.push_request(id="t1", **headers)
    task_prerun.send(sender=task, task_id="t1", task=task, args=(), kwargs={})
    assert ids_at_work()["trace_id"] == of_request == headers["traceparent"].split("-")[1]
    task_postrun.send(sender=task, task_id="t1", task=task, args=(), kwargs={}, retval="")
    task.pop_request()
    assert ids_at_work() == {}


def test_a_message_without_a_trace_begins_one(exporter: InMemorySpanExporter) -> None:
    with tracing_request("GET", "/", {}):
        work({})
    assert spans(exporter)["images.embed"].parent is None


@pytest.mark.parametrize("urgent", [True, False])
def test_accounts_of_a_bulk_run_have_traces_of_their_own(
    exporter: InMemorySpanExporter, urgent: bool
) -> None:
    with tracing_request("POST", "/events", {}), tracing_account(7, 42, urgent=urgent):
        pass
    found = spans(exporter)
    request, account = found["POST /events"].context, found["send account"]
    assert (account.context.trace_id == request.trace_id) is urgent
    assert [link.context.span_id for link in account.links] == ([] if urgent else [request.span_id])


def test_what_went_wrong_is_told_without_secrets(exporter: InMemorySpanExporter) -> None:
    work({}, error=ValueError("no redis://:secret@host"))
    (failed,) = exporter.get_finished_spans()
    exporter.clear()
    work({}, result="failed: no redis://:secret@host")
    (returned,) = exporter.get_finished_spans()
    assert failed.status.description == "ValueError: no redis://…@host"
    assert returned.status.description == "failed: no redis://…@host"
    assert not failed.status.is_ok
    assert not returned.status.is_ok


def test_nothing_is_traced_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tracing.WANTED:
        monkeypatch.delenv(name, raising=False)
    set_up_tracing(Settings(), "web")
    with tracing_request("GET", "/", {}) as span, tracing_account(1, 2, urgent=False):
        assert span is None


def test_who_asks_for_traces_without_the_extra_is_told_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    set_up_tracing(Settings(), "web")
    assert "pip install afin[otel]" in caplog.text
    assert tracing._tracers == []
