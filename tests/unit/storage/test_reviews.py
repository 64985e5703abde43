"""Corrections become labels and examples, and never test what they trained."""

import pytest
from sqlalchemy import select

from schemas.errors import NotFoundError, UsageError
from schemas.posts import Label
from schemas.runs import RunKind
from schemas.verdicts import PostOutcome
from storage.accounts import PhotoPlace, account_posts
from storage.database import Database
from storage.labels import add_labels, read_truth
from storage.reviews import decide, list_reviews, next_posts
from storage.runs import create_run
from storage.tables import training_examples
from storage.verdicts import save_outcomes, save_verdicts
from tests.unit.storage.builders import add_account, add_photo, add_some_bundle, new_post
from tests.unit.storage.test_standings import verdict


@pytest.fixture
def posts(database: Database) -> list[int]:
    """The two judged posts of ana, the first with a photo."""
    with database.write() as connection:
        bundle = add_some_bundle(connection)
        place = PhotoPlace(sha256=add_photo(connection, "a"))
        shown = [new_post("p0", caption="hola", photos=[place]), new_post("p1", caption="chao")]
        ana = add_account(connection, "ana", shown)
        ids = [post.id for post in account_posts(connection, [ana])[ana]]
        outcomes = [
            PostOutcome(post_id=key, halves="text", probabilities=(0.9, 0.1), category="comida")
            for key in ids
        ]
        save_outcomes(connection, bundle, "nn", outcomes)
        run_id = create_run(connection, RunKind.CLASSIFY, params={}, bundle_id=bundle)
        found = {ana: [verdict(2, 0, usable=2)]}
        save_verdicts(connection, bundle_id=bundle, run_id=run_id, concluded=found)
    return ids


def examples(database: Database) -> list[tuple[str, str, str]]:
    columns = training_examples.c
    with database.read() as connection:
        rows = connection.execute(select(columns.source, columns.category, columns.split))
        return [(row.source, row.category, row.split) for row in rows]


def test_the_last_correction_of_a_post_is_what_training_learns(
    database: Database, posts: list[int]
) -> None:
    with database.write() as connection:
        for categories in (("moda",), ("viajes",)):
            fate = decide(
                connection, posts[0], reviewer="vera", decision="correct", categories=categories
            )
            assert fate == "trains"
    assert examples(database) == [("review", "viajes", "train")]


def test_none_of_ours_trains_the_reject_class(database: Database, posts: list[int]) -> None:
    with database.write() as connection:
        decide(connection, posts[0], reviewer="vera", decision="correct")
    assert examples(database) == [("review", "otra", "train")]


def test_a_label_made_while_reviewing_is_never_scored_against(
    database: Database, posts: list[int]
) -> None:
    with database.write() as connection:
        decide(connection, posts[0], reviewer="vera", decision="accept")
        (kept,) = list_reviews(connection, limit=5)
        assert (kept.reviewer, kept.categories, kept.said) == ("vera", ("comida",), "comida")
        assert read_truth(connection, "post") == {}


@pytest.mark.parametrize(
    ("kind", "target"), [("account", "ana"), ("post", "ana/p0"), ("photo", "PHOTO")]
)
def test_nothing_is_trained_on_that_is_scored_with(
    database: Database, posts: list[int], kind: str, target: str
) -> None:
    with database.write() as connection:
        target = add_photo(connection, "a") if target == "PHOTO" else target
        label = {"kind": kind, "id": target, "categories": ("comida",), "labeller": "crew"}
        add_labels(connection, [Label.model_validate(label)])
        fate = decide(connection, posts[0], reviewer="v", decision="correct", categories=("moda",))
    assert fate == "tested"
    assert examples(database) == []


def test_a_skipped_post_waits_for_others_and_a_settled_one_for_nobody(
    database: Database, posts: list[int]
) -> None:
    with database.write() as connection:
        decide(connection, posts[0], reviewer="vera", decision="skip")
        decide(connection, posts[1], reviewer="vera", decision="accept")
        assert next_posts(connection, "vera") is None
        other = next_posts(connection, "otto")
    assert other is not None
    assert other[1] == [posts[0]]


def test_disputed_accounts_can_come_first(database: Database, posts: list[int]) -> None:
    with database.read() as connection:
        found = next_posts(connection, "vera", disputed_first=True)
    assert found is not None
    assert found[1] == posts


def test_a_correction_needs_a_known_category_and_a_post_that_is_there(
    database: Database, posts: list[int]
) -> None:
    with database.write() as connection:
        with pytest.raises(UsageError, match="Unknown category"):
            decide(connection, posts[0], reviewer="v", decision="correct", categories=("otra",))
        with pytest.raises(NotFoundError):
            decide(connection, 10**6, reviewer="v", decision="skip")
