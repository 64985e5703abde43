"""Where a crawl's photos are looked at: on the loop while that is brief, else on threads."""

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from pipelines.sources.samples.writer import draw_photo
from schemas.errors import PhotoError
from tasks import crawl_judge
from tasks.context import Context, context
from tasks.crawl_judge import Judges
from tasks.ingest import keep_photo
from tests.adopted import adopted


@pytest.fixture
def resources(tmp_path: Path) -> Iterator[Context]:
    with adopted({"AFIN_DATA_DIR": str(tmp_path / "data"), "AFIN_FETCH_CHECK": "header"}):
        yield context()


@pytest.fixture
def keepers(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each photo that was kept, whether that happened on the loop's own thread."""
    found: list[bool] = []
    here = threading.get_ident()

    def watch(*args: object, **kwargs: object) -> object:
        found.append(threading.get_ident() == here)
        return keep_photo(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(crawl_judge, "keep_photo", watch)
    return found


def draw(number: int = 0) -> bytes:
    return draw_photo("comida", Random(number))  # noqa: S311 - the same photo every time


def test_a_small_jpeg_is_kept_on_the_loop(resources: Context, keepers: list[bool]) -> None:
    photo = draw()
    row = asyncio.run(Judges(resources).judge(photo, "by Ana"))
    assert (row.sha256, row.credit) == (hashlib.sha256(photo).hexdigest(), "by Ana")
    assert resources.blobs.read_photo(row.sha256) == photo
    assert keepers == [True]


def test_a_large_photo_is_kept_on_a_thread(
    resources: Context, keepers: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawl_judge, "SMALL_BYTES", 100)
    asyncio.run(Judges(resources).judge(draw(), ""))
    assert keepers == [False]


def test_a_photo_that_is_decoded_is_kept_on_a_thread(keepers: list[bool], tmp_path: Path) -> None:
    with adopted({"AFIN_DATA_DIR": str(tmp_path / "data"), "AFIN_FETCH_CHECK": "decode"}):
        asyncio.run(Judges(context()).judge(draw(), ""))
    assert keepers == [False]


def test_a_slow_disk_sends_photos_to_threads(
    resources: Context, keepers: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawl_judge, "LONG_S", 0.0)
    judges = Judges(resources)
    for number in range(3):
        asyncio.run(judges.judge(draw(number), ""))
    assert keepers == [True, False, False]


def test_a_photo_cut_short_is_refused(resources: Context) -> None:
    with pytest.raises(PhotoError, match="end is missing"):
        asyncio.run(Judges(resources).judge(draw()[:-40], ""))
