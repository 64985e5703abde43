"""Known accounts asked for their new posts, against the Instagram sandbox."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select, update

from pipelines.sources.sandbox import Sandbox, SandboxContent, Server
from schemas.errors import NotFoundError, SourceBlockedError, UsageError
from schemas.runs import RunKind, RunState
from storage.accounts import delete_account, find_account
from storage.crawl_tables import crawl_parts
from storage.runs import end_run, list_runs
from storage.tables import influencers, post_photos, posts, runs
from tasks.app import app
from tasks.renewal import refresh_accounts, refresh_by_clock, refresh_everybody
from tasks.start_crawl import crawl_accounts
from tests.sandbox import WELL_BEHAVED
from tests.unit.tasks.crawling import Driver, driving

SHORT = SandboxContent(photos_per_term=1, accounts=3, account_posts=(8, 8))
LONG = SandboxContent(photos_per_term=1, accounts=1, account_posts=(110, 110))
KNOWN_OF_LONG = 100
"""Two pages of Instagram's; a third would bring posts never seen."""


@pytest.fixture
def content() -> SandboxContent:
    return SHORT


@pytest.fixture
def driver(
    content: SandboxContent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Driver]:
    settings = {"refresh_hours": "24", "refresh_posts": "1000"}
    with (
        Sandbox(content, WELL_BEHAVED) as sandbox,
        driving(sandbox, tmp_path, monkeypatch, **settings) as opened,
    ):
        yield opened


@pytest.fixture
def names(driver: Driver) -> list[str]:
    """Some of the sandbox's accounts, known without their three newest posts."""
    found = [account.username for account in driver.sandbox.accounts[:2]]
    driver.finish(crawl_accounts(driver.resources, found, posts=KNOWN_OF_LONG))
    for name in found:
        forget_newest(driver, name, 3)
    return found


def forget_newest(driver: Driver, username: str, number: int) -> None:
    """Have the newest posts of an account not known, as if they were posted since."""
    with driver.resources.database.write() as connection:
        account = find_account(connection, username)
        newest = (
            select(posts.c.id)
            .where(posts.c.influencer_id == account.id)
            .order_by(posts.c.posted_at.desc())
            .limit(number)
        )
        connection.execute(delete(posts).where(posts.c.id.in_(newest)))


def count_posts(driver: Driver, username: str) -> int:
    with driver.resources.database.read() as connection:
        return find_account(connection, username).posts


def version(driver: Driver, username: str) -> datetime:
    with driver.resources.database.read() as connection:
        query = select(influencers.c.updated_at).where(influencers.c.username == username)
        found: datetime = connection.scalars(query).one()
    return found


def count_pages(driver: Driver, run_id: int) -> dict[str, int]:
    with driver.resources.database.read() as connection:
        query = select(crawl_parts.c.name, crawl_parts.c.pages).where(
            crawl_parts.c.run_id == run_id
        )
        return {row.name: row.pages for row in connection.execute(query)}


def refreshes(driver: Driver) -> int:
    with driver.resources.database.read() as connection:
        crawls = list_runs(connection, kind=RunKind.CRAWL)
    return sum(bool(run.params.get("everybody")) for run in crawls)


def began_hours_ago(driver: Driver, run_id: int, hours: float) -> None:
    with driver.resources.database.write() as connection:
        moment = datetime.now(UTC) - timedelta(hours=hours)
        connection.execute(update(runs).where(runs.c.id == run_id).values(created_at=moment))


def test_new_posts_are_fetched_with_their_photos(driver: Driver, names: list[str]) -> None:
    assert driver.finish(refresh_accounts(driver.resources, names[:1])).state is RunState.DONE
    assert [count_posts(driver, name) for name in names] == [8, 5]
    places = driver.rows(post_photos)
    assert places
    assert all(place.photo_sha256 or place.problem for place in places)


@pytest.mark.parametrize("content", [LONG])
def test_the_first_page_without_new_posts_is_the_last(driver: Driver, names: list[str]) -> None:
    run_id = refresh_accounts(driver.resources, names)
    driver.finish(run_id)
    assert count_pages(driver, run_id) == {names[0]: 2}
    assert count_posts(driver, names[0]) == KNOWN_OF_LONG


def test_an_account_without_new_posts_costs_one_page_and_stays_as_it_was(
    driver: Driver, names: list[str]
) -> None:
    driver.finish(refresh_accounts(driver.resources, names[:1]))
    before = version(driver, names[0])
    photos = driver.sandbox.ledger.count(Server.INSTAGRAM_PHOTOS, "photo")
    run_id = refresh_accounts(driver.resources, names[:1])
    driver.finish(run_id)
    assert count_pages(driver, run_id) == {names[0]: 1}
    assert version(driver, names[0]) == before
    assert driver.sandbox.ledger.count(Server.INSTAGRAM_PHOTOS, "photo") == photos


def test_everybody_is_refreshed_and_nobody_else_is_asked_for(
    driver: Driver, names: list[str]
) -> None:
    run_id = refresh_everybody(driver.resources)
    assert driver.finish(run_id).state is RunState.DONE
    assert set(count_pages(driver, run_id)) == set(names)
    assert [count_posts(driver, name) for name in names] == [8, 8]


def test_everybody_is_refreshed_once_at_a_time(driver: Driver, names: list[str]) -> None:
    run_id = refresh_everybody(driver.resources)
    with pytest.raises(UsageError, match=f"afin runs watch {run_id}"):
        refresh_everybody(driver.resources)
    began_hours_ago(driver, run_id, 25)
    assert refresh_by_clock() == "not yet"
    with driver.resources.database.write() as connection:
        end_run(connection, run_id, RunState.CANCELLED)
    assert refresh_everybody(driver.resources) > run_id


def test_the_clock_starts_a_refresh_when_the_last_is_long_ago(
    driver: Driver, names: list[str]
) -> None:
    assert refresh_by_clock().startswith("run=")
    run_id = max(_run_ids(driver))
    driver.finish(run_id)
    assert refresh_by_clock() == "not yet"
    began_hours_ago(driver, run_id, 25)
    assert refresh_by_clock().startswith("run=")
    assert refreshes(driver) == 2


def test_beat_asks_often_whether_it_is_time(driver: Driver) -> None:
    entry = app.conf.beat_schedule["refresh"]
    assert entry["task"] == refresh_by_clock.name  # type: ignore[attr-defined]
    assert entry["schedule"].run_every <= timedelta(hours=1)


def _run_ids(driver: Driver) -> list[int]:
    with driver.resources.database.read() as connection:
        return [run.id for run in list_runs(connection, kind=RunKind.CRAWL)]


def test_an_account_erased_while_it_was_asked_for_stays_erased(
    driver: Driver, names: list[str]
) -> None:
    run_id = refresh_accounts(driver.resources, names[:1])
    with driver.resources.database.write() as connection:
        delete_account(connection, names[0])
    driver.finish(run_id)
    with driver.resources.database.read() as connection:
        query = select(func.count()).where(influencers.c.username == names[0])
        assert connection.scalars(query).one() == 0


def test_an_unknown_account_is_named(driver: Driver) -> None:
    with pytest.raises(NotFoundError, match="nobody_here"):
        refresh_accounts(driver.resources, ["nobody_here"])


def test_an_empty_store_has_nothing_to_refresh(driver: Driver) -> None:
    with pytest.raises(UsageError, match="afin import accounts"):
        refresh_everybody(driver.resources)
    assert refresh_by_clock() == "not yet"


def test_without_a_token_nobody_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    environment = sandbox.environment()
    monkeypatch.setattr(sandbox, "environment", lambda: without_token(environment))
    with driving(sandbox, tmp_path, monkeypatch, refresh_hours="1") as driver:
        assert refresh_by_clock() == "nobody may ask"
        with pytest.raises(SourceBlockedError, match="AFIN_INSTAGRAM_TOKEN"):
            refresh_everybody(driver.resources)


def without_token(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name != "AFIN_INSTAGRAM_TOKEN"}
