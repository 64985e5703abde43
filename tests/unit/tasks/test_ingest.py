"""Imports take in what is good, and record what is bad beside what has it."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from pipelines.sources.accounts import read_accounts
from pipelines.sources.labels import read_labels
from pipelines.sources.photos import read_labelled_photos
from storage.accounts import account_posts, find_account
from storage.labels import read_truth
from storage.tables import photos as photo_rows
from storage.tables import posts as post_rows
from storage.tables import problems as problem_rows
from storage.training import count_examples, newest_example, read_examples
from tasks.context import Context
from tasks.ingest import Intake, take_accounts, take_labels, take_photos
from tests.unit.pipelines.vision import drawing

ANIMATED = drawing.animated("GIF")
GOOD = drawing.save(drawing.textured(seed=1), "JPEG")
HTML = b"<!doctype html><title>404</title><p>Esta foto ya no existe.</p>\n"
TRUNCATED = GOOD[: len(GOOD) // 2]


@dataclass(frozen=True)
class Recorded:
    """A problem as it was stored: which post has it, if one does."""

    reason: str
    post: str | None
    detail: str


def write_accounts(folder: Path, *accounts: dict[str, Any]) -> Path:
    path = folder / "accounts.jsonl"
    path.write_text("\n".join(json.dumps(account) for account in accounts), "utf-8")
    return path


def import_accounts(resources: Context, path: Path) -> Intake:
    limit = resources.settings.max_caption_chars
    items = read_accounts(path, max_caption_chars=limit)
    return take_accounts(resources, items, origin=path.name)


def import_post(resources: Context, folder: Path, **post: Any) -> Intake:
    account = {"username": "ana", "posts": [{"id": "p1", **post}]}
    return import_accounts(resources, write_accounts(folder, account))


def recorded(resources: Context) -> list[Recorded]:
    query = (
        select(problem_rows.c.reason, problem_rows.c.detail, post_rows.c.external_id)
        .outerjoin(post_rows, post_rows.c.id == problem_rows.c.post_id)
        .order_by(problem_rows.c.id)
    )
    with resources.database.read() as connection:
        return [
            Recorded(reason=row.reason, post=row.external_id, detail=row.detail)
            for row in connection.execute(query)
        ]


def stored_places(resources: Context, username: str = "ana") -> list[Any]:
    with resources.database.read() as connection:
        account = find_account(connection, username)
        found = account_posts(connection, [account.id])[account.id]
    return [place for post in found for place in post.photos]


def count_photos(resources: Context) -> int:
    with resources.database.read() as connection:
        return connection.scalars(select(func.count()).select_from(photo_rows)).one()


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("cut.jpg", TRUNCATED, "truncated"),
        ("page.jpg", HTML, "not-an-image"),
        ("bomb.png", drawing.png_bomb(), "too-many-pixels"),
        ("bomb.webp", drawing.webp_bomb(), "too-many-pixels"),
        ("nothing.jpg", b"", "empty"),
        ("dot.png", drawing.save(drawing.plain(size=(1, 1)), "PNG"), "too-small"),
        ("phone.heic", b"\0\0\0\x18ftypheic" + bytes(40), "unsupported-format"),
    ],
)
def test_an_unusable_photo_is_recorded_on_its_post_which_stays(
    resources: Context, tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(data)
    (tmp_path / "good.jpg").write_bytes(GOOD)
    intake = import_post(resources, tmp_path, photos=[name, "good.jpg"], caption="hola")
    assert (intake.posts, intake.photos, intake.problems) == (1, 1, {reason: 1})
    assert [(one.reason, one.post) for one in recorded(resources)] == [(reason, "p1")]
    bad, good = stored_places(resources)
    assert (bad.problem, bad.sha256) == (reason, None)
    assert good.sha256 is not None


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cmyk.jpg", drawing.cmyk_jpeg()),
        ("deep.png", drawing.grey_16_bit_png()),
        ("moving.gif", ANIMATED),
        ("moving.webp", drawing.animated("WEBP")),
        ("turned.jpg", drawing.exif_rotated(6)),
        ("misnamed.png", GOOD),
    ],
)
def test_an_unusual_photo_is_taken_in_without_a_word(
    resources: Context, tmp_path: Path, name: str, data: bytes
) -> None:
    (tmp_path / name).write_bytes(data)
    intake = import_post(resources, tmp_path, photos=[name])
    assert (intake.photos, intake.problems) == (1, {})
    (place,) = stored_places(resources)
    assert resources.blobs.read_photo(place.sha256) == data


def test_a_rotated_photo_is_stored_with_the_size_a_person_sees(
    resources: Context, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(drawing.exif_rotated(6))
    import_post(resources, tmp_path, photos=["a.jpg"])
    with resources.database.read() as connection:
        row = connection.execute(select(photo_rows)).one()
    assert (row.width, row.height) == (80, 48)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone.jpg", "missing-file"),
        ("../outside.jpg", "outside-folder"),
        ("/etc/hostname", "outside-folder"),
        ("file:///etc/hostname", "unsupported-url"),
        ("", "invalid-photo"),
    ],
)
def test_a_photo_that_cannot_be_had_is_recorded_on_its_post(
    resources: Context, tmp_path: Path, name: str, reason: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "outside.jpg").write_bytes(GOOD)
    intake = import_post(resources, tmp_path / "in", photos=[name], caption="hola")
    assert (intake.posts, intake.photos, intake.problems) == (1, 0, {reason: 1})
    assert [(one.reason, one.post) for one in recorded(resources)] == [(reason, "p1")]


def test_a_file_larger_than_allowed_is_refused_unread(resources: Context, tmp_path: Path) -> None:
    with (tmp_path / "vast.jpg").open("wb") as file:
        file.truncate(resources.settings.max_photo_bytes + 1)
    assert import_post(resources, tmp_path, photos=["vast.jpg"]).problems == {"too-many-bytes": 1}


def test_an_address_is_kept_to_be_fetched_later(resources: Context, tmp_path: Path) -> None:
    intake = import_post(resources, tmp_path, photos=["https://example.org/a.jpg"])
    assert (intake.to_fetch, intake.photos, intake.problems) == (1, 0, {})
    (place,) = stored_places(resources)
    assert place.url == "https://example.org/a.jpg"


@pytest.mark.parametrize("caption", ["", " \n ", None, "!?()", "https://example.org"])
def test_a_caption_that_says_nothing_leaves_the_post_without_text(
    resources: Context, tmp_path: Path, caption: str | None
) -> None:
    assert import_post(resources, tmp_path, caption=caption).problems == {}
    assert stored_caption(resources)[1] is None


def test_a_caption_of_emoji_alone_is_text(resources: Context, tmp_path: Path) -> None:
    import_post(resources, tmp_path, caption="🏔️🥾🌲")
    caption, sha256 = stored_caption(resources)
    assert caption == "🏔️🥾🌲"
    assert sha256 is not None


def test_a_megabyte_of_caption_is_cut_and_the_post_says_so(
    resources: Context, tmp_path: Path
) -> None:
    intake = import_post(resources, tmp_path, caption="rico " * 200_000)
    assert intake.problems == {"caption-cut": 1}
    assert [(one.reason, one.post) for one in recorded(resources)] == [("caption-cut", "p1")]
    assert len(stored_caption(resources)[0]) == resources.settings.max_caption_chars


def stored_caption(resources: Context) -> tuple[str, str | None]:
    with resources.database.read() as connection:
        row = connection.execute(select(post_rows.c.caption, post_rows.c.caption_sha256)).one()
    return row.caption, row.caption_sha256


@pytest.mark.parametrize("posted_at", ["yesterday", "2026-13-45", "0001-01-01", 10**30, [1]])
def test_an_invalid_date_costs_the_date_and_not_the_post(
    resources: Context, tmp_path: Path, posted_at: object
) -> None:
    intake = import_post(resources, tmp_path, posted_at=posted_at, caption="hola")
    assert (intake.posts, intake.problems) == (1, {"invalid-date": 1})
    assert [(one.reason, one.post) for one in recorded(resources)] == [("invalid-date", "p1")]


def test_an_account_that_comes_twice_keeps_the_posts_of_both(
    resources: Context, tmp_path: Path
) -> None:
    path = write_accounts(
        tmp_path,
        {"username": "ana", "posts": [{"id": "p1", "caption": "uno"}]},
        {"username": "@Ana", "posts": [{"id": "p2", "caption": "dos"}]},
    )
    intake = import_accounts(resources, path)
    assert intake.problems == {"duplicate-username": 1}
    with resources.database.read() as connection:
        assert find_account(connection, "ana").posts == 2


def test_bad_rows_of_every_kind_cost_only_themselves(
    resources_on_both: Context, tmp_path: Path
) -> None:
    (tmp_path / "good.jpg").write_bytes(GOOD)
    posts = [
        {"id": "p1", "photos": ["good.jpg"], "caption": "nul \0 y \udc80 sueltos", "likes": "many"},
        {"id": "p" * 300, "caption": "id"},
        {"id": "p2", "photos": [7], "posted_at": "nunca", "comments": -1},
        {"id": "p2", "caption": "otra vez"},
        {"id": "p3", "photos": ["\0.jpg", "x" * 5000], "category": "kayak"},
        "no post",
    ]
    path = tmp_path / "accounts.jsonl"
    lines = [
        json.dumps({"username": "ana", "followers": 2**70, "posts": posts}),
        '{"username": "no end',
        json.dumps({"username": "not a name!"}),
        json.dumps({"username": "luz", "posts": {}}),
        "[]",
        json.dumps({"username": "eva", "posts": [{"id": "p1", "caption": "bien"}]}),
    ]
    path.write_text("\n".join(lines), "utf-8")
    intake = import_accounts(resources_on_both, path)
    assert (intake.accounts, intake.photos) == (3, 1)
    assert sum(intake.problems.values()) >= 12
    found = Counter(one.reason for one in recorded(resources_on_both))
    assert set(found) == set(intake.problems)
    with resources_on_both.database.read() as connection:
        assert find_account(connection, "eva").posts == 1
        assert find_account(connection, "ana").posts == 4


def test_a_problem_at_a_place_too_long_to_store_costs_only_itself(
    resources_on_both: Context, tmp_path: Path
) -> None:
    deep = tmp_path.joinpath(*["d" * 100] * 5)
    deep.mkdir(parents=True)
    for name in ("a.jpg", "b.jpg"):
        (deep / name).write_bytes(HTML)
    (deep / "c.jpg").write_bytes(GOOD)
    names = [str((deep / name).relative_to(tmp_path)) for name in ("a.jpg", "b.jpg", "c.jpg")]
    intake = import_post(resources_on_both, tmp_path, photos=names)
    assert (intake.photos, intake.problems) == (1, {"not-an-image": 2})
    assert len(recorded(resources_on_both)) == 2


def test_names_longer_than_their_columns_are_no_obstacle(
    resources_on_both: Context, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(GOOD)
    table = tmp_path / "photos.csv"
    table.write_text(f"file,category,split\na.jpg,animal,{'s' * 300}\n", "utf-8")
    items = read_labelled_photos(table)
    assert take_photos(resources_on_both, items, source="s" * 300).photos == 1
    labels = tmp_path / "labels.csv"
    labels.write_text(f"kind,id,categories,labeller\naccount,ana,animal,{'l' * 150}\n", "utf-8")
    assert take_labels(resources_on_both, read_labels(labels), origin="o" * 300).labels == 1


def test_importing_accounts_again_changes_nothing(
    resources_on_both: Context, tmp_path: Path
) -> None:
    (tmp_path / "good.jpg").write_bytes(GOOD)
    (tmp_path / "cut.jpg").write_bytes(TRUNCATED)
    post = {"id": "p1", "photos": ["good.jpg", "cut.jpg", "gone.jpg"], "category": "animal"}
    path = write_accounts(
        tmp_path, {"username": "ana", "categories": ["animal"], "posts": [post, {"id": "p2"}]}
    )
    first = import_accounts(resources_on_both, path)
    before = everything(resources_on_both)
    assert import_accounts(resources_on_both, path) == first
    assert everything(resources_on_both) == before


def everything(resources: Context) -> tuple[Any, ...]:
    with resources.database.read() as connection:
        truth = read_truth(connection, "post") | read_truth(connection, "account")
        ids = list(connection.scalars(select(post_rows.c.id).order_by(post_rows.c.id)))
    return ids, stored_places(resources), recorded(resources), truth, count_photos(resources)


def test_a_post_taken_in_again_has_its_newest_caption(resources: Context, tmp_path: Path) -> None:
    import_post(resources, tmp_path, caption="antes")
    import_post(resources, tmp_path, caption="después")
    assert stored_caption(resources)[0] == "después"


def test_the_truth_of_an_account_file_is_kept_apart_from_training(
    resources: Context, tmp_path: Path
) -> None:
    (tmp_path / "good.jpg").write_bytes(GOOD)
    post = {"id": "p1", "photos": ["good.jpg"], "category": "comida"}
    account = {"username": "ana", "categories": ["animal", "comida"], "posts": [post]}
    import_accounts(resources, write_accounts(tmp_path, account))
    with resources.database.read() as connection:
        assert read_truth(connection, "account") == {"ana": {"animal", "comida"}}
        assert read_truth(connection, "post") == {"ana/p1": {"comida"}}
        assert newest_example(connection) == 0
        assert count_examples(connection, ["animal", "comida"], until=10**6) == {
            "animal": 0,
            "comida": 0,
        }


def test_imported_labels_are_kept_apart_from_training(resources: Context, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "kind,id,categories,labeller\n"
        "account,ana,animal,eva\n"
        "account,ana,animal|comida,luz\n"
        f"photo,{'a' * 64},animal,eva\n"
        "planet,mars,animal,eva\n",
        "utf-8",
    )
    intake = take_labels(resources, read_labels(tmp_path / "labels.csv"), origin="labels.csv")
    assert (intake.labels, intake.problems) == (3, {"invalid-kind": 1})
    with resources.database.read() as connection:
        assert read_truth(connection, "account") == {"ana": {"animal"}}
        assert newest_example(connection) == 0


def write_table(folder: Path, rows: Sequence[tuple[str, str, str]]) -> Path:
    path = folder / "photos.tsv"
    lines = ["file\tcategory\tsplit", *("\t".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_photos_of_other_splits_are_taken_in_but_not_trained_on(
    resources: Context, tmp_path: Path
) -> None:
    for number, name in enumerate(("a.jpg", "b.jpg", "c.jpg")):
        (tmp_path / name).write_bytes(drawing.save(drawing.textured(seed=number), "JPEG"))
    rows = [("a.jpg", "animal", "train"), ("b.jpg", "animal", "test"), ("c.jpg", "animal", "")]
    path = write_table(tmp_path, rows)
    assert take_photos(resources, read_labelled_photos(path), source="dev").photos == 3
    with resources.database.read() as connection:
        # A row that names no split is meant for training.
        assert len(read_examples(connection, ["animal"], until=10**6)) == 2


def test_bad_rows_of_a_photo_table_are_counted_by_reason_and_the_rest_goes_on(
    resources: Context, tmp_path: Path
) -> None:
    (tmp_path / "good.jpg").write_bytes(GOOD)
    (tmp_path / "cut.jpg").write_bytes(TRUNCATED)
    (tmp_path / "page.jpg").write_bytes(HTML)
    names = [("cut.jpg", "animal"), ("gone.jpg", "animal"), ("page.jpg", "animal"),
             ("good.jpg", "kayak"), ("good.jpg", "animal")]  # fmt: skip
    path = write_table(tmp_path, [(file, category, "train") for file, category in names])
    heard: list[None] = []
    items = read_labelled_photos(path)
    intake = take_photos(resources, items, source="dev", on_item=lambda: heard.append(None))
    assert intake.photos == 1
    assert intake.problems == {
        "truncated": 1,
        "missing-file": 1,
        "not-an-image": 1,
        "unknown-category": 1,
    }
    assert {problem.reason for problem in intake.examples} == set(intake.problems)
    assert len(heard) == 5


def test_importing_photos_again_changes_nothing_but_their_newest_split(
    resources: Context, tmp_path: Path
) -> None:
    (tmp_path / "good.jpg").write_bytes(GOOD)
    for split in ("train", "train", "test"):
        path = write_table(tmp_path, [("good.jpg", "animal", split)])
        take_photos(resources, read_labelled_photos(path), source="dev")
    with resources.database.read() as connection:
        assert newest_example(connection) == 1
        assert count_examples(connection, ["animal"], until=1) == {"animal": 0}
    assert count_photos(resources) == 1
