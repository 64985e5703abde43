"""Standings say what the verdicts in force say, whoever wrote them and whenever."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import delete

from schemas.runs import RunKind
from schemas.verdicts import CategoryShare, Verdict
from storage.accounts import save_account
from storage.database import Database
from storage.listing import Filter, Order, list_page
from storage.runs import create_run
from storage.standings import catch_up, read_standings
from storage.verdicts import save_verdicts
from storage.web_tables import standing_shares, standings
from tests.unit.storage.builders import add_account, add_some_bundle, new_post

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def verdict(comida: int, deporte: int, usable: int = 10, method: str = "nn") -> Verdict:
    counts = {"comida": comida, "deporte": deporte}
    shares = tuple(
        CategoryShare(
            category=name,
            posts=posts,
            share=posts / usable,
            low=0,
            high=1,
            threshold=0.28,
            chosen=posts / usable >= 0.28,
            evidence=(),
        )
        for name, posts in counts.items()
    )
    return Verdict(
        method=method,
        categories=tuple(share.category for share in shares if share.chosen),
        shares=shares,
        usable=usable,
        unknown=usable - comida - deporte,
        lacking=0,
        enough=True,
    )


@pytest.fixture
def judged(database: Database) -> tuple[Database, int, list[int]]:
    """Three accounts, one about food, one about sport, one about both."""
    with database.write() as connection:
        bundle = add_some_bundle(connection)
        names = ("ana", "beto", "carla")
        ids = [add_account(connection, name, [new_post("p")]) for name in names]
        run_id = create_run(connection, RunKind.CLASSIFY, params={}, bundle_id=bundle)
        found = {ids[0]: [verdict(9, 0)], ids[1]: [verdict(1, 8)], ids[2]: [verdict(5, 4)]}
        save_verdicts(connection, bundle_id=bundle, run_id=run_id, concluded=found)
    return database, run_id, ids


Judged = tuple[Database, int, list[int]]


def names(database: Database, wanted: Filter, order: Order) -> list[str]:
    with database.read() as connection:
        page = list_page(connection, wanted, order, after=None, limit=10)
    return [one.username for one in page.accounts]


def test_accounts_of_a_category_come_with_the_largest_share_first(judged: Judged) -> None:
    assert names(judged[0], Filter(category="comida"), "share") == ["ana", "carla"]


def test_a_named_share_counts_instead_of_the_threshold(judged: Judged) -> None:
    wanted = Filter(category="comida", min_share=0.05)
    assert names(judged[0], wanted, "share") == ["ana", "carla", "beto"]


def test_a_ranking_weighs_several_categories(judged: Judged) -> None:
    wanted = Filter(weights={"comida": 0.5, "deporte": 0.5})
    assert set(names(judged[0], wanted, "affinity")) == {"ana", "beto", "carla"}
    assert names(judged[0], Filter(weights={"deporte": 1.0}), "affinity") == ["beto", "carla"]


def test_new_followers_count_in_rankings_at_once(judged: Judged) -> None:
    database = judged[0]
    with database.write() as connection:
        save_account(connection, username="ana", followers=10, imported_from="test", new_posts=[])
    wanted = Filter(weights={"comida": 1.0}, min_followers=3000)
    assert "ana" not in names(database, wanted, "affinity")


def test_an_earlier_run_that_ends_late_changes_no_standing(judged: Judged) -> None:
    database, first, ids = judged
    with database.write() as connection:
        bundle = "b0"
        later = create_run(connection, RunKind.CLASSIFY, params={}, bundle_id=bundle)
        for run_id, found in ((later, verdict(0, 9)), (first, verdict(9, 0))):
            save_verdicts(connection, bundle_id=bundle, run_id=run_id, concluded={ids[0]: [found]})
    assert names(database, Filter(category="comida"), "share") == ["carla"]


def test_methods_that_disagree_make_an_account_disputed(judged: Judged) -> None:
    database, run_id, ids = judged
    both = [verdict(9, 0), verdict(0, 9, method="svm")]
    with database.write() as connection:
        save_verdicts(connection, bundle_id="b0", run_id=run_id, concluded={ids[0]: both})
        assert read_standings(connection, ids)[ids[0]].disputed == 2


def test_verdicts_older_than_standings_are_caught_up(judged: Judged) -> None:
    database, _run_id, ids = judged
    with database.write() as connection:
        before = read_standings(connection, ids)
        connection.execute(delete(standing_shares))
        connection.execute(delete(standings))
        assert catch_up(connection) == 0
        assert read_standings(connection, ids) == before


@pytest.mark.parametrize(
    ("posts", "usable", "turned_by"),
    [(5, 10, 8), (3, 10, 1), (2, 10, 2), (0, 10, 4), (28, 100, 1)],
)
def test_so_many_posts_and_not_one_fewer_turn_a_decision(
    posts: int, usable: int, turned_by: int
) -> None:
    share = verdict(posts, 0, usable).shares[0]
    assert share.posts_to_turn(usable) == turned_by

    def chosen(more: int) -> bool:
        own = posts if share.chosen else posts + more
        return own / (usable + more) >= share.threshold

    assert chosen(turned_by) is not share.chosen
    assert chosen(turned_by - 1) is share.chosen


def test_few_posts_lean_to_neither_side() -> None:
    assert verdict(1, 0, usable=1).certainty < verdict(9, 0, usable=10).certainty
    assert verdict(0, 0, usable=1).certainty >= 0.5
