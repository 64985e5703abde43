"""Crawls in tests: against the sandbox, by tasks that a small driver calls as workers would."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kombu.transport.memory import Channel
from sqlalchemy import Table, select, update

from pipelines.sources.sandbox import Sandbox
from schemas.crawls import CrawlReport
from schemas.runs import MemberState
from storage.crawl_report import read_crawl_report
from storage.crawl_tables import crawl_parts, crawl_urls
from storage.runs import read_run
from tasks import start
from tasks.context import Context, context
from tasks.crawl import fetch, page
from tasks.fetching import close_fetching
from tasks.runs import feed, sweep
from tests.adopted import adopted
from tests.unit.tasks.sent import Message, forget_messages, sent_messages

TASKS: dict[str, Callable[..., str]] = {
    "scrape.page": page,
    "scrape.fetch": fetch,
    "runs.feed": feed,
}
DEADLINE_S = 60.0
POLL_S = 0.01


class Driver:
    """Works off what crawls send, in this process and one message after the other."""

    def __init__(self, resources: Context, sandbox: Sandbox) -> None:
        self.resources = resources
        self.sandbox = sandbox
        self.log: list[str] = []
        self.messages: list[Message] = []

    def step(self, *, only: str = "") -> int:
        """Do what lies in the queues now, perhaps only one kind of task; return how much it was."""
        found = sent_messages()
        forget_messages()
        done = [message for message in found if message.task.startswith(only)]
        for message in done:
            self.messages.append(message)
            self.log.append(TASKS[message.task](*message.args))
        return len(done)

    def finish(self, run_id: int, *, hurry: bool = False) -> CrawlReport:
        """Work and sweep until a crawl has ended; with ``hurry`` every wait passes at once."""
        end = time.monotonic() + DEADLINE_S
        while not self.report(run_id).state.final:
            assert time.monotonic() < end, self.report(run_id)
            if not self.step():
                if hurry:
                    self.pass_time()
                sweep()
                time.sleep(POLL_S)
        return self.report(run_id)

    def land(self, run_id: int) -> None:
        """Wait until nothing is to be fetched or settled any more, though no message tells."""
        end = time.monotonic() + DEADLINE_S
        while self.report(run_id).waiting:
            assert time.monotonic() < end, self.report(run_id)
            time.sleep(POLL_S)

    def report(self, run_id: int) -> CrawlReport:
        with self.resources.database.read() as connection:
            return read_crawl_report(connection, run_id)

    def error(self, run_id: int) -> str | None:
        with self.resources.database.read() as connection:
            return read_run(connection, run_id).error

    def rows(self, table: Table) -> list[Any]:
        with self.resources.database.read() as connection:
            return list(connection.execute(select(table)).all())

    def pass_time(self) -> None:
        """Let every moment that something waits for have come."""
        long_ago = datetime.now(UTC) - timedelta(days=1)
        with self.resources.database.write() as connection:
            connection.execute(update(crawl_parts).values(not_before=None))
            connection.execute(
                update(crawl_urls)
                .where(
                    crawl_urls.c.state == MemberState.IN_FLIGHT,
                    # Nobody fetches them: their hosts asked for patience.
                    crawl_urls.c.shard.is_(None),
                )
                .values(touched_at=long_ago)
            )

    def lose_everything(self) -> None:
        """As after a crash long ago: no message is left, and nobody was heard of since."""
        forget_messages()
        long_ago = datetime.now(UTC) - timedelta(days=1)
        with self.resources.database.write() as connection:
            for table in (crawl_parts, crawl_urls):
                connection.execute(
                    update(table)
                    .where(table.c.state == MemberState.IN_FLIGHT)
                    .values(touched_at=long_ago)
                )


def adds_up(report: CrawlReport) -> bool:
    """Whether every address found is accounted for once."""
    ended = (
        report.stored
        + report.known
        + report.waiting
        + report.duplicates
        + report.placeholders
        + report.beyond_limit
        + sum(report.dead.values())
        + sum(report.refused.values())
    )
    return report.found == ended


@contextmanager
def driving(
    sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: str
) -> Iterator[Driver]:
    """A driver on an empty store, under settings of its own besides those of the sandbox."""
    environment = {
        "AFIN_DATA_DIR": str(folder / "data"),
        "AFIN_BROKER_URL": "memory://",
        "AFIN_RESULT_URL": "cache+memory://",
        "AFIN_FETCH_TIMEOUT_S": "5",
        **sandbox.environment(),
        **{f"AFIN_{name.upper()}": value for name, value in settings.items()},
    }
    # The driver stands in for the workers.
    monkeypatch.setattr(start, "answering_kinds", lambda: {"control", "scrape"})
    close_fetching()
    with adopted(environment):
        yield Driver(context(), sandbox)
        close_fetching()
        Channel.queues.clear()
