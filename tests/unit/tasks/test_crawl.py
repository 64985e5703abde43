"""A crawl of each source from its start to its report."""

from pathlib import Path

import pytest
from sqlalchemy import Table, func, select

from pipelines.sources.sandbox import Sandbox, Server
from schemas.errors import SourceBlockedError, UsageError
from schemas.runs import Run, RunState
from storage.crawl_parts import Part
from storage.crawl_report import read_crawl_progress
from storage.crawl_tables import crawl_parts, crawl_urls, tagged_post_photos, tagged_posts
from storage.runs import end_run
from storage.tables import photos, post_photos, posts, training_examples
from tasks import crawl_listing
from tasks.context import Context
from tasks.crawl_pages import Listing
from tasks.start_crawl import crawl_accounts, crawl_imagenet, crawl_pexels, crawl_tags
from tests.unit.tasks.crawling import Driver, adds_up, driving

DOG, DOMESTIC, ANIMAL = "n02084071", "n01317541", "n00015388"


def count(driver: Driver, table: Table) -> int:
    with driver.resources.database.read() as connection:
        return connection.scalars(select(func.count()).select_from(table)).one()


def blob_exists(driver: Driver, sha256: str) -> bool:
    return bool(driver.resources.blobs.read_photo(sha256))


def test_a_search_is_read_page_by_page_and_its_photos_become_examples(driver: Driver) -> None:
    run_id = crawl_pexels(driver.resources, [("cooking", "comida")], pages=False, limit=None)
    report = driver.finish(run_id)
    assert (report.state, report.found, report.lists, report.pages) == (RunState.DONE, 65, 1, 1)
    assert adds_up(report)
    examples = driver.rows(training_examples)
    assert {(one.source, one.category, one.split) for one in examples} == {
        ("pexels", "comida", "train")
    }
    assert len(examples) == report.stored == count(driver, photos)
    assert all(blob_exists(driver, one.photo_sha256) for one in examples)


def test_credits_are_kept_with_the_photos(driver: Driver) -> None:
    run_id = crawl_pexels(driver.resources, [("cooking", "comida")], pages=False, limit=5)
    driver.finish(run_id)
    assert all("(pexels) · http" in photo.credit for photo in driver.rows(photos))


def test_every_photo_is_asked_for_once(driver: Driver) -> None:
    wanted = [("cooking", "comida"), ("gym", "deporte")]
    report = driver.finish(crawl_pexels(driver.resources, wanted, pages=False, limit=None))
    asked = driver.sandbox.ledger.targets(Server.PEXELS_PHOTOS, "photo")
    assert len(asked) == report.found == 130
    assert set(asked.values()) == {1}


@pytest.mark.parametrize("layout", ["2020", "next"])
def test_pages_of_either_layout_are_read_only_when_asked_for(driver: Driver, layout: str) -> None:
    driver.sandbox.plan = driver.sandbox.plan.change(pexels_layout=layout)
    run_id = crawl_pexels(driver.resources, [("cooking", "comida")], pages=True, limit=None)
    report = driver.finish(run_id)
    assert (report.found, report.pages, report.state) == (65, 3, RunState.DONE)
    assert driver.sandbox.ledger.count(Server.PEXELS, "search") == 0


def test_without_the_switch_no_page_is_read(driver: Driver) -> None:
    driver.finish(crawl_pexels(driver.resources, [("food", "comida")], pages=False, limit=3))
    kinds = driver.sandbox.ledger.counts()["pexels"]
    assert set(kinds) == {"search"}


def test_a_synset_is_crawled_with_everything_below_it_each_once(driver: Driver) -> None:
    run_id = crawl_imagenet(
        driver.resources, [(DOMESTIC, "animal"), (DOG, "animal")], recursive=True, limit=None
    )[0]
    report = driver.finish(run_id)
    assert report.state is RunState.DONE
    assert adds_up(report)
    lists = driver.sandbox.ledger.targets(Server.IMAGENET, "mapping")
    assert len(lists) == report.lists > 5
    assert set(lists.values()) == {1}
    asked = driver.sandbox.ledger.targets(Server.IMAGENET_PHOTOS, "photo")
    assert set(asked.values()) == {1}


def test_without_recursion_only_the_synset_itself_is_listed(driver: Driver) -> None:
    run_id = crawl_imagenet(driver.resources, [(DOG, "animal")], recursive=False, limit=None)[0]
    report = driver.finish(run_id)
    assert (report.lists, report.found) == (1, 12)


def test_the_files_give_what_the_api_gives(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.write_files(tmp_path / "files")
    settings = {"imagenet_files": str(tmp_path / "files")}
    with driving(sandbox, tmp_path, monkeypatch, **settings) as driver:
        run_id, _ = crawl_imagenet(
            driver.resources, [("domestic animal", "animal")], recursive=True, limit=None
        )
        by_file = driver.finish(run_id)
        assert by_file.state is RunState.DONE
        assert adds_up(by_file)
    with driving(sandbox, tmp_path / "api", monkeypatch) as driver:
        run_id, _ = crawl_imagenet(
            driver.resources, [(DOMESTIC, "animal")], recursive=True, limit=None
        )
        by_api = driver.finish(run_id)
    # The files have a line with stray bytes for some synsets besides.
    assert by_api.found <= by_file.found <= by_api.found + 3
    assert by_file.stored + by_file.duplicates >= by_api.stored + by_api.duplicates


def test_a_limit_holds_for_the_files_too_and_ends_the_reading(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.write_files(tmp_path / "files")
    settings = {"imagenet_files": str(tmp_path / "files"), "crawl_window": "20"}
    with driving(sandbox, tmp_path, monkeypatch, **settings) as driver:
        wanted = [("domestic animal", "animal"), ("sport", "deporte")]
        run_id, _ = crawl_imagenet(driver.resources, wanted, recursive=True, limit=7)
        report = driver.finish(run_id)
        per_category = {"animal": 0, "deporte": 0}
        for example in driver.rows(training_examples):
            per_category[example.category] += 1
    assert report.state is RunState.DONE
    assert per_category == {"animal": 7, "deporte": 7}


def test_tagged_posts_are_kept_with_their_tag_and_photos(driver: Driver) -> None:
    run_id = crawl_tags(driver.resources, [("#Perro", "animal")], posts=None)
    report = driver.finish(run_id)
    assert report.state is RunState.DONE
    found = driver.rows(tagged_posts)
    # 30 recent ones and 30 top ones, half of which are the same.
    assert len(found) == 45
    assert {(one.source, one.tag, one.category) for one in found} == {
        ("instagram", "perro", "animal")
    }
    assert all(one.username is None for one in found)
    places = driver.rows(tagged_post_photos)
    assert places
    assert all((one.photo_sha256 is None) != (one.problem is None) for one in places)
    assert all(one.url is None for one in places)
    assert count(driver, training_examples) == 0


def test_an_account_comes_with_its_posts_ahead_of_other_crawls(driver: Driver) -> None:
    account = driver.sandbox.accounts[0]
    run_id = crawl_accounts(driver.resources, [account.username], posts=None)
    report = driver.finish(run_id)
    assert report.state is RunState.DONE
    assert count(driver, posts) == len(account.posts)
    assert all(place.photo_sha256 or place.problem for place in driver.rows(post_photos))
    sent = {one.queue for one in driver.messages if one.task.startswith("scrape.")}
    assert sent == {"scrape.event"}


def test_an_account_crawled_again_is_not_fetched_again(driver: Driver) -> None:
    name = driver.sandbox.accounts[0].username
    driver.finish(crawl_accounts(driver.resources, [name], posts=None))
    before = driver.sandbox.ledger.count(Server.INSTAGRAM_PHOTOS, "photo")
    driver.sandbox.plan = driver.sandbox.plan.change(media_ttl_s=999_999.0)
    driver.finish(crawl_accounts(driver.resources, [name], posts=None))
    assert driver.sandbox.ledger.count(Server.INSTAGRAM_PHOTOS, "photo") == before


@pytest.mark.parametrize("posts_wanted", [3, 40])
def test_a_limit_of_posts_is_kept_over_pages(driver: Driver, posts_wanted: int) -> None:
    run_id = crawl_tags(driver.resources, [("perro", "animal")], posts=posts_wanted)
    driver.finish(run_id)
    assert sum(part.found for part in driver.rows(crawl_parts)) == posts_wanted


def test_an_unknown_account_or_tag_ends_its_list_with_the_reason(driver: Driver) -> None:
    good = driver.sandbox.accounts[0].username
    run_id = crawl_accounts(driver.resources, [good, "nobody_here"], posts=None)
    report = driver.finish(run_id)
    assert report.state is RunState.DONE
    assert list(report.lists_failed) == ["account nobody_here"]
    assert "cannot be found" in report.lists_failed["account nobody_here"]
    assert count(driver, posts) == len(driver.sandbox.accounts[0].posts)


def test_a_crawl_without_a_single_readable_list_has_failed(driver: Driver) -> None:
    report = driver.finish(crawl_accounts(driver.resources, ["nobody_here"], posts=None))
    assert report.state is RunState.FAILED
    assert report.error is not None
    assert f"'afin scrape report {report.run}'" in report.error


def test_what_cannot_be_asked_is_refused_before_a_run_is_made(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AFIN_PEXELS_KEY", raising=False)
    with driving(sandbox, tmp_path, monkeypatch, imagenet_url="") as driver:
        resources = driver.resources
        with pytest.raises(UsageError, match="AFIN_IMAGENET_URL"):
            crawl_imagenet(resources, [(DOG, "animal")], recursive=False, limit=None)
        with pytest.raises(UsageError, match="nothing to crawl"):
            crawl_pexels(resources, [("  ", "comida")], pages=False, limit=None)
        with pytest.raises(UsageError, match="no tag"):
            crawl_tags(resources, [("dos palabras", "animal")], posts=None)
        with pytest.raises(UsageError):
            crawl_accounts(resources, ["no name!"], posts=None)
        assert driver.rows(crawl_parts) == []


def test_an_account_that_may_not_ask_is_named(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with driving(sandbox, tmp_path, monkeypatch) as driver:
        settings = driver.resources.settings.model_copy(update={"instagram_token": None})
        driver.resources.settings = settings
        with pytest.raises(SourceBlockedError, match="AFIN_INSTAGRAM_TOKEN"):
            crawl_tags(driver.resources, [("perro", "animal")], posts=None)


def test_messages_of_a_crawl_are_ids_and_short(driver: Driver) -> None:
    driver.finish(crawl_pexels(driver.resources, [("cooking", "comida")], pages=False, limit=None))
    scrape = [one for one in driver.messages if one.task.startswith("scrape.")]
    assert scrape
    assert all(isinstance(argument, int) for one in scrape for argument in one.args)
    assert all(one.args_bytes < 256 and one.size_bytes < 2048 for one in scrape)


def test_a_crawl_runs_on_both_databases(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    with driving(sandbox, tmp_path, monkeypatch, database_url=database_url) as driver:
        run_id = crawl_imagenet(driver.resources, [(DOG, "animal")], recursive=True, limit=None)[0]
        report = driver.finish(run_id)
        assert report.state is RunState.DONE
        assert adds_up(report)
        again = crawl_imagenet(driver.resources, [(DOG, "animal")], recursive=True, limit=None)[0]
        second = driver.finish(again)
        assert second.known == report.stored
        assert count(driver, crawl_urls) == 2 * report.found


def test_a_page_of_a_crawl_cancelled_meanwhile_adds_nothing(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = crawl_listing.keep_listing
    kept: list[int] = []

    def cancel_then_keep(resources: Context, run: Run, part: Part, listing: Listing) -> int:
        with resources.database.write() as connection:
            end_run(connection, run.id, RunState.CANCELLED)
        kept.append(real(resources, run, part, listing))
        return kept[-1]

    monkeypatch.setattr("tasks.crawl.keep_listing", cancel_then_keep)
    run_id = crawl_pexels(driver.resources, [("cooking", "comida")], pages=False, limit=None)
    while driver.step():
        pass
    assert kept == [0]
    with driver.resources.database.read() as connection:
        progress = read_crawl_progress(connection, run_id)
    assert (progress.total, progress.done) == (0, 0)
    assert driver.rows(crawl_urls) == []
