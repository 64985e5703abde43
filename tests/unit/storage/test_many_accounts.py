"""Pages of many accounts: lists read one index, rankings add up few, totals are kept."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import CompoundSelect, Connection, delete, select

from benchmarks.drawn import draw_patterns
from benchmarks.many_accounts import conclude_again, fill
from schemas.runs import MemberState, RunKind, RunState
from schemas.verdicts import CategoryShare, Verdict
from storage import ranking, schema
from storage.accounts import delete_account
from storage.bundles import find_bundle, list_bundles
from storage.campaigns import NewCampaign
from storage.crawl_tables import crawl_urls
from storage.database import Database
from storage.listing import Filter, Listed, Order, count_wanted, list_page
from storage.members import add_members, count_members, finish_members
from storage.run_views import group_problems, view_runs
from storage.runs import create_run, end_run, read_run, reopen_run
from storage.schema import migrate
from storage.tables import run_members, runs, verdicts
from storage.thresholds import preview_threshold
from storage.verdicts import save_verdicts
from storage.web_tables import standing_shares, standings
from tests import postgres
from tests.statements import listening, plans
from tests.unit.storage.builders import add_account, add_some_bundle, manifest

CLASSES = ("comida", "deporte")
ACCOUNTS = 200
POSTS = 5
FILTERS = (
    Filter(),
    Filter(text="gol"),
    Filter(category="comida"),
    Filter(category="comida", min_share=0.3, min_followers=3000),
    Filter(category="deporte", min_certainty=0.6, min_interactions=10),
    Filter(min_certainty=0.6, min_followers=3000),
    Filter(min_interactions=2000),
    Filter(min_followers=3000),
    Filter(category="comida", text="mar", min_followers=100),
    Filter(category="comida", min_posts=POSTS),
    Filter(min_certainty=0.6, min_posts=POSTS),
)
ORDERS: tuple[Order, ...] = ("name", "share", "certain", "uncertain")
WEIGHTS = ({"comida": 0.5, "deporte": 0.5}, {"comida": 0.75, "deporte": 0.25}, {"deporte": 1.0})

RUN = 40
"""The run that goes on; 30 of single accounts and 9 of all have ended."""


def draw(database: Database) -> None:
    with database.write() as connection:
        add_some_bundle(connection)
    run_id = fill(
        database, "b0", manifest(), accounts=ACCOUNTS, posts_each=POSTS, event_runs=RUN - 10
    )
    assert run_id == RUN


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def drawn(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """Drawn accounts for tests that only read, of each kind of database in turn."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('drawn') / 'afin.db'}"
        else:
            server: str = request.getfixturevalue("postgres_server")
            url = stack.enter_context(postgres.fresh_database(server))
        opened = Database(url)
        migrate(opened)
        draw(opened)
        yield opened
        opened.close()


def test_what_is_drawn_is_what_would_have_been_written(database: Database) -> None:
    draw(database)

    def stored(connection: Connection) -> list[list[tuple[object, ...]]]:
        tables = (standings, standing_shares, verdicts)
        late = {"concluded_at", "posts_at"}
        return [
            sorted(
                (
                    tuple(row)
                    for row in connection.execute(
                        select(*(column for column in table.c if column.name not in late))
                    )
                ),
                key=repr,
            )
            for table in tables
        ]

    with database.read() as connection:
        before, run = stored(connection), read_run(connection, RUN)
    patterns, ids = draw_patterns(manifest(), POSTS), range(1, ACCOUNTS + 1)
    conclude_again(database, run, patterns, ids, posts_each=POSTS, turn=0)
    with database.read() as connection:
        assert stored(connection) == before
    conclude_again(database, run, patterns, ids, posts_each=POSTS, turn=1)
    with database.read() as connection:
        assert stored(connection) != before


def _fits(one: Listed, wanted: Filter) -> bool:
    if wanted.category:
        share = next((it for it in one.shares if it.category == wanted.category), None)
        if share is None:
            return False
        if not (share.share >= wanted.min_share if wanted.min_share else share.chosen):
            return False
    standing = one.standing
    assert standing is not None
    return (
        wanted.text in one.username
        and standing.certainty >= wanted.min_certainty
        and (standing.interactions or 0) >= wanted.min_interactions
        and (one.followers or 0) >= wanted.min_followers
        and standing.usable >= wanted.min_posts
    )


@pytest.mark.parametrize("wanted", FILTERS, ids=repr)
@pytest.mark.parametrize("few", [1000, 5], ids=["few", "many"])
def test_lists_find_what_a_look_at_every_account_finds(
    drawn: Database, wanted: Filter, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with drawn.read() as connection:
        every = list_page(connection, Filter(), "name", after=None, limit=1000).accounts
        expected = [one.username for one in every if _fits(one, wanted)]
        assert expected
        assert count_wanted(connection, wanted) == len(expected)
        monkeypatch.setattr("storage.listing.COUNT_AT_MOST", few)
        for order in ORDERS:
            names, after = [], None
            while True:
                page = list_page(connection, wanted, order, after=after, limit=40)
                names += [one.username for one in page.accounts]
                after = page.next
                if after is None:
                    break
            assert sorted(names) == sorted(expected), order
        by_name = list_page(connection, wanted, "name", after=None, limit=1000).accounts
        assert [one.username for one in by_name] == expected


def _plain_ranking(
    connection: Connection, weights: dict[str, float], least_followers: int
) -> list[tuple[int, float]]:
    scores: dict[int, float] = {}
    for row in connection.execute(select(standing_shares)):
        if row.category in weights and row.followers >= least_followers:
            found = scores.get(row.influencer_id, 0.0)
            scores[row.influencer_id] = found + weights[row.category] * row.share
    ordered = sorted(scores.items(), key=lambda item: (-round(item[1], 9), item[0]))
    return [(key, round(score, 9)) for key, score in ordered]


def _ranking(
    database: Database, weights: dict[str, float], least_followers: int = 0
) -> list[tuple[int, float]]:
    wanted = Filter(weights=weights, min_followers=least_followers)
    found: list[tuple[int, float]] = []
    after = None
    with database.read() as connection:
        while True:
            page = list_page(connection, wanted, "affinity", after=after, limit=7)
            found += [(one.id, round(one.score or 0, 9)) for one in page.accounts]
            after = page.next
            if after is None:
                return found


@pytest.mark.parametrize("weights", WEIGHTS, ids=repr)
@pytest.mark.parametrize("least_followers", [0, 30_000])
def test_a_ranking_is_that_of_all_scores(
    drawn: Database, weights: dict[str, float], least_followers: int
) -> None:
    with drawn.read() as connection:
        expected = _plain_ranking(connection, weights, least_followers)
    # Sums are rounded differently by each database: who ties may swap places.
    found = _ranking(drawn, weights, least_followers)
    assert [score for _key, score in found] == [score for _key, score in expected]
    assert sorted(found) == sorted(expected)


def _verdict(shares: dict[str, int], usable: int) -> Verdict:
    return Verdict(
        method="nn",
        categories=(),
        shares=tuple(
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
            for name, posts in shares.items()
        ),
        usable=usable,
        unknown=0,
        lacking=0,
        enough=True,
    )


def test_posts_of_several_categories_are_ranked_as_they_are(database: Database) -> None:
    """Forty who are all about one category are outdone by one who is about both in every post."""
    with database.write() as connection:
        bundle = add_some_bundle(connection)
        ids = [add_account(connection, f"a{number}") for number in range(41)]
        run_id = create_run(connection, RunKind.CLASSIFY, params={}, bundle_id=bundle)
        found = {key: [_verdict({"comida": 10, "deporte": 0}, 10)] for key in ids[:40]}
        found[ids[40]] = [_verdict({"comida": 6, "deporte": 6}, 10)]
        save_verdicts(connection, bundle_id=bundle, run_id=run_id, concluded=found)
    assert _ranking(database, {"comida": 0.5, "deporte": 0.5})[0] == (ids[40], 0.6)


def test_one_post_about_nothing_else_does_not_outrank_many(database: Database) -> None:
    with database.write() as connection:
        bundle = add_some_bundle(connection)
        ids = [add_account(connection, name) for name in ("one", "many")]
        run_id = create_run(connection, RunKind.CLASSIFY, params={}, bundle_id=bundle)
        found = {ids[0]: [_verdict({"comida": 1}, 1)], ids[1]: [_verdict({"comida": 16}, 20)]}
        save_verdicts(connection, bundle_id=bundle, run_id=run_id, concluded=found)
        campaign = NewCampaign(name="c", weights={"comida": 1.0}, min_followers=0)
        every = campaign.model_copy(update={"min_posts": 1})
        ranked = {
            least.min_posts: [
                one.username
                for one in list_page(
                    connection, least.wanted, "affinity", after=None, limit=9
                ).accounts
            ]
            for least in (campaign, every)
        }
    assert ranked == {5: ["many"], 1: ["one", "many"]}


def test_few_accounts_are_added_up_for_a_ranking(
    drawn: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    scores_of = ranking._scores_of

    def counting(weights: dict[str, float], among: CompoundSelect[Any]) -> object:
        with drawn.read() as connection:
            kept.append(len(connection.execute(among).all()))
        return scores_of(weights, among)

    monkeypatch.setattr(ranking, "_scores_of", counting)
    with drawn.read() as connection:
        wanted = Filter(weights={"comida": 0.75, "deporte": 0.25})
        list_page(connection, wanted, "affinity", after=None, limit=2)
    assert 0 < kept[-1] < ACCOUNTS / 2


def test_no_shares_below_a_cap_add_up_to_more_than_the_greatest_score() -> None:
    rng = Random(3)  # noqa: S311 - no secret
    for _ in range(200):
        weights = [rng.random() for _ in range(rng.randint(1, 5))]
        cap = rng.random()
        shares = [rng.random() for _ in weights]
        shares = [min(cap, share / sum(shares)) for share in shares]
        score = sum(weight * share for weight, share in zip(weights, shares, strict=True))
        assert score <= ranking.greatest_score(weights, cap) + 1e-9
        assert ranking.greatest_score(weights, ranking.find_share(weights, score)) <= score + 1e-6


Reading = Callable[[Connection], object]
READINGS: dict[str, Reading] = {
    f"{order} {wanted!r}": (
        lambda connection, wanted=wanted, order=order: (
            list_page(connection, wanted, order, after=None, limit=25),
            count_wanted(connection, wanted),
        )
    )
    for wanted in FILTERS
    for order in ORDERS
    if wanted.category or order != "share"
} | {
    "ranking": lambda connection: list_page(
        connection, Filter(weights=WEIGHTS[0], min_posts=2), "affinity", after=None, limit=25
    ),
    "runs": lambda connection: view_runs(connection, before=RUN, limit=30),
    "crawls": lambda connection: view_runs(connection, before=None, limit=30),
    "problems": lambda connection: group_problems(connection, RUN),
    "threshold": lambda connection: preview_threshold(connection, "b0", "comida", 0.4),
}
SMALL = ("bundles", "run_stages", "runs", "truth_labels", "anon_", "among", "(subquery")
INDEXES_READ_WHOLE = ("USING COVERING INDEX", "USING INDEX ix_standings_several")


def test_no_page_reads_a_table_of_accounts_from_end_to_end(drawn: Database) -> None:
    if drawn.kind != "sqlite":
        pytest.skip("So small a table PostgreSQL reads as a whole, whatever indexes it has.")
    for name, read in READINGS.items():
        with listening(drawn) as asked, drawn.read() as connection:
            read(connection)
        assert asked
        for plan in plans(drawn, asked):
            for step in plan.splitlines():
                assert (
                    not step.startswith("SCAN ")
                    or step.removeprefix("SCAN ").startswith(SMALL)
                    or any(whole in step for whole in INDEXES_READ_WHOLE)
                ), (name, plan)


@pytest.mark.parametrize(
    ("wanted", "order", "index"),
    [
        (Filter(category="comida"), "share", "ix_standing_shares_ranking"),
        (FILTERS[3], "share", "ix_standing_shares_ranking"),
        (Filter(), "uncertain", "ix_standings_certain"),
        (FILTERS[5], "certain", "ix_standings_certain"),
        (FILTERS[9], "share", "ix_standing_shares_ranking"),
        (FILTERS[10], "certain", "ix_standings_certain"),
        (Filter(), "name", "ix_influencers_username_id"),
    ],
    ids=repr,
)
def test_an_index_holds_the_order_and_the_filter_of_a_list(
    drawn: Database, wanted: Filter, order: Order, index: str
) -> None:
    if drawn.kind != "sqlite":
        pytest.skip("So small a table PostgreSQL reads as a whole, whatever indexes it has.")
    with listening(drawn) as asked, drawn.read() as connection:
        list_page(connection, wanted, order, after=None, limit=25)
    plan = plans(drawn, asked)[0]
    assert f"COVERING INDEX {index}" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize("before", [RUN + 1, None], ids=["classifications", "crawls"])
def test_more_runs_take_no_more_questions(drawn: Database, before: int | None) -> None:
    def questions(limit: int) -> int:
        with listening(drawn) as asked, drawn.read() as connection:
            assert len(view_runs(connection, before=before, limit=limit)) == limit
        return len(asked)

    assert questions(30) == questions(2)


def test_totals_of_ended_crawls_are_kept_and_right(drawn: Database) -> None:
    with listening(drawn) as asked, drawn.read() as connection:
        found = view_runs(connection, before=None, limit=2)
    addresses = [one for one in asked if "crawl_urls" in one.text]
    # Those of the one that goes on are counted; of the other only what is not done.
    assert addresses
    assert not any("done" in str(one.parameters) for one in addresses)
    with drawn.read() as connection:
        for view in found:
            mine = select(crawl_urls.c.state).where(crawl_urls.c.run_id == view.run.id)
            states = list(connection.scalars(mine))
            assert view.total == len(states) > 0
            assert view.failed == states.count("dead")
            assert view.done == len(states) - states.count("pending")


def test_totals_of_ended_runs_are_kept_and_right(database: Database) -> None:
    with database.write() as connection:
        bundle = add_some_bundle(connection)
        ids = [add_account(connection, f"a{number}") for number in range(4)]
        run_id = create_run(connection, RunKind.CLASSIFY, params={}, bundle_id=bundle)
        add_members(connection, run_id, ids)
        finish_members(connection, run_id, ids[:3])
        going = count_members(connection, run_id)
        end_run(connection, run_id, RunState.CANCELLED)
        assert count_members(connection, run_id) == going
        assert going[MemberState.DONE] == 3
        with listening(database) as asked:
            count_members(connection, run_id)
        assert not any("'done'" in one.text or "done" in str(one.parameters) for one in asked)
        delete_account(connection, "a0")
        delete_account(connection, "a3")
        left = count_members(connection, run_id)
        assert (left[MemberState.DONE], left[MemberState.PENDING]) == (2, 0)
        reopen_run(connection, run_id)
        assert connection.scalar(select(runs.c.members).where(runs.c.id == run_id)) is None
        connection.execute(delete(run_members).where(run_members.c.influencer_id == ids[1]))
        assert count_members(connection, run_id)[MemberState.DONE] == 1
        assert read_run(connection, run_id).state is RunState.RUNNING


def test_databases_of_before_get_the_same_figures(database: Database) -> None:
    draw(database)
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))

    def figures() -> list[object]:
        with database.read() as connection:
            columns = (standings.c.influencer_id, standings.c.followers, standings.c.several)
            first = connection.execute(select(*columns).order_by(columns[0])).all()
            ended = select(runs.c.id, runs.c.members).order_by(runs.c.id)
            return [*first, *connection.execute(ended)]

    before = figures()
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0006")
    migrate(database)
    assert figures() == before


def test_a_manifest_is_checked_once_and_told_apart(database: Database) -> None:
    with database.write() as connection:
        for number in range(2):
            add_some_bundle(connection, f"b{number}", number)
        first = find_bundle(connection, "b0").manifest
        assert find_bundle(connection, "b0").manifest is first
        assert [info.manifest.seed for info in list_bundles(connection)] == [1, 0]
