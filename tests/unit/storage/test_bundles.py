"""One bundle is active: the first by itself, later ones only when promoted."""

import pytest

from schemas.bundles import BundleState
from schemas.errors import NotFoundError
from storage.bundles import find_bundle, list_bundles, promote_bundle, roll_back_bundle
from storage.database import Database
from tests.unit.storage.builders import add_some_bundle


def states(database: Database) -> dict[str, BundleState]:
    with database.read() as connection:
        return {info.id: info.state for info in list_bundles(connection)}


def test_only_the_first_bundle_becomes_active_by_itself(database: Database) -> None:
    with database.write() as connection:
        add_some_bundle(connection, "aaa", 0)
        add_some_bundle(connection, "bbb", 1)
    assert states(database) == {"bbb": BundleState.CANDIDATE, "aaa": BundleState.ACTIVE}


def test_promoting_retires_the_one_before(database: Database) -> None:
    with database.write() as connection:
        add_some_bundle(connection, "aaa", 0)
        add_some_bundle(connection, "bbb", 1)
        promote_bundle(connection, "bb")
        assert find_bundle(connection).id == "bbb"
    assert states(database) == {"bbb": BundleState.ACTIVE, "aaa": BundleState.RETIRED}


def test_a_beginning_that_fits_two_bundles_is_refused(database: Database) -> None:
    with database.write() as connection:
        add_some_bundle(connection, "aab", 0)
        add_some_bundle(connection, "aac", 1)
        with pytest.raises(NotFoundError, match="several"):
            find_bundle(connection, "aa")


def test_without_a_bundle_one_is_told_to_train(database: Database) -> None:
    with database.read() as connection, pytest.raises(NotFoundError, match="afin train"):
        find_bundle(connection)


def test_rolling_back_twice_goes_back_two_bundles(database: Database) -> None:
    with database.write() as connection:
        for number, name in enumerate(("aaa", "bbb", "ccc")):
            add_some_bundle(connection, name, number)
            promote_bundle(connection, name)
        back, left = roll_back_bundle(connection)
        assert (back.id, left.id, left.state) == ("bbb", "ccc", BundleState.RETIRED)
        assert roll_back_bundle(connection)[0].id == "aaa"
        with pytest.raises(NotFoundError, match="No bundle was active before aaa"):
            roll_back_bundle(connection)
    assert states(database)["aaa"] is BundleState.ACTIVE


def test_a_bundle_promoted_after_a_rollback_is_rolled_back_to_what_was_before_it(
    database: Database,
) -> None:
    with database.write() as connection:
        for number, name in enumerate(("aaa", "bbb", "ccc")):
            add_some_bundle(connection, name, number)
        promote_bundle(connection, "bbb")
        roll_back_bundle(connection)
        promote_bundle(connection, "ccc")
        # Promoted again while active: that is no second activation to go back to.
        promote_bundle(connection, "ccc")
        assert roll_back_bundle(connection)[0].id == "aaa"


def test_a_candidate_that_was_never_active_is_not_rolled_back_to(database: Database) -> None:
    with database.write() as connection:
        add_some_bundle(connection, "aaa", 0)
        add_some_bundle(connection, "bbb", 1)
        with pytest.raises(NotFoundError, match="promote"):
            roll_back_bundle(connection)
