"""A labelled set is scored without anything that a bundle was trained on."""

from collections.abc import Sequence

import pytest

from schemas.bundles import BundleManifest
from schemas.errors import NotFoundError, UsageError
from schemas.posts import Label, LabelKind
from schemas.runs import RunKind
from storage.labels import add_labels
from storage.runs import create_run, read_run
from storage.training import NewExample, add_examples, newest_example
from tasks.context import Context
from tasks.ingest import hash_caption
from tasks.labelled import EVERYBODY, list_sets, read_set, read_trained
from tests.unit.storage import builders as rows
from tests.unit.tasks.builders import add_account, shows


def add_photos(
    resources: Context,
    source: str,
    names: Sequence[str],
    *,
    category: str = "comida",
    split: str = "train",
    caption: str = "",
) -> None:
    with resources.database.write() as connection:
        add_examples(
            connection,
            [
                NewExample(
                    source=source,
                    photo_sha256=rows.add_photo(connection, name),
                    category=category,
                    split=split,
                    caption=caption,
                )
                for name in names
            ],
        )


def label(resources: Context, kind: LabelKind, target: str, *names: str, by: str = "ana") -> None:
    with resources.database.write() as connection:
        add_labels(connection, [Label(kind=kind, id=target, categories=names, labeller=by)])


def trained_now(resources: Context) -> BundleManifest:
    """The manifest of a bundle trained on everything imported so far."""
    with resources.database.write() as connection:
        params = {"classes": ["comida", "deporte"], "until": newest_example(connection)}
        run = read_run(connection, create_run(connection, RunKind.TRAIN, params=params))
    changes = {"training": {"run": run.id}, "created_at": run.created_at}
    return rows.manifest().model_copy(update=changes)


def test_what_was_trained_on_is_left_out_whatever_set_it_is_in(resources: Context) -> None:
    add_photos(resources, "studio", ["a", "b"])
    add_photos(resources, "studio", ["c"], split="test")
    manifest = trained_now(resources)
    # The same photo under another source, and one that came after the training.
    add_photos(resources, "holidays", ["b", "d"])
    studio = read_set(resources, "photos", "studio", [manifest])
    holidays = read_set(resources, "photos", "holidays", [manifest])
    assert [item.key for item in studio.items] == [rows.photo("c")]
    assert (studio.relation, studio.seen) == ("same source", 2)
    assert [item.key for item in holidays.items] == [rows.photo("d")]
    assert (holidays.relation, holidays.seen) == ("same source", 1)


def test_a_source_of_which_nothing_was_trained_on_is_cross_source(resources: Context) -> None:
    add_photos(resources, "studio", ["a"])
    manifest = trained_now(resources)
    add_photos(resources, "holidays", ["x", "y"])
    found = read_set(resources, "photos", "holidays", [manifest])
    assert (found.relation, found.seen, len(found.items)) == ("cross-source", 0, 2)


def test_a_set_that_was_trained_on_altogether_cannot_be_scored(resources: Context) -> None:
    add_photos(resources, "studio", ["a", "b"])
    manifest = trained_now(resources)
    with pytest.raises(UsageError, match="all 2 were trained on"):
        read_set(resources, "photos", "studio", [manifest])


def test_a_post_whose_caption_was_trained_on_is_left_out(resources: Context) -> None:
    caption = "tortilla de patatas"
    add_photos(resources, "studio", ["a"], caption=caption)
    manifest = trained_now(resources)
    told = rows.new_post("p1", photos=shows("x")).model_copy(
        update={"caption": caption, "caption_sha256": hash_caption(caption)}
    )
    add_account(resources, "luis", [told, rows.new_post("p2", photos=shows("y"))], photos="xy")
    for post in ("p1", "p2"):
        label(resources, "post", f"luis/{post}", "comida")
    found = read_set(resources, "posts", "ana", [manifest])
    assert ([item.key for item in found.items], found.seen) == (["luis/p2"], 1)


def test_neither_of_two_bundles_may_have_seen_an_item(resources: Context) -> None:
    add_photos(resources, "studio", ["a"])
    first = trained_now(resources)
    add_photos(resources, "studio", ["b"])
    second = trained_now(resources)
    add_photos(resources, "studio", ["c"], split="test")
    assert len(read_set(resources, "photos", "studio", [first]).items) == 2
    assert len(read_set(resources, "photos", "studio", [first, second]).items) == 1


def test_a_bundle_of_another_database_is_said_to_be_one(resources: Context) -> None:
    add_photos(resources, "studio", ["a"])
    strange = trained_now(resources).model_copy(update={"created_at": rows.manifest().created_at})
    with resources.database.read() as connection:
        assert not read_trained(connection, strange).known
    found = read_set(resources, "photos", "studio", [strange])
    assert len(found.items) == 1
    assert "another database" in found.notes[0]


def test_a_photo_filed_under_two_categories_truly_has_both(resources: Context) -> None:
    add_photos(resources, "holidays", ["a"], category="comida", split="test")
    add_photos(resources, "holidays", ["a"], category="viajes", split="test")
    (item,) = read_set(resources, "photos", "holidays", []).items
    assert item.truth == {"comida", "viajes"}


def test_labellers_are_asked_one_by_one_or_all_together(resources: Context) -> None:
    add_account(resources, "luis", [rows.new_post("p1", photos=shows("x"))], photos="x")
    label(resources, "account", "luis", "comida", "moda", by="ana")
    label(resources, "account", "luis", "comida", by="eva")
    assert read_set(resources, "accounts", "ana", []).accounts == {"luis": {"comida", "moda"}}
    assert read_set(resources, "accounts", EVERYBODY, []).accounts == {"luis": {"comida"}}


def test_photos_can_be_labelled_without_being_of_a_source(resources: Context) -> None:
    with resources.database.write() as connection:
        sha256 = rows.add_photo(connection, "a")
    label(resources, "photo", sha256, "comida")
    label(resources, "photo", rows.photo("not stored"), "comida")
    found = read_set(resources, "photos", "ana", [])
    assert ([item.key for item in found.items], found.relation) == ([sha256], "labelled")


def test_labels_of_what_is_not_stored_say_what_to_import(resources: Context) -> None:
    label(resources, "post", "nobody/p1", "comida")
    with pytest.raises(UsageError, match="import the photos or accounts themselves"):
        read_set(resources, "posts", "ana", [])


def test_an_unknown_set_names_those_there_are(resources: Context) -> None:
    with pytest.raises(NotFoundError, match="'afin import photos'"):
        read_set(resources, "photos", "x", [])
    add_photos(resources, "holidays", ["a"])
    with pytest.raises(NotFoundError, match="there are: holidays"):
        read_set(resources, "photos", "x", [])
    with resources.database.read() as connection:
        assert list_sets(connection) == {"photos": {"holidays": 1}, "posts": {}, "accounts": {}}
