"""afin scrape and afin runs, as far as they go without workers."""

import pytest

from schemas.runs import RunKind
from storage.crawl_ends import SettledUrl
from storage.crawl_ends import settle_urls as settle
from storage.crawl_parts import NewPart, add_parts, claim_parts
from storage.crawl_urls import NewUrl, Use, add_urls, begin_shard, claim_urls
from storage.runs import create_run
from tasks.context import Context
from tests.unit.cli.conftest import Afin


@pytest.fixture
def crawl(resources: Context) -> int:
    """A crawl with one photo not found and one that waits."""
    with resources.database.write() as connection:
        params = {"source": "pexels", "categories": ["comida"]}
        run_id = create_run(connection, RunKind.CRAWL, params=params)
        add_parts(connection, run_id, [NewPart(kind="search", name="food", category="comida")])
        (part_id,) = claim_parts(connection, run_id, window=1)
        found = [
            NewUrl(
                url=f"http://example.org/{name}.jpg",
                host="example.org",
                external_id=name,
                category="comida",
                use=Use(use="example", category="comida"),
            )
            for name in "ab"
        ]
        add_urls(connection, run_id, part_id, found)
        claim_urls(connection, run_id, shard=1, most=1)
        (wanted,) = begin_shard(connection, run_id, 1)
        settle(connection, [SettledUrl(id=wanted.id, outcome="http-404", failed=True)])
    return run_id


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["imagenet"], "--wnid with --category"),
        (["pexels", "--term", "food"], "--term with --category"),
        (["pexels", "--term", "food", "--category", "kayak"], "Unknown category 'kayak'"),
        (["pexels", "--term", "food", "--category", "comida"], "AFIN_PEXELS_KEY"),
        (["imagenet", "--wnid", "n02084071", "--category", "animal"], "AFIN_IMAGENET_URL"),
        (["instagram", "--tag", "x", "--from-categories", "five"], "stands alone"),
        (["instagram", "--from-categories", "kayak"], "five, eight, thirteen"),
        (["report"], "There is no crawl yet"),
        (["retry", "1"], "--failed"),
    ],
)
def test_what_cannot_be_crawled_is_wrong_use(afin: Afin, arguments: list[str], hint: str) -> None:
    answer = afin("scrape", *arguments, "--json")
    assert answer.code == 2
    assert answer.document == {"error": answer.sentence}
    assert hint in answer.sentence


def test_an_account_needs_the_token(afin: Afin) -> None:
    answer = afin("scrape", "account", "ana", "--json")
    assert answer.code == 1
    assert "AFIN_INSTAGRAM_TOKEN" in answer.sentence


def test_a_report_tells_what_was_found_and_why_the_rest_is_missing(afin: Afin, crawl: int) -> None:
    document = afin("scrape", "report", "--json").document
    assert (document["run"], document["found"], document["waiting"]) == (crawl, 2, 1)
    assert document["dead"] == {"http-404": 1}
    answer = afin("scrape", "report", crawl)
    assert answer.code == 0
    assert "dead: http-404" in answer.out
    assert "example.org" in answer.out


def test_retrying_needs_workers_and_changes_nothing_without_them(afin: Afin, crawl: int) -> None:
    answer = afin("scrape", "retry", crawl, "--failed", "--json")
    assert answer.code == 1
    assert "afin up" in answer.sentence
    assert afin("scrape", "report", "--json").document["dead"] == {"http-404": 1}


def test_a_crawl_is_listed_and_shown_among_the_runs(afin: Afin, crawl: int) -> None:
    (listed,) = afin("runs", "list", "--kind", "crawl", "--json").document
    assert (listed["run"], listed["done"], listed["failed"], listed["total"]) == (crawl, 1, 1, 2)
    assert afin("runs", "show", crawl, "--json").document["asked"]["source"] == "pexels"


def test_a_crawl_is_paused_resumed_and_cancelled(afin: Afin, crawl: int) -> None:
    states = [
        afin("runs", verb, crawl, "--json").document["state"]
        for verb in ("pause", "resume", "cancel")
    ]
    assert states == ["paused", "running", "cancelled"]
    answer = afin("runs", "pause", crawl, "--json")
    assert answer.code == 2
    assert "is cancelled" in answer.sentence


def test_a_run_that_is_not_there_is_named(afin: Afin) -> None:
    answer = afin("runs", "show", 7, "--json")
    assert answer.code == 1
    assert "There is no run 7" in answer.sentence
