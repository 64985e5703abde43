"""The real accounts and photos are read whole, without a problem."""

from pathlib import Path

import pytest

from pipelines.sources.accounts import read_accounts
from pipelines.sources.photos import read_labelled_photos
from schemas.posts import LabelledPhoto, SourceAccount

DATA = Path(__file__).parents[4] / "../shared/data"

pytestmark = pytest.mark.skipif(
    not (DATA / "influencers.jsonl").exists(), reason="the real photos (../shared/data) are absent"
)


def test_all_accounts_and_posts_are_read() -> None:
    items = list(read_accounts(DATA / "influencers.jsonl"))
    accounts = [item for item in items if isinstance(item, SourceAccount)]
    posts = [post for account in accounts for post in account.posts]
    assert (len(items), len(accounts), len(posts)) == (80, 80, 944)
    assert not any(post.problems for post in posts)
    assert all(account.truth is not None for account in accounts)


def test_the_table_and_the_folders_name_the_same_photos() -> None:
    table, folders = (list(read_labelled_photos(DATA / name)) for name in ("PHOTOS.tsv", "photos"))
    labelled = [
        {(item.path, item.category) for item in items if isinstance(item, LabelledPhoto)}
        for items in (table, folders)
    ]
    assert len(table) == len(folders) == 4264
    assert labelled[0] == labelled[1]
    assert len(labelled[0]) == 4264
