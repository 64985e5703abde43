"""Small things that storage tests put into a database."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection

from schemas.bundles import BackboneRef, BundleManifest, TextModelRef
from storage.accounts import NewPost, PhotoPlace, find_account, save_account
from storage.bundles import add_bundle
from storage.photos import PhotoRow, add_photos


def photo(name: str) -> str:
    """The hash a photo of that content would have."""
    return hashlib.sha256(name.encode()).hexdigest()


def add_photo(connection: Connection, name: str) -> str:
    sha256 = photo(name)
    row = PhotoRow(sha256=sha256, size_bytes=9, width=8, height=8, format="jpeg")
    add_photos(connection, [row])
    return sha256


def new_post(external_id: str, *, caption: str = "", photos: Sequence[PhotoPlace] = ()) -> NewPost:
    return NewPost(
        external_id=external_id,
        caption=caption,
        caption_sha256=photo(caption) if caption else None,
        posted_at=datetime(2026, 1, 5, 12, tzinfo=UTC),
        likes=3,
        comments=None,
        photos=tuple(photos),
    )


def add_account(connection: Connection, username: str, posts: Sequence[NewPost] = ()) -> int:
    save_account(
        connection, username=username, followers=5000, imported_from="test", new_posts=posts
    )
    return find_account(connection, username).id


def manifest(seed: int = 0) -> BundleManifest:
    return BundleManifest(
        classes=("comida", "deporte"),
        reject=False,
        halves=("image",),
        backbone=BackboneRef(name="tiny", hash="b" * 16, width=4),
        text_model=TextModelRef(name="fasttext-skipgram", hash="t" * 16, width=4),
        methods=("nn",),
        post_threshold=0.5,
        share_thresholds={"comida": 0.28, "deporte": 0.28},
        min_posts=3,
        training={},
        metrics={},
        versions={},
        seed=seed,
        created_at=datetime(2026, 1, 1 + seed, tzinfo=UTC),
        files={},
    )


def add_some_bundle(connection: Connection, bundle_id: str = "b0", seed: int = 0) -> str:
    add_bundle(connection, bundle_id, manifest(seed))
    return bundle_id
