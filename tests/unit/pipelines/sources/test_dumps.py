"""Accounts from the folders that Instaloader and gallery-dl leave behind."""

import json
import lzma
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.sources import metadata
from pipelines.sources.accounts import read_accounts
from schemas.errors import SourceError
from schemas.posts import Problem, SourceAccount

STEM = "2026-01-05_12-00-00_UTC"
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def read(folder: Path) -> tuple[dict[str, SourceAccount], list[Problem]]:
    items = list(read_accounts(folder))
    accounts = {item.username: item for item in items if isinstance(item, SourceAccount)}
    return accounts, [item for item in items if isinstance(item, Problem)]


def put(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")


def put_post(
    path: Path, *, owner: str | None = None, shortcode: str = "B1", **node: object
) -> None:
    """Write Instaloader's metadata of a post, compressed if the name says so."""
    whole = {"shortcode": shortcode, "taken_at_timestamp": 1767614400, **node}
    if owner is not None:
        whole["owner"] = {"id": "1", "username": owner}
    saved = {"node": whole, "instaloader": {"version": "4.13", "node_type": "Post"}}
    data = json.dumps(saved).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(data) if path.suffix == ".xz" else data)


def put_gallerydl(path: Path, **saved: object) -> None:
    """Write a photo and gallery-dl's metadata of it."""
    put(path.parent, path.name)
    path.with_name(f"{path.name}.json").write_text(json.dumps(saved), encoding="utf-8")


def photo_names(account: SourceAccount) -> list[list[str]]:
    return [[p.path.name for p in post.photos if p.path] for post in account.posts]


def test_an_instaloader_folder_without_metadata_is_read(tmp_path: Path) -> None:
    put(tmp_path / "ana", f"{STEM}.jpg", f"{STEM}.mp4")
    (tmp_path / "ana" / f"{STEM}.txt").write_text("Qué día ☀\n", encoding="utf-8")
    accounts, problems = read(tmp_path / "ana")
    post = accounts["ana"].posts[0]
    assert not problems
    assert (post.external_id, post.caption, post.posted_at) == (STEM, "Qué día ☀", NOON)
    assert photo_names(accounts["ana"]) == [[f"{STEM}.jpg"]]


@pytest.mark.parametrize("ending", [".json", ".json.xz"])
def test_instaloader_metadata_are_used(tmp_path: Path, ending: str) -> None:
    put(tmp_path / "ana", f"{STEM}.jpg")
    put_post(
        tmp_path / "ana" / f"{STEM}{ending}",
        owner="ana",
        edge_media_to_caption={"edges": [{"node": {"text": "Hola"}}]},
        edge_media_preview_like={"count": 7},
        edge_media_to_comment={"count": 2},
    )
    post = read(tmp_path)[0]["ana"].posts[0]
    assert (post.external_id, post.caption, post.posted_at) == ("B1", "Hola", NOON)
    assert (post.likes, post.comments) == (7, 2)


def test_an_album_keeps_its_order_past_nine(tmp_path: Path) -> None:
    names = [f"{STEM}_{number}.jpg" for number in range(1, 12)]
    put(tmp_path / "ana", *names)
    assert photo_names(read(tmp_path)[0]["ana"]) == [names]


def test_hidden_likes_are_no_problem(tmp_path: Path) -> None:
    put_post(tmp_path / "ana" / f"{STEM}.json", edge_media_preview_like={"count": -1})
    post = read(tmp_path)[0]["ana"].posts[0]
    assert (post.likes, post.problems) == (None, ())


def test_any_name_pattern_is_understood_where_there_are_metadata(tmp_path: Path) -> None:
    put(tmp_path / "ana", "B1.jpg", "C2_1.jpg", "C2_2.webp")
    put_post(tmp_path / "ana" / "B1.json.xz")
    put_post(tmp_path / "ana" / "C2.json.xz", shortcode="C2")
    names = photo_names(read(tmp_path)[0]["ana"])
    assert names == [["B1.jpg"], ["C2_1.jpg", "C2_2.webp"]]


def test_what_is_no_post_is_left_out_without_a_word(tmp_path: Path) -> None:
    put(tmp_path / "ana", f"{STEM}.jpg", "2025-01-01_00-00-00_UTC_profile_pic.jpg", "id",
        f"{STEM}_comments.json", f"{STEM}_location.txt", f"{STEM}_old_01.txt",
        "iterator_x.json.xz", ".DS_Store")  # fmt: skip
    accounts, problems = read(tmp_path)
    assert not problems
    assert photo_names(accounts["ana"]) == [[f"{STEM}.jpg"]]


def test_the_profile_gives_the_followers(tmp_path: Path) -> None:
    put(tmp_path / "ana", f"{STEM}.jpg")
    saved = {
        "node": {"username": "ana", "edge_followed_by": {"count": 4321}},
        "instaloader": {"node_type": "Profile"},
    }
    (tmp_path / "ana" / "ana_1.json").write_text(json.dumps(saved), encoding="utf-8")
    accounts, _ = read(tmp_path)
    assert (accounts["ana"].followers, len(accounts["ana"].posts)) == (4321, 1)


def test_stories_and_tagged_posts_are_not_the_accounts_posts(tmp_path: Path) -> None:
    put(tmp_path / "ana", f"{STEM}.jpg")
    put(tmp_path / "ana" / "tagged", "2026-02-01_12-00-00_UTC.jpg")
    accounts, problems = read(tmp_path)
    assert len(accounts["ana"].posts) == 1
    assert [problem.reason for problem in problems] == ["skipped-folder"]


def test_reels_beside_the_posts_belong_to_the_account(tmp_path: Path) -> None:
    put(tmp_path / "ana", f"{STEM}.jpg")
    put(tmp_path / "ana" / "reels", "2026-02-01_12-00-00_UTC.jpg")
    accounts, problems = read(tmp_path)
    assert (len(accounts["ana"].posts), problems) == (2, [])


def test_the_folder_above_several_accounts_is_read(tmp_path: Path) -> None:
    put(tmp_path / "ana", f"{STEM}.jpg")
    put(tmp_path / "berta", f"{STEM}.jpg")
    assert list(read(tmp_path)[0]) == ["ana", "berta"]


def test_posts_in_a_tags_folder_go_to_their_owners(tmp_path: Path) -> None:
    put_post(tmp_path / "#playa" / "2026-01-01_00-00-00_UTC.json", owner="ana", caption="x")
    put_post(tmp_path / "#playa" / "2026-01-02_00-00-00_UTC.json", owner="berta", shortcode="C")
    put(tmp_path / "#playa", "2026-01-03_00-00-00_UTC.jpg")
    accounts, problems = read(tmp_path)
    assert set(accounts) == {"ana", "berta"}
    assert [problem.reason for problem in problems] == ["unknown-owner"]


def test_a_post_made_with_someone_else_stays_in_the_accounts_folder(tmp_path: Path) -> None:
    put_post(tmp_path / "ana" / "2026-01-01_00-00-00_UTC.json", owner="ana")
    put_post(tmp_path / "ana" / "2026-01-02_00-00-00_UTC.json", owner="berta", shortcode="C")
    accounts, _ = read(tmp_path)
    assert {name: len(account.posts) for name, account in accounts.items()} == {"ana": 2}


def test_a_renamed_account_goes_by_the_name_in_its_metadata(tmp_path: Path) -> None:
    put_post(tmp_path / "ana_old" / f"{STEM}.json", owner="ana_new")
    assert list(read(tmp_path)[0]) == ["ana_new"]


@pytest.mark.parametrize("data", [b"{", b"\xfd7zXZ\x00broken", b"", b"[" * 100_000])
def test_broken_metadata_leave_the_photo(tmp_path: Path, data: bytes) -> None:
    put(tmp_path / "ana", f"{STEM}.jpg")
    (tmp_path / "ana" / f"{STEM}.json.xz").write_bytes(data)
    accounts, problems = read(tmp_path)
    assert photo_names(accounts["ana"]) == [[f"{STEM}.jpg"]]
    assert [problem.reason for problem in problems] == ["bad-metadata"]


def test_cut_off_metadata_leave_the_photo(tmp_path: Path) -> None:
    put(tmp_path / "ana", f"{STEM}.jpg")
    whole = lzma.compress(json.dumps({"node": {"shortcode": "x" * 999}}).encode())
    (tmp_path / "ana" / f"{STEM}.json.xz").write_bytes(whole[:-30])
    assert [problem.reason for problem in read(tmp_path)[1]] == ["bad-metadata"]


def test_an_xz_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "MAX_METADATA_BYTES", 2**20)
    put(tmp_path / "ana", f"{STEM}.jpg")
    bomb = lzma.compress(b" " * 2**22)
    assert len(bomb) < 2**12
    (tmp_path / "ana" / f"{STEM}.json.xz").write_bytes(bomb)
    accounts, problems = read(tmp_path)
    assert "more than" in problems[0].detail
    assert len(accounts["ana"].posts) == 1


def test_a_gallerydl_folder_is_read(tmp_path: Path) -> None:
    put_gallerydl(
        tmp_path / "gallery-dl" / "instagram" / "ana" / "3001112223334.jpg",
        category="instagram", subcategory="posts", username="ana", post_shortcode="B1",
        shortcode="B1", description="Hola", likes=7, date="2026-01-05 12:00:00", num=1,
    )  # fmt: skip
    accounts, problems = read(tmp_path)
    post = accounts["ana"].posts[0]
    assert not problems
    assert (post.external_id, post.caption, post.posted_at) == ("B1", "Hola", NOON)
    assert (post.likes, photo_names(accounts["ana"])) == (7, [["3001112223334.jpg"]])


def test_a_gallerydl_album_is_one_post_in_its_order(tmp_path: Path) -> None:
    for num, media in ((2, 3000001), (1, 3000009)):
        put_gallerydl(
            tmp_path / "ana" / f"3000000_{media}.jpg",
            username="ana", post_shortcode="B1", shortcode=f"S{num}", num=num, description="Hola",
        )  # fmt: skip
    accounts, _ = read(tmp_path)
    assert photo_names(accounts["ana"]) == [["3000000_3000009.jpg", "3000000_3000001.jpg"]]


def test_bare_gallerydl_photos_are_posts_of_their_media_id(tmp_path: Path) -> None:
    put(tmp_path / "ana", "3000000_3000001.jpg", "3000000_3000002.jpg", "3999999.jpg")
    accounts, _ = read(tmp_path)
    assert [post.external_id for post in accounts["ana"].posts] == ["3000000", "3999999"]


def test_a_gallerydl_video_keeps_its_caption_and_the_avatar_is_no_post(tmp_path: Path) -> None:
    put_gallerydl(tmp_path / "ana" / "3000001.mp4", username="ana", description="Hola")
    put_gallerydl(tmp_path / "ana" / "3000002.jpg", username="ana", subcategory="avatar")
    accounts, _ = read(tmp_path)
    assert [(post.caption, post.photos) for post in accounts["ana"].posts] == [("Hola", ())]


def test_a_photo_that_is_a_link_outwards_is_noted_on_its_post(tmp_path: Path) -> None:
    put(tmp_path, "secret.jpg")
    put(tmp_path / "dump" / "ana", f"{STEM}_1.jpg")
    (tmp_path / "dump" / "ana" / f"{STEM}_2.jpg").symlink_to(tmp_path / "secret.jpg")
    post = read(tmp_path / "dump")[0]["ana"].posts[0]
    assert len(post.photos) == 1
    assert [problem.reason for problem in post.problems] == ["outside-folder"]


def test_a_caption_that_is_a_link_outwards_is_pointed_out(tmp_path: Path) -> None:
    put(tmp_path, "secret.txt")
    put(tmp_path / "dump" / "ana", f"{STEM}.jpg")
    (tmp_path / "dump" / "ana" / f"{STEM}.txt").symlink_to(tmp_path / "secret.txt")
    accounts, problems = read(tmp_path / "dump")
    assert accounts["ana"].posts[0].caption == ""
    assert [problem.reason for problem in problems] == ["unreadable-caption"]


def test_a_linked_folder_is_not_followed_outwards(tmp_path: Path) -> None:
    put(tmp_path / "other", f"{STEM}.jpg")
    put(tmp_path / "dump" / "ana", f"{STEM}.jpg")
    (tmp_path / "dump" / "berta").symlink_to(tmp_path / "other")
    accounts, problems = read(tmp_path / "dump")
    assert list(accounts) == ["ana"]
    assert [problem.reason for problem in problems] == ["outside-folder"]


def test_a_photo_named_by_no_tool_is_pointed_out(tmp_path: Path) -> None:
    put(tmp_path / "ana", f"{STEM}.jpg", "vacaciones.jpg")
    accounts, problems = read(tmp_path)
    assert len(accounts["ana"].posts) == 1
    assert [(p.where, p.reason) for p in problems] == [("ana/vacaciones.jpg", "unrecognised-file")]


@pytest.mark.parametrize("names", [[], ["a.jpg", "notes.txt"]])
def test_a_folder_of_neither_tool_is_refused(tmp_path: Path, names: list[str]) -> None:
    put(tmp_path / "ana", *names)
    with pytest.raises(SourceError, match="Instaloader or gallery-dl"):
        read(tmp_path)
