"""The process that fetches for a scrape worker: how it ends, and what its end costs."""

import asyncio
import logging
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from pipelines.sources.sandbox import Misbehaviour, Sandbox, Server
from schemas.runs import RunState
from storage.tables import training_examples
from tasks.crawl_catching import Catching, make_job
from tasks.crawl_photos import crawler
from tasks.fetching import close_fetching
from tasks.start_crawl import crawl_pexels
from tests.adopted import adopted
from tests.unit.tasks.crawling import Driver, driving
from tests.unit.tasks.sent import sent_messages

COOKING = [("cooking", "comida")]


def start(driver: Driver) -> int:
    """Make a crawl that has listed its photos and sent out the first shards."""
    run_id = crawl_pexels(driver.resources, COOKING, pages=False, limit=None)
    while not any(one.task == "scrape.fetch" for one in sent_messages()):
        driver.step()
    return run_id


def running_catcher() -> Catching | None:
    return next(iter(crawler().catching.values()), None)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_process_costs_no_photo_and_another_takes_its_place(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.plan = sandbox.plan.change(slow_s=30.0)
    sandbox.misbehave(Server.PEXELS_PHOTOS, {Misbehaviour.SLOW: 1.0})
    with driving(sandbox, tmp_path, monkeypatch, fetch_timeout_s="30") as driver:
        run_id = start(driver)
        shard = threading.Thread(target=driver.step, kwargs={"only": "scrape.fetch"})
        shard.start()
        while (catching := running_catcher()) is None or not sandbox.ledger.count(
            Server.PEXELS_PHOTOS
        ):
            time.sleep(0.01)
        os.kill(catching.pid, signal.SIGKILL)
        shard.join()
        assert "has ended" in driver.log[-1]
        sandbox.misbehave(Server.PEXELS_PHOTOS)
        driver.lose_everything()
        report = driver.finish(run_id)
        assert (report.state, report.dead) == (RunState.DONE, {})
        assert report.stored + report.duplicates == report.found == 65
        assert len(driver.rows(training_examples)) == report.stored
        assert running_catcher() not in (None, catching)


def test_the_process_ends_when_nobody_is_left_to_tell(tmp_path: Path) -> None:
    async def lose() -> int:
        # As when a worker is killed: nobody ends the process, its socket just closes.
        catching = await Catching.open(make_job(settings))
        catching._writer.close()
        return await asyncio.to_thread(catching._process.wait, 10)

    with adopted({"AFIN_DATA_DIR": str(tmp_path / "data")}) as settings:
        assert asyncio.run(lose()) == 0


def test_each_host_has_one_process_and_the_processes_share_the_hosts(driver: Driver) -> None:
    places = [crawler()._place(f"http://host{n % 6}.test:80/{n}.jpg") for n in range(18)]
    assert places[:6] == places[6:12] == places[12:]
    assert Counter(places[:6]) == dict.fromkeys(range(driver.resources.settings.fetch_processes), 3)


def test_closing_the_fetcher_ends_the_process(driver: Driver) -> None:
    driver.finish(start(driver))
    catching = running_catcher()
    assert catching is not None
    close_fetching()
    assert not is_alive(catching.pid)


def test_what_the_process_logs_is_logged_by_its_worker(
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with driving(sandbox, tmp_path, monkeypatch, fetch_honour_robots="false") as driver:
        driver.finish(start(driver))
    told = [one for one in caplog.records if "robots.txt" in one.message]
    assert {one.levelno for one in told} == {logging.WARNING}
    # Once by the worker's own fetcher, once by the process.
    assert len(told) == 2
