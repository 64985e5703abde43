"""Accounts are stored once, updated in place, and erased whole."""

import pytest

from schemas.errors import NotFoundError
from schemas.posts import Label
from storage.accounts import (
    PhotoPlace,
    account_posts,
    captions_of_account,
    delete_account,
    find_account,
    list_accounts,
)
from storage.database import Database
from storage.labels import add_labels, read_truth
from storage.photos import pending_photos, settle_photo
from storage.training import NewExample, add_examples
from tests.unit.storage.builders import add_account, add_photo, new_post, photo


def test_importing_an_account_twice_keeps_one_with_its_newest_posts(database: Database) -> None:
    with database.write() as connection:
        add_account(connection, "ana", [new_post("1", caption="vieja"), new_post("2")])
        add_account(connection, "ana", [new_post("1", caption="nueva"), new_post("3")])
    with database.read() as connection:
        account = find_account(connection, "ana")
        posts = account_posts(connection, [account.id])[account.id]
    assert [(post.external_id, post.caption) for post in posts] == [
        ("1", "nueva"),
        ("2", ""),
        ("3", ""),
    ]


def test_a_name_is_found_however_it_is_typed(database: Database) -> None:
    with database.write() as connection:
        add_account(connection, "ana.sur")
        assert find_account(connection, " @Ana.Sur ").username == "ana.sur"


def test_an_unknown_name_says_where_to_look(database: Database) -> None:
    with database.read() as connection, pytest.raises(NotFoundError, match="accounts list"):
        find_account(connection, "nadie")


def test_accounts_are_listed_by_name_in_pages(database: Database) -> None:
    with database.write() as connection:
        for name in ("eva", "ana", "ines"):
            add_account(connection, name)
        first = list_accounts(connection, limit=2)
        rest = list_accounts(connection, after=first[-1].username, limit=2)
    assert [one.username for one in first + rest] == ["ana", "eva", "ines"]


def test_a_photo_keeps_its_place_and_its_problem(database: Database) -> None:
    with database.write() as connection:
        good = PhotoPlace(sha256=add_photo(connection, "x"))
        bad = PhotoPlace(problem="truncated")
        identifier = add_account(connection, "ana", [new_post("1", photos=[bad, good])])
        stored = account_posts(connection, [identifier])[identifier][0].photos
    assert stored == (bad, good)


def test_a_fetched_photo_is_not_fetched_again_when_the_account_is_imported_again(
    database: Database,
) -> None:
    posts = [new_post("1", photos=[PhotoPlace(url="http://host/a.jpg")])]
    with database.write() as connection:
        identifier = add_account(connection, "ana", posts)
        first = account_posts(connection, [identifier])[identifier][0].id
        (pending,) = pending_photos(connection, identifier, first=first, last=first)
        settle_photo(connection, pending, sha256=add_photo(connection, "x"), problem=None)
        add_account(connection, "ana", posts)
        assert pending_photos(connection, identifier, first=first, last=first) == []
        place = account_posts(connection, [identifier])[identifier][0].photos[0]
    assert place.sha256 == photo("x")


def test_captions_of_an_account_leave_out_posts_without_words(database: Database) -> None:
    with database.write() as connection:
        identifier = add_account(connection, "ana", [new_post("1", caption="hola"), new_post("2")])
        assert captions_of_account(connection, identifier) == {photo("hola"): "hola"}


def test_erasing_an_account_forgets_its_photos_unless_others_use_them(database: Database) -> None:
    with database.write() as connection:
        alone, shared, trained = (add_photo(connection, name) for name in "abc")
        places = [PhotoPlace(sha256=sha256) for sha256 in (alone, shared, trained)]
        add_account(connection, "ana", [new_post("1", photos=places)])
        add_account(connection, "eva", [new_post("1", photos=places[1:2])])
        example = NewExample(
            source="s", photo_sha256=trained, category="moda", split="train", caption=""
        )
        add_examples(connection, [example])
        assert delete_account(connection, "ana") == [alone]
        with pytest.raises(NotFoundError):
            find_account(connection, "ana")


def test_erasing_an_account_erases_what_people_said_of_it_and_of_nobody_else(
    database: Database,
) -> None:
    with database.write() as connection:
        add_account(connection, "ana")
        add_account(connection, "anabel")
        add_labels(
            connection,
            [
                Label(kind="account", id="ana", categories=("moda",), labeller="x"),
                Label(kind="post", id="ana/1", categories=("moda",), labeller="x"),
                Label(kind="account", id="anabel", categories=("moda",), labeller="x"),
            ],
        )
        delete_account(connection, "ana")
        assert read_truth(connection, "account") == {"anabel": {"moda"}}
        assert read_truth(connection, "post") == {}
