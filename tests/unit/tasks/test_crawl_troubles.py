"""Crawls amid budgets, throttling, blocked sources, lost messages and people who steer them."""

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import insert, select

from pipelines.sources.http import Fetcher
from pipelines.sources.instagram import GraphAccess, read_account_page
from pipelines.sources.pexels.api import search_page
from pipelines.sources.pexels.budget import HOURLY
from pipelines.sources.sandbox import INSTAGRAM_TOKEN, PEXELS_KEY, Misbehaviour, Sandbox, Server
from schemas.runs import MemberState, RunState
from storage.budgets import hash_account
from storage.crawl_parts import list_parts
from storage.crawl_report import read_crawl_progress
from storage.crawl_tables import (
    crawl_parts,
    crawl_requests,
    crawl_urls,
    crawl_uses,
    placeholders,
    tagged_post_photos,
)
from storage.database import Database
from storage.runs import end_run, pause_run, resume_run
from storage.tables import photos, problems, runs, training_examples
from tasks import crawl_photos, crawl_settle
from tasks.crawl_budgets import spend_tag
from tasks.runs import feed, sweep
from tasks.start_crawl import (
    crawl_accounts,
    crawl_imagenet,
    crawl_pexels,
    crawl_tags,
    retry_crawl,
)
from tests.unit.tasks.crawling import Driver, adds_up, driving
from tests.unit.tasks.sent import sent_messages

DOG = "n02084071"
COOKING = [("cooking", "comida")]


def start_search(driver: Driver, *, limit: int | None = None) -> int:
    return crawl_pexels(driver.resources, COOKING, pages=False, limit=limit)


def stage(driver: Driver, run_id: int) -> str:
    with driver.resources.database.read() as connection:
        return read_crawl_progress(connection, run_id).stage


def work_off(driver: Driver) -> None:
    while driver.step():
        pass


# Twice


def test_a_second_crawl_fetches_nothing_that_is_stored(driver: Driver) -> None:
    first = driver.finish(start_search(driver))
    before = driver.sandbox.ledger.count(Server.PEXELS_PHOTOS, "photo")
    second = driver.finish(start_search(driver))
    assert (second.known, second.stored) == (first.stored, 0)
    again = driver.sandbox.ledger.count(Server.PEXELS_PHOTOS, "photo") - before
    assert again == first.found - first.stored


def test_known_photos_serve_another_category_within_its_limit(driver: Driver) -> None:
    driver.finish(start_search(driver))
    run_id = crawl_pexels(driver.resources, [("cooking", "vida-sana")], pages=False, limit=10)
    report = driver.finish(run_id)
    examples = [one.category for one in driver.rows(training_examples)]
    assert examples.count("vida-sana") == report.known == 10
    assert adds_up(report)


def test_twins_in_bytes_and_in_looks_are_left_out(driver: Driver) -> None:
    report = driver.finish(
        crawl_imagenet(driver.resources, [(DOG, "animal")], recursive=True, limit=None)[0]
    )
    assert report.duplicates > 0
    assert report.stored == len(driver.rows(training_examples)) == len(driver.rows(photos))


def test_a_limit_is_met_and_never_exceeded(driver: Driver) -> None:
    driver.sandbox.misbehave(Server.PEXELS_PHOTOS, {Misbehaviour.NOT_FOUND: 0.4})
    report = driver.finish(start_search(driver, limit=20))
    assert report.stored == 20
    assert report.beyond_limit > 0
    assert adds_up(report)


# Budgets


def note_requests(driver: Driver, number: int, *, ago: timedelta) -> None:
    row = {
        "source": "pexels",
        "account": hash_account(PEXELS_KEY),
        "what": "search",
        "asked_at": datetime.now(UTC) - ago,
    }
    with driver.resources.database.write() as connection:
        connection.execute(insert(crawl_requests), [row] * number)


def test_the_hours_requests_are_counted_whoever_asked(driver: Driver) -> None:
    note_requests(driver, HOURLY, ago=timedelta(minutes=20))
    run_id = start_search(driver)
    work_off(driver)
    assert stage(driver, run_id).startswith("waits until ")
    assert "requests that Pexels allows" in stage(driver, run_id)
    assert driver.sandbox.ledger.count(Server.PEXELS, "search") == 0
    (part,) = driver.rows(crawl_parts)
    left = (part.not_before - datetime.now(UTC)).total_seconds()
    assert 39 * 60 < left <= 40 * 60


def test_a_spent_month_is_waited_for(driver: Driver) -> None:
    driver.sandbox.plan = driver.sandbox.plan.change(pexels_monthly=1)
    wanted = [*COOKING, ("gym", "deporte")]
    run_id = crawl_pexels(driver.resources, wanted, pages=False, limit=None)
    work_off(driver)
    assert driver.sandbox.ledger.count(Server.PEXELS, "search") == 1
    first, second = driver.rows(crawl_parts)
    assert MemberState.DONE in (first.state, second.state)
    waiting = first if first.state == MemberState.PENDING else second
    assert waiting.not_before > datetime.now(UTC)
    assert "waits until" in stage(driver, run_id)


def test_a_week_has_thirty_tags_and_those_asked_before_are_free(driver: Driver) -> None:
    user_id = driver.resources.settings.instagram_user_id or ""
    for number in range(30):
        spend_tag(driver.resources, user_id, f"tag{number}")
    spend_tag(driver.resources, user_id, "tag7")
    run_id = crawl_tags(driver.resources, [("perro", "animal")], posts=None)
    work_off(driver)
    assert "waits until" in stage(driver, run_id)
    assert "30 different tags in 7 days" in stage(driver, run_id)
    assert driver.sandbox.ledger.count(Server.INSTAGRAM) == 0


def test_budgets_end_no_run_and_count_as_no_try(driver: Driver) -> None:
    note_requests(driver, HOURLY, ago=timedelta(minutes=20))
    run_id = start_search(driver)
    for _ in range(8):
        driver.pass_time()
        feed(run_id)
        work_off(driver)
    (part,) = driver.rows(crawl_parts)
    assert (part.state, part.attempts) == (MemberState.PENDING, 0)


# Throttled and blocked


def test_a_throttled_list_waits_and_goes_on(driver: Driver) -> None:
    driver.sandbox.misbehave(Server.INSTAGRAM, {Misbehaviour.GRAPH_ERROR: 1.0})
    name = driver.sandbox.accounts[0].username
    run_id = crawl_accounts(driver.resources, [name], posts=None)
    work_off(driver)
    assert "waits until" in stage(driver, run_id)
    asked = driver.sandbox.ledger.count(Server.INSTAGRAM)
    # Nobody asks meanwhile, whatever the account.
    other = crawl_accounts(driver.resources, [driver.sandbox.accounts[1].username], posts=None)
    work_off(driver)
    assert "waits until" in stage(driver, other)
    assert driver.sandbox.ledger.count(Server.INSTAGRAM) == asked


@pytest.mark.parametrize("retry_after", ["1", "date", "absurd", "garbage", "absent"])
def test_a_storm_of_429_ends_with_its_reason(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retry_after: str
) -> None:
    sandbox.plan = sandbox.plan.change(retry_after=retry_after)
    sandbox.misbehave(Server.IMAGENET_PHOTOS, {Misbehaviour.THROTTLE: 1.0})
    with driving(sandbox, tmp_path, monkeypatch, fetch_timeout_s="0.2") as driver:
        run_id = crawl_imagenet(driver.resources, [(DOG, "animal")], recursive=False, limit=None)[0]
        report = driver.finish(run_id, hurry=True)
    assert report.state is RunState.DONE
    # Whoever waits for a retry longer than it may has timed out.
    assert set(report.dead) <= {"throttled", "timeout"}
    assert sum(report.dead.values()) == report.found


def test_photos_of_a_host_that_asked_for_patience_come_later(driver: Driver) -> None:
    driver.sandbox.plan = driver.sandbox.plan.change(retry_after="300")
    driver.sandbox.misbehave(Server.PEXELS_PHOTOS, {Misbehaviour.THROTTLE: 1.0})
    run_id = start_search(driver)
    work_off(driver)
    driver.sandbox.misbehave(Server.PEXELS_PHOTOS)
    assert driver.report(run_id).waiting == 65
    rows = driver.rows(crawl_urls)
    assert all(row.state == MemberState.IN_FLIGHT and row.shard is None for row in rows)


def test_a_challenge_page_stops_the_source_and_keeps_what_was_found(driver: Driver) -> None:
    run_id = crawl_pexels(driver.resources, COOKING, pages=True, limit=None)
    driver.step()
    driver.step(only="scrape.page")
    driver.sandbox.misbehave(Server.PEXELS, {Misbehaviour.CHALLENGE: 1.0})
    feed(run_id)
    report = driver.finish(run_id)
    assert report.state is RunState.FAILED
    assert report.error is not None
    assert "challenge" in report.error.lower() or "human" in report.error.lower()
    assert report.stored + report.duplicates == report.found == 24
    assert driver.sandbox.ledger.count(Server.PEXELS, "challenge") == 1


def test_a_dead_token_stops_the_source_and_names_the_setting(driver: Driver) -> None:
    wanted = [("perro", "animal"), ("gato", "animal")]
    run_id = crawl_tags(driver.resources, wanted, posts=None)
    for _ in range(4):
        driver.step()
    driver.sandbox.misbehave(Server.INSTAGRAM, {Misbehaviour.DEAD_TOKEN: 1.0})
    report = driver.finish(run_id)
    assert report.state is RunState.FAILED
    assert report.error is not None
    assert "AFIN_INSTAGRAM_TOKEN" in report.error
    assert report.waiting == 0
    assert report.stored > 0
    assert INSTAGRAM_TOKEN not in report.model_dump_json()


def test_a_wrong_key_stops_the_source(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with driving(sandbox, tmp_path, monkeypatch, pexels_key="wrong") as driver:
        report = driver.finish(start_search(driver))
        assert report.error is not None
        assert "AFIN_PEXELS_KEY" in report.error
        assert driver.sandbox.ledger.count(Server.PEXELS) == 1


def test_a_list_that_fails_for_a_while_is_read_in_the_end(driver: Driver) -> None:
    driver.sandbox.misbehave(Server.PEXELS, {Misbehaviour.SERVER_ERROR: 1.0})
    run_id = start_search(driver, limit=3)
    work_off(driver)
    (part,) = driver.rows(crawl_parts)
    assert (part.state, part.attempts) == (MemberState.PENDING, 1)
    driver.sandbox.misbehave(Server.PEXELS)
    assert driver.finish(run_id, hurry=True).stored == 3


def test_a_list_that_always_fails_is_given_up_after_some_tries(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.misbehave(Server.PEXELS, {Misbehaviour.NOT_FOUND: 0.0, Misbehaviour.DROPPED: 1.0})
    with driving(sandbox, tmp_path, monkeypatch, max_attempts="2", fetch_timeout_s="0.5") as driver:
        report = driver.finish(start_search(driver), hurry=True)
    assert report.state is RunState.FAILED
    assert list(report.lists_failed) == ["search cooking"]


# Endless


def test_an_endless_list_of_posts_ends(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    async def read_first(fetcher: Fetcher, access: GraphAccess, name: str, **_: object) -> object:
        account, page, usage = await read_account_page(fetcher, access, name)
        return account, page.model_copy(update={"next": "forever"}), usage

    monkeypatch.setattr("tasks.crawl_pages.read_account_page", read_first)
    run_id = crawl_accounts(driver.resources, [driver.sandbox.accounts[0].username], posts=None)
    report = driver.finish(run_id)
    assert report.state is RunState.DONE
    assert report.pages == 4
    assert "3 pages in a row brought nothing new." in report.remarks.values()


def test_an_endless_search_ends(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    async def search_first(
        fetcher: Fetcher, url: str, key: SecretStr, term: str, number: int, **_: object
    ) -> object:
        page, rate = await search_page(fetcher, url, key, term, 1)
        return page.model_copy(update={"next": str(number + 1)}), rate

    monkeypatch.setattr("tasks.crawl_pages.search_page", search_first)
    report = driver.finish(start_search(driver))
    assert (report.state, report.pages, report.found) == (RunState.DONE, 4, 65)


def test_a_cursor_that_never_changes_is_no_end(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.plan = sandbox.plan.change(repeat_cursor=True)
    monkeypatch.setattr("pipelines.sources.instagram.tags.MOST_POSTS", 10)
    with driving(sandbox, tmp_path, monkeypatch) as driver:
        report = driver.finish(crawl_tags(driver.resources, [("perro", "animal")], posts=None))
    assert report.state is RunState.DONE


# Steered


def test_a_paused_crawl_sends_nothing_and_goes_on_when_resumed(driver: Driver) -> None:
    run_id = start_search(driver)
    with driver.resources.database.write() as connection:
        assert pause_run(connection, run_id)
    work_off(driver)
    sweep()
    assert sent_messages() == []
    assert driver.rows(crawl_urls) == []
    with driver.resources.database.write() as connection:
        assert resume_run(connection, run_id)
    assert driver.finish(run_id).state is RunState.DONE


def test_what_flies_when_a_crawl_is_paused_is_stored(driver: Driver) -> None:
    run_id = start_search(driver)
    while not any(one.task == "scrape.fetch" for one in sent_messages()):
        driver.step()
    with driver.resources.database.write() as connection:
        pause_run(connection, run_id)
    work_off(driver)
    # The last ones land after their message has ended.
    driver.land(run_id)


def test_messages_of_a_cancelled_crawl_do_nothing(driver: Driver) -> None:
    run_id = start_search(driver)
    while not any(one.task == "scrape.fetch" for one in sent_messages()):
        driver.step()
    with driver.resources.database.write() as connection:
        end_run(connection, run_id, RunState.CANCELLED)
    driver.log.clear()
    work_off(driver)
    assert "stale" in driver.log
    assert driver.sandbox.ledger.count(Server.PEXELS_PHOTOS) == 0


def test_cancelling_ends_what_flies(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawl_photos, "BEAT_S", 0.05)
    sandbox.plan = sandbox.plan.change(slow_s=30.0)
    sandbox.misbehave(Server.PEXELS_PHOTOS, {Misbehaviour.SLOW: 1.0})
    with driving(sandbox, tmp_path, monkeypatch, fetch_timeout_s="30") as driver:
        run_id = start_search(driver)
        while not any(one.task == "scrape.fetch" for one in sent_messages()):
            driver.step()
        real = crawl_photos._beat

        def cancel(*args: object) -> bool:
            with driver.resources.database.write() as connection:
                end_run(connection, run_id, RunState.CANCELLED)
            return real(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(crawl_photos, "_beat", cancel)
        started = time.monotonic()
        driver.step(only="scrape.fetch")
        assert time.monotonic() - started < 10
    assert driver.log[-1] == "photos=65 settled=65 stored=0"


# Lost


def test_lost_messages_are_sent_again_and_nothing_is_lost(driver: Driver) -> None:
    run_id = start_search(driver)
    while not any(one.task == "scrape.fetch" for one in sent_messages()):
        driver.step()
    driver.lose_everything()
    report = driver.finish(run_id)
    assert report.stored + report.duplicates == report.found == 65


def test_waiting_for_a_worker_never_kills_an_address_or_list(driver: Driver) -> None:
    run_id = start_search(driver)
    work = driver.resources.settings.max_attempts + 2
    driver.step()
    for _ in range(work):
        driver.lose_everything()
        sweep()
    while not any(one.task == "scrape.fetch" for one in sent_messages()):
        driver.step()
    for _ in range(work):
        driver.lose_everything()
        sweep()
    report = driver.finish(run_id)
    assert report.dead == {}
    assert report.lists_failed == {}


def test_an_address_that_kills_its_worker_each_time_is_given_up(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_args: object) -> tuple[int, int]:
        raise RuntimeError("killed")

    monkeypatch.setattr("tasks.crawl.crawl_shard", die)
    run_id = start_search(driver)
    for _ in range(4 * driver.resources.settings.max_attempts):
        driver.step()
        driver.lose_everything()
        sweep()
    report = driver.finish(run_id)
    assert report.dead == {"lost": 65}


def test_a_page_that_fails_unforeseen_is_tried_again_and_then_given_up(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> int:
        raise KeyError("something")

    monkeypatch.setattr("tasks.crawl.keep_listing", fail)
    with driving(sandbox, tmp_path, monkeypatch, max_attempts="2") as driver:
        report = driver.finish(start_search(driver), hurry=True)
    assert report.state is RunState.FAILED
    assert "KeyError" in report.lists_failed["search cooking"]


def test_an_end_that_comes_twice_counts_once(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = crawl_settle.settle

    def twice(resources: object, run_id: int, caught: list[crawl_settle.Catch]) -> set[int]:
        stored = real(resources, run_id, caught)  # type: ignore[arg-type]
        late = [crawl_settle.Catch(one.url_id, reason="timeout") for one in caught]
        assert real(resources, run_id, caught) == real(resources, run_id, late) == set()  # type: ignore[arg-type]
        return stored

    monkeypatch.setattr(crawl_photos, "settle", twice)
    report = driver.finish(start_search(driver))
    assert report.stored == len(driver.rows(training_examples))
    assert report.dead == {}


def test_a_database_that_fails_once_costs_no_photo(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = crawl_settle.settle, iter([True])

    def stumble(*args: object) -> set[int]:
        if next(failures, False):
            raise RuntimeError("deadlock detected")
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(crawl_photos, "settle", stumble)
    monkeypatch.setattr(crawl_photos, "SETTLE_WAIT_S", 0.01)
    report = driver.finish(start_search(driver))
    assert report.stored + report.duplicates == 65
    assert set(driver.sandbox.ledger.targets(Server.PEXELS_PHOTOS, "photo").values()) == {1}


def test_what_was_given_up_is_tried_again_when_asked_for(driver: Driver) -> None:
    driver.sandbox.misbehave(Server.PEXELS_PHOTOS, {Misbehaviour.NOT_FOUND: 0.5})
    run_id = start_search(driver)
    first = driver.finish(run_id)
    assert first.dead["http-404"] > 0
    driver.sandbox.misbehave(Server.PEXELS_PHOTOS)
    assert retry_crawl(driver.resources, run_id) == (0, first.dead["http-404"])
    second = driver.finish(run_id)
    assert second.dead == {}
    assert second.found == first.found
    assert set(driver.sandbox.ledger.targets(Server.PEXELS_PHOTOS, "photo").values()) == {1}
    assert retry_crawl(driver.resources, run_id) == (0, 0)


def test_a_blocked_source_goes_on_where_it_stopped_once_it_is_retried(driver: Driver) -> None:
    driver.sandbox.misbehave(Server.INSTAGRAM, {Misbehaviour.DEAD_TOKEN: 1.0})
    run_id = crawl_tags(driver.resources, [("perro", "animal")], posts=None)
    assert driver.finish(run_id).state is RunState.FAILED
    driver.sandbox.misbehave(Server.INSTAGRAM)
    assert retry_crawl(driver.resources, run_id) == (1, 0)
    report = driver.finish(run_id)
    assert (report.state, report.error, report.lists_failed) == (RunState.DONE, None, {})


# What is refused


def test_photos_that_are_too_small_are_no_examples(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"crawl_min_side": "10000"}
    with driving(sandbox, tmp_path, monkeypatch, **limits) as driver:
        report = driver.finish(start_search(driver))
        assert report.refused == {"too-small": 65}
        assert driver.rows(training_examples) == []


def test_the_same_bytes_for_many_photos_are_learned_as_a_placeholder(driver: Driver) -> None:
    # Not one of those known beforehand: an animated picture that every address gives.
    driver.sandbox.misbehave(Server.IMAGENET_PHOTOS, {Misbehaviour.GIF: 1.0})
    run_id = crawl_imagenet(driver.resources, [(DOG, "animal")], recursive=True, limit=None)[0]
    report = driver.finish(run_id)
    assert (report.placeholders, report.stored) == (report.found, 0)
    assert len(driver.rows(placeholders)) == 1
    assert driver.rows(training_examples) == []


def test_a_few_equal_photos_are_no_placeholder(driver: Driver) -> None:
    report = driver.finish(start_search(driver))
    assert report.placeholders == 0
    assert driver.rows(placeholders) == []


# Secrets

SECRETS = (PEXELS_KEY, INSTAGRAM_TOKEN, "user:pass", "oe=", "oh=")


def everything(database: Database) -> Iterator[str]:
    with database.read() as connection:
        for table in (
            crawl_parts,
            crawl_urls,
            crawl_uses,
            crawl_requests,
            tagged_post_photos,
            problems,
            photos,
            runs,
        ):
            for row in connection.execute(select(table)):
                yield str(row)


def test_no_secret_is_kept_sent_logged_or_told(
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    sandbox.misbehave(Server.IMAGENET_PHOTOS, {Misbehaviour.ODD_NAME: 1.0})
    with driving(sandbox, tmp_path, monkeypatch) as driver:
        reports = [
            driver.finish(run_id)
            for run_id in (
                start_search(driver),
                crawl_tags(driver.resources, [("perro", "animal")], posts=None),
                crawl_imagenet(driver.resources, [(DOG, "animal")], recursive=False, limit=None)[0],
            )
        ]
        assert all(not report.dead for report in reports)
        told = [
            *everything(driver.resources.database),
            *(report.model_dump_json() for report in reports),
            *(str(one) for one in driver.messages),
            *driver.log,
            caplog.text,
        ]
    for text in told:
        for secret in SECRETS:
            assert secret not in text


def test_the_parts_of_a_crawl_are_told_in_their_order(driver: Driver) -> None:
    wanted = [("gym", "deporte"), *COOKING]
    run_id = crawl_pexels(driver.resources, wanted, pages=False, limit=1)
    driver.finish(run_id)
    with driver.resources.database.read() as connection:
        assert [part.name for part in list_parts(connection, run_id)] == ["gym", "cooking"]
