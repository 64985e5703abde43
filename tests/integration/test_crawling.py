"""A crawl by real workers whose scrape worker is killed in its middle."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from cli.serve import open_house
from pipelines.sources.sandbox import Sandbox, SandboxContent, SandboxPlan, Server
from schemas.crawls import CrawlReport
from schemas.runs import MemberState, RunState
from schemas.settings import load_settings
from storage.crawl_report import read_crawl_report
from storage.crawl_tables import crawl_urls
from storage.tables import training_examples
from tasks.app import app
from tasks.context import adopt_settings, context
from tasks.start import require_workers
from tasks.start_crawl import CRAWLING, crawl_pexels
from tests.adopted import adopted
from tests.houses import DEADLINE_S, until
from workers.supervisor import Supervisor

pytestmark = pytest.mark.timeout(300)

CONTENT = SandboxContent(photos_per_term=120, accounts=0)
# Slow enough to be killed in the middle.
PLAN = SandboxPlan(misbehaviours={}, latency_s=0.15)
WANTED = [("cooking", "comida"), ("gym", "deporte")]


@pytest.fixture
def crawlers(tmp_path: Path) -> Iterator[tuple[Supervisor, Sandbox]]:
    """Workers on an empty store, and the sources that they crawl."""
    with Sandbox(CONTENT, PLAN) as sandbox:
        environment = {
            "AFIN_DATA_DIR": str(tmp_path / "data"),
            "AFIN_SWEEP_S": "1",
            "AFIN_MEMBER_TIMEOUT_S": "8",
            "AFIN_CPU_PROCESSES": "1",
            "AFIN_CRAWL_SHARD_URLS": "20",
            **sandbox.environment(),
        }
        with adopted(environment), open_house(load_settings()) as opened:
            adopt_settings(opened.environment)
            require_workers(context(), CRAWLING, wait_s=DEADLINE_S)
            yield opened.supervisor, sandbox
            app.close()


def report(run_id: int) -> CrawlReport:
    with context().database.read() as connection:
        return read_crawl_report(connection, run_id)


def count_in_flight() -> int:
    query = select(func.count()).where(crawl_urls.c.state == MemberState.IN_FLIGHT)
    with context().database.read() as connection:
        return connection.scalars(query).one()


def test_a_killed_scrape_worker_costs_no_photo_and_no_second_fetch(
    crawlers: tuple[Supervisor, Sandbox],
) -> None:
    supervisor, sandbox = crawlers
    run_id = crawl_pexels(context(), WANTED, pages=False, limit=None)
    until(lambda: report(run_id).stored >= 20 or report(run_id).state.final)
    (pid,) = (one.pid for one in supervisor.status() if one.name == "scrape" and one.pid)
    os.kill(pid, signal.SIGKILL)
    in_flight = count_in_flight()
    until(lambda: report(run_id).state.final)
    ended = report(run_id)
    assert (ended.state, ended.found, ended.waiting, ended.dead) == (RunState.DONE, 240, 0, {})
    assert ended.stored + ended.duplicates == ended.found
    with context().database.read() as connection:
        examples = select(func.count()).select_from(training_examples)
        assert connection.scalars(examples).one() == ended.stored
    answered = sandbox.ledger.targets(Server.PEXELS_PHOTOS, "photo")
    assert len(answered) == ended.found
    again = sum(number - 1 for number in answered.values())
    # Only what flew at that moment may be asked for once more.
    assert in_flight > 0
    assert again <= in_flight
    assert max(answered.values()) <= 2
