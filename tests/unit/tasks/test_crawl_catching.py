"""The process that fetches for a scrape worker: how it ends, and what its end costs."""

import asyncio
import logging
import os
import signal
import threading
import time
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


def fetch_beside(driver: Driver) -> tuple[threading.Thread, Catching]:
    """Work on a shard beside the test, whose first photos were asked for, and by whom."""
    shard = threading.Thread(target=driver.step, kwargs={"only": "scrape.fetch"})
    shard.start()
    while (catching := running_catcher()) is None or not driver.sandbox.ledger.count(
        Server.PEXELS_PHOTOS
    ):
        time.sleep(0.01)
    return shard, catching


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
        shard, catching = fetch_beside(driver)
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


def test_a_process_that_is_stuck_is_ended_and_costs_no_photo(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.crawl_photos.BEAT_S", 0.2)
    # More than the process itself lets pass between two signs of life.
    monkeypatch.setattr("tasks.crawl_photos.SILENT_S", 7.0)
    sandbox.plan = sandbox.plan.change(slow_s=30.0)
    sandbox.misbehave(Server.PEXELS_PHOTOS, {Misbehaviour.SLOW: 1.0})
    with driving(sandbox, tmp_path, monkeypatch, fetch_timeout_s="30") as driver:
        run_id = start(driver)
        shard, catching = fetch_beside(driver)
        os.kill(catching.pid, signal.SIGSTOP)
        shard.join()
        end = time.monotonic() + 20
        while is_alive(catching.pid) and time.monotonic() < end:
            time.sleep(0.1)
        assert not is_alive(catching.pid)
        sandbox.misbehave(Server.PEXELS_PHOTOS)
        driver.lose_everything()
        report = driver.finish(run_id)
        assert (report.state, report.dead) == (RunState.DONE, {})
        assert report.stored + report.duplicates == report.found == 65


def test_the_process_ends_when_nobody_is_left_to_tell(tmp_path: Path) -> None:
    async def lose() -> int:
        # As when a worker is killed: nobody ends the process, its socket just closes.
        catching = await Catching.open(make_job(settings))
        catching._writer.close()
        return await asyncio.to_thread(catching._process.wait, 10)

    with adopted({"AFIN_DATA_DIR": str(tmp_path / "data")}) as settings:
        assert asyncio.run(lose()) == 0


def test_the_process_knows_no_key_of_ours(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFIN_PEXELS_KEY", "a key to keep")
    monkeypatch.setenv("afin_instagram_token", "another key to keep")
    monkeypatch.setenv("NOT_OURS", "something else")
    with driving(sandbox, tmp_path, monkeypatch) as driver:
        driver.finish(start(driver))
        catching = running_catcher()
        assert catching is not None
        known = Path(f"/proc/{catching.pid}/environ").read_bytes()
    assert b"NOT_OURS=" in known
    assert b"AFIN_" not in known
    assert b"key to keep" not in known


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
