"""Where a crawl's photos are looked at: on the loop while that is brief, else on threads."""

import asyncio
import hashlib
import threading
from pathlib import Path
from random import Random

import pytest

from pipelines.sources.samples.writer import draw_photo
from pipelines.vision.decode import PhotoLimits
from schemas.errors import PhotoError
from storage.blobs import BlobStore
from tasks import crawl_judge
from tasks.crawl_judge import Judges

CHECKS = pytest.mark.parametrize("check", ["header", "decode"])
LIMITS = PhotoLimits(max_bytes=2**20, max_pixels=10**6)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(str(tmp_path / "blobs"), cache_dir=tmp_path / "cache")


@pytest.fixture
def keepers(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each photo that was kept, whether that happened on the loop's own thread."""
    found: list[bool] = []
    here = threading.get_ident()
    real = BlobStore.write_photo

    def watch(blobs: BlobStore, data: bytes) -> str:
        found.append(threading.get_ident() == here)
        return real(blobs, data)

    monkeypatch.setattr(BlobStore, "write_photo", watch)
    return found


def draw(number: int = 0) -> bytes:
    return draw_photo("comida", Random(number))  # noqa: S311 - the same photo every time


@CHECKS
def test_a_small_jpeg_is_kept_on_the_loop(
    blobs: BlobStore, keepers: list[bool], check: str
) -> None:
    photo = draw()
    kept = asyncio.run(Judges(blobs, LIMITS, check).judge(photo))
    assert kept.sha256 == hashlib.sha256(photo).hexdigest()
    assert blobs.read_photo(kept.sha256) == photo
    assert keepers == [True]


@CHECKS
def test_a_large_photo_is_kept_on_a_thread(
    blobs: BlobStore, keepers: list[bool], monkeypatch: pytest.MonkeyPatch, check: str
) -> None:
    monkeypatch.setitem(crawl_judge.SMALL_BYTES, check, 100)
    asyncio.run(Judges(blobs, LIMITS, check).judge(draw()))
    assert keepers == [False]


def test_a_photo_of_many_pixels_is_decoded_on_a_thread(
    blobs: BlobStore, keepers: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawl_judge, "SMALL_PIXELS", 100)
    for check in ("header", "decode"):
        asyncio.run(Judges(blobs, LIMITS, check).judge(draw()))
    assert keepers == [True, False]


def test_a_slow_disk_sends_photos_to_threads(
    blobs: BlobStore, keepers: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawl_judge, "LONG_S", 0.0)
    judges = Judges(blobs, LIMITS, "header")
    for number in range(3):
        asyncio.run(judges.judge(draw(number)))
    assert keepers == [True, False, False]


def test_a_photo_cut_short_is_refused(blobs: BlobStore) -> None:
    with pytest.raises(PhotoError, match="end is missing"):
        asyncio.run(Judges(blobs, LIMITS, "header").judge(draw()[:-40]))
