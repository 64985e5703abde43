"""What the feeder sends out of a crawl, beyond what a whole crawl shows."""

from pathlib import Path

import pytest
from sqlalchemy import select

from pipelines.sources.sandbox import Sandbox
from schemas.runs import RunKind
from storage.crawl_ends import rest_urls
from storage.crawl_parts import NewPart, add_parts, claim_parts, finish_parts
from storage.crawl_tables import crawl_urls
from storage.crawl_urls import NewUrl, Use, add_urls
from storage.photos import PhotoRow
from storage.runs import create_run
from tasks.crawl import WINDOWS_IN_FLIGHT
from tasks.crawl_settle import Catch, settle
from tasks.runs import feed
from tests.unit.tasks.crawling import Driver, driving

USE = Use(use="example", category="animal")


def list_photos(driver: Driver, number: int) -> int:
    """Make a crawl that has listed so many addresses, and reads no list any more."""
    with driver.resources.database.write() as connection:
        params = {"source": "imagenet", "categories": ["animal"]}
        run_id = create_run(connection, RunKind.CRAWL, params=params)
        add_parts(connection, run_id, [NewPart(kind="synset", name="n1", category="animal")])
        (part_id,) = claim_parts(connection, run_id, window=1)
        found = [
            NewUrl(f"http://h.test/{n}.jpg", "h.test", str(n), USE, category="animal")
            for n in range(number)
        ]
        add_urls(connection, run_id, part_id, found)
        finish_parts(connection, [part_id])
    return run_id


def rest_all(driver: Driver) -> int:
    """Let all that was handed out rest; return how many that are."""
    with driver.resources.database.write() as connection:
        flying = select(crawl_urls.c.id).where(crawl_urls.c.shard.is_not(None))
        rests_s = dict.fromkeys(connection.scalars(flying), 900.0)
        return len(rest_urls(connection, rests_s, timeout_s=60.0))


def test_hosts_that_ask_for_patience_do_not_hold_the_others_up(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = 10
    with driving(sandbox, tmp_path, monkeypatch, crawl_window=str(window)) as driver:
        run_id = list_photos(driver, 3 * WINDOWS_IN_FLIGHT * window)
        assert feed(run_id) == "lists=0 shards=1"
        # All that may fly does.
        assert feed(run_id) == "waits for photos"
        assert rest_all(driver) == WINDOWS_IN_FLIGHT * window
        assert feed(run_id) == "lists=0 shards=1"
        assert rest_all(driver) == WINDOWS_IN_FLIGHT * window
        # No more than that: what rests comes back, and would all be tried in vain.
        assert feed(run_id) == "waits for photos"


def test_of_two_ends_in_one_batch_the_first_counts(driver: Driver) -> None:
    run_id = list_photos(driver, 2)
    feed(run_id)
    with driver.resources.database.read() as connection:
        first, second = connection.scalars(select(crawl_urls.c.id).order_by(crawl_urls.c.id))
    row = PhotoRow(sha256="a" * 64, size_bytes=9, width=80, height=80, format="jpeg")
    ends = [
        Catch(first, row, size_bytes=9),
        Catch(second, reason="timeout"),
        Catch(first, reason="refused"),
        Catch(second, reason="dns"),
    ]
    assert settle(driver.resources, run_id, ends) == {first}
    with driver.resources.database.read() as connection:
        rows = connection.execute(select(crawl_urls).order_by(crawl_urls.c.id)).all()
    assert [one.outcome for one in rows] == ["stored", "timeout"]
