"""The sample is the same for a seed, readable by our own readers, and has the faults it should."""

import hashlib
import io
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from pipelines.sources.accounts import read_accounts
from pipelines.sources.photos import read_labelled_photos
from pipelines.sources.samples.canvas import seed_random
from pipelines.sources.samples.captions import WORDS, compose_caption
from pipelines.sources.samples.writer import SampleSet, draw_photo, write_samples
from pipelines.sources.values import parse_username
from schemas.categories import OTRA, known_categories
from schemas.errors import UsageError
from schemas.posts import LabelledPhoto, SourceAccount

ALL = [*known_categories(), OTRA]


def write(folder: Path, *, seed: int = 7, photo_base_url: str | None = None) -> SampleSet:
    return write_samples(
        folder,
        seed=seed,
        categories=["animal", "comida", "moda"],
        training_per_category=4,
        accounts=9,
        posts=(5, 10),
        photo_base_url=photo_base_url,
    )


def hash_files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def read(sample: SampleSet) -> list[SourceAccount]:
    items = list(read_accounts(sample.accounts_file))
    accounts = [item for item in items if isinstance(item, SourceAccount)]
    assert len(accounts) == len(items)
    return accounts


@pytest.mark.parametrize("category", ALL)
def test_a_photo_is_drawn_the_same_again_and_otherwise_differently(category: str) -> None:
    first, again, other = (draw_photo(category, seed_random(name)) for name in "aab")
    assert first == again
    assert first != other
    with Image.open(io.BytesIO(first)) as photo:
        photo.load()
        assert (photo.format, photo.size) == ("JPEG", (320, 320))


@pytest.mark.parametrize("category", ALL)
def test_a_caption_ends_in_hashtags_of_its_category(category: str) -> None:
    sentence, tags = compose_caption(category, seed_random("x")).split("\n")
    assert sentence
    assert {tag.removeprefix("#") for tag in tags.split()} <= set(WORDS[category].tags)


def test_every_name_in_the_lists_is_a_user_name() -> None:
    names = [name for words in WORDS.values() for name in words.usernames]
    assert [parse_username(name) for name in names] == names
    assert len(set(names)) == len(names)


def test_a_seed_gives_the_same_files_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        write(tmp_path / name, seed=seed)
    first, again, other = (hash_files(tmp_path / name) for name in "abc")
    assert first == again
    assert first != other


def test_training_photos_are_read_and_half_of_them_have_captions(tmp_path: Path) -> None:
    sample = write(tmp_path)
    photos = list(read_labelled_photos(sample.photos_table))
    labelled = [photo for photo in photos if isinstance(photo, LabelledPhoto)]
    counts = Counter(photo.category for photo in labelled)
    assert counts == {"animal": 4, "comida": 4, "moda": 4, OTRA: 4}
    assert sum(bool(photo.caption) for photo in labelled) == sample.training_photos // 2
    assert {photo.split for photo in photos if isinstance(photo, LabelledPhoto)} == {"train"}


def test_the_accounts_are_read_with_truth_for_all_that_can_be_judged(tmp_path: Path) -> None:
    sample = write(tmp_path)
    accounts = read(sample)
    assert (len(accounts), sum(len(account.posts) for account in accounts)) == (9, sample.posts)
    assert [account.truth is None for account in accounts] == [False] * 8 + [True]
    assert {len(account.truth) for account in accounts if account.truth} == {1, 2}
    posts = [post for account in accounts for post in account.posts]
    assert any(len(post.photos) > 1 for post in posts)
    assert any(post.caption and not post.photos for post in posts)
    assert all(post.truth is not None for post in posts)


def test_the_last_accounts_have_what_goes_wrong_in_life(tmp_path: Path) -> None:
    broken, silent, single, unusable = read(write(tmp_path))[-4:]
    assert any(post.problems for post in (*broken.posts, *unusable.posts))
    assert not any(post.caption for post in silent.posts)
    assert len(single.posts) == 1
    for post in unusable.posts:
        assert not post.caption
        assert not any(opens(photo.path) for photo in post.photos if photo.path)
    assert any(opens(photo.path) for post in broken.posts for photo in post.photos if photo.path)


def opens(path: Path) -> bool:
    try:
        with Image.open(path) as photo:
            photo.load()
    except OSError:
        return False
    return True


def test_half_of_the_accounts_name_their_photos_by_address_if_asked(tmp_path: Path) -> None:
    accounts = read(write(tmp_path, photo_base_url="http://127.0.0.1:9"))
    by_url = [any(p.url for post in a.posts for p in post.photos) for a in accounts]
    assert sum(by_url) == round(9 * 0.5)
    urls = [p.url for a in accounts for post in a.posts for p in post.photos if p.url]
    relative = [url.removeprefix("http://127.0.0.1:9/") for url in urls]
    assert sum((tmp_path / name).is_file() for name in relative) > len(relative) / 2


@pytest.mark.parametrize("categories", [[], [OTRA], ["autos"]])
def test_categories_that_cannot_be_drawn_are_refused(tmp_path: Path, categories: list[str]) -> None:
    with pytest.raises(UsageError, match="name categories"):
        write_samples(
            tmp_path, categories=categories, training_per_category=1, accounts=1, posts=(1, 1)
        )
