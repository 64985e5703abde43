"""How a fetch ended is recorded on the post that named the photo."""

from sqlalchemy import select

from schemas.errors import FetchError, PhotoError
from storage.accounts import PhotoPlace, account_posts
from storage.photos import PhotoRow, pending_photos
from storage.tables import problems
from tasks.context import Context
from tasks.scrape import settle
from tests.unit.storage.builders import new_post, photo
from tests.unit.tasks.builders import add_account

ADDRESSES = [f"https://user:hunter2@example.org/{name}.jpg?token=hunter2" for name in "abc"]


def test_photos_that_came_and_those_that_did_not_are_settled_together(resources: Context) -> None:
    places = [PhotoPlace(url=url) for url in ADDRESSES]
    ana = add_account(resources, "ana", [new_post("p1", photos=places)])
    with resources.database.read() as connection:
        wanted = pending_photos(connection, ana, first=1, last=1)
    came = PhotoRow(sha256=photo("a"), size_bytes=9, width=8, height=8, format="jpeg")
    dead = FetchError("dead-host", "No such host.")
    assert settle(resources, wanted, [came, dead, PhotoError("truncated", "Cut.")]) == 1
    with resources.database.read() as connection:
        (post,) = account_posts(connection, [ana])[ana]
        assert pending_photos(connection, ana, first=1, last=1) == []
        rows = connection.execute(select(problems).order_by(problems.c.id)).all()
    assert [(place.sha256, place.problem) for place in post.photos] == [
        (photo("a"), None),
        (None, "dead-host"),
        (None, "truncated"),
    ]
    assert [(row.reason, row.post_id) for row in rows] == [
        ("dead-host", post.id),
        ("truncated", post.id),
    ]
    assert not any("hunter2" in f"{row.place} {row.detail}" for row in rows)


def test_an_unchanged_address_is_not_fetched_again_after_an_import(resources: Context) -> None:
    post = new_post("p1", photos=[PhotoPlace(url=url) for url in ADDRESSES[:2]])
    ana = add_account(resources, "ana", [post])
    with resources.database.read() as connection:
        wanted = pending_photos(connection, ana, first=1, last=1)
    came = PhotoRow(sha256=photo("a"), size_bytes=9, width=8, height=8, format="jpeg")
    settle(resources, wanted, [came, FetchError("dead-host", "No such host.")])
    changed = PhotoPlace(url=ADDRESSES[2])
    places = [*(PhotoPlace(url=url) for url in ADDRESSES[:2]), changed]
    add_account(resources, "ana", [new_post("p1", photos=places)])
    with resources.database.read() as connection:
        left = pending_photos(connection, ana, first=1, last=1)
    assert [one.url for one in left] == [ADDRESSES[2]]
