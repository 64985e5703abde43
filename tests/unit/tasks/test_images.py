"""A shard of photos becomes vectors; a bad photo among them hurts no other."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torchvision.io import decode_jpeg

from pipelines.vision.batcher import BatcherClosedError, Observer
from pipelines.vision.decode import PhotoLimits, PhotoTransform, decode_photo
from pipelines.vision.nvjpeg import DeviceDecoder
from schemas.bundles import BackboneRef
from storage.photos import PhotoRow, add_photos
from storage.vectors import Unusable, read_image_vectors
from tasks import images
from tasks.context import Context
from tasks.embedders import Embedder, make_embedder
from tasks.images import ShardResult, embed_photos
from tests.unit.pipelines.vision import drawing

LIMITS = PhotoLimits(max_bytes=10**7, max_pixels=10**7)
REF = BackboneRef(name="mean-colour", hash="m" * 16, width=3)


class MeanColour:
    """The smallest backbone: a photo's vector is its mean colour."""

    ref = REF
    transform = PhotoTransform(size=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

    device = "cpu"
    decoder: DeviceDecoder | None = None

    def __init__(self) -> None:
        self.seen = 0

    def embed(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.seen += len(batch)
        return np.asarray(batch.mean(axis=(1, 2)), np.float32)

    def close(self) -> None:
        pass


@pytest.fixture
def backbone() -> MeanColour:
    return MeanColour()


@pytest.fixture
def embedder(resources: Context, backbone: MeanColour) -> Iterator[Embedder]:
    with over(resources, backbone) as ready:
        yield ready


@contextmanager
def over(resources: Context, backbone: MeanColour) -> Iterator[Embedder]:
    """Put a backbone to work, with batches of four."""
    settings = resources.settings.model_copy(update={"batch_size": 4})
    ready = make_embedder(backbone, resources.blobs, settings, Observer())  # type: ignore[arg-type]
    backbone.seen = 0  # forget the trial batches
    yield ready
    ready.close()


def keep(resources: Context, data: bytes) -> str:
    sha256 = resources.blobs.write_photo(data)
    row = PhotoRow(sha256=sha256, size_bytes=len(data), width=60, height=40, format="jpeg")
    with resources.database.write() as connection:
        add_photos(connection, [row])
    return sha256


def colours(resources: Context, count: int) -> list[str]:
    return [
        keep(resources, drawing.save(drawing.plain((10 * n, 0, 0)), "PNG")) for n in range(count)
    ]


def embed(resources: Context, embedder: Embedder, wanted: list[str]) -> ShardResult:
    return embed_photos(resources, embedder, wanted, lambda _connection: None)


def stored(resources: Context, wanted: list[str]) -> dict[str, NDArray[np.float32] | Unusable]:
    with resources.database.read() as connection:
        return read_image_vectors(connection, REF.hash, wanted)


def test_every_photo_gets_its_own_vector(resources: Context, embedder: Embedder) -> None:
    wanted = colours(resources, 10)
    assert embed(resources, embedder, wanted) == ShardResult(photos=10, embedded=10)
    found = stored(resources, wanted)
    for number, sha256 in enumerate(wanted):
        assert np.array_equal(found[sha256], [10 * number, 0, 0])  # type: ignore[arg-type]


def test_what_is_known_is_not_embedded_again(
    resources: Context, embedder: Embedder, backbone: MeanColour
) -> None:
    wanted = colours(resources, 6)
    embed(resources, embedder, wanted[:4])
    assert embed(resources, embedder, wanted) == ShardResult(photos=6, cached=4, embedded=2)
    assert backbone.seen == 6


def test_a_photo_shown_twice_is_embedded_once(
    resources: Context, embedder: Embedder, backbone: MeanColour
) -> None:
    (only,) = colours(resources, 1)
    assert embed(resources, embedder, [only, only]) == ShardResult(photos=1, embedded=1)
    assert backbone.seen == 1


def test_bad_photos_are_kept_with_their_reason_and_the_rest_is_embedded(
    resources: Context, embedder: Embedder
) -> None:
    good = colours(resources, 3)
    cut = drawing.save(drawing.textured(), "JPEG")
    bad = {
        keep(resources, cut[: len(cut) // 2]): "truncated",
        keep(resources, drawing.png_bomb()): "too-many-pixels",
        keep(resources, b"<html>"): "not-an-image",
    }
    gone = keep(resources, b"soon gone")
    resources.blobs.delete_photo(gone)
    result = embed(resources, embedder, [*good, *bad, gone])
    assert result == ShardResult(photos=7, embedded=3, unusable=4)
    found = stored(resources, [*bad, gone])
    assert found == {
        sha256: Unusable(problem=reason) for sha256, reason in {**bad, gone: "lost"}.items()
    }


def test_a_bad_photo_is_not_tried_again(resources: Context, embedder: Embedder) -> None:
    bad = keep(resources, b"<html>")
    embed(resources, embedder, [bad])
    assert embed(resources, embedder, [bad]) == ShardResult(photos=1, cached=1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torchvision")
def test_photos_are_decoded_on_the_device_where_it_can_and_the_rest_as_ever(
    resources: Context,
) -> None:
    decoded: list[int] = []

    def note(data: list[Any], device: str) -> list[Any]:
        decoded.append(len(data))
        pictures: list[Any] = decode_jpeg(data, mode="RGB", device=device)
        return pictures

    class OnDevice(MeanColour):
        decoder = DeviceDecoder(MeanColour.transform, "cpu", decode=note)

        def embed(self, batch: Any) -> NDArray[np.float32]:
            return super().embed(np.asarray(batch))

    kinds = ["jpeg", "progressive jpeg", "rotated jpeg", "cmyk jpeg", "png"]
    wanted = [keep(resources, drawing.SOUND[kind]()) for kind in kinds]
    bad = keep(resources, drawing.SOUND["jpeg"]()[:-80])
    with over(resources, OnDevice()) as embedder:
        result = embed(resources, embedder, [*wanted, bad])
    assert result == ShardResult(photos=6, embedded=5, unusable=1)
    assert sum(decoded) == 2
    found = stored(resources, [*wanted, bad])
    assert found[bad] == Unusable(problem="truncated")
    for sha256 in wanted:
        photo = decode_photo(resources.blobs.read_photo(sha256), MeanColour.transform, LIMITS)
        assert np.allclose(found[sha256], photo.mean(axis=(0, 1)), atol=0.5)  # type: ignore[arg-type]


class NoBlack(MeanColour):
    """A backbone that fails whole batches for one photo."""

    def embed(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self.seen and (batch.max(axis=(1, 2, 3)) == 0).any():
            raise RuntimeError("The model does not like black.")
        return super().embed(batch)


def test_a_photo_that_the_model_cannot_take_hurts_no_other(resources: Context) -> None:
    wanted = colours(resources, 5)
    backbone = NoBlack()
    with over(resources, backbone) as embedder:
        backbone.seen = 1
        result = embed(resources, embedder, wanted)
    assert result == ShardResult(photos=5, embedded=4, unusable=1)
    assert stored(resources, wanted[:1]) == {wanted[0]: Unusable(problem="not-embedded")}


def test_a_shard_that_is_killed_before_it_stores_is_computed_again_and_loses_nothing(
    resources: Context, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Like a signal: nothing of ours catches it."""

    def die(*_args: object) -> None:
        raise Killed

    wanted = colours(resources, 6)
    with monkeypatch.context() as broken:
        broken.setattr(images, "save_image_vectors", die)
        with pytest.raises(Killed):
            embed(resources, embedder, wanted)
    assert stored(resources, wanted) == {}
    assert embed(resources, embedder, wanted) == ShardResult(photos=6, embedded=6)
    assert len(stored(resources, wanted)) == 6


class Held(MeanColour):
    """A backbone that computes nothing before it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = threading.Event()

    def embed(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert self.seen == 0 or self.let.wait(20)
        return super().embed(batch)


def test_shards_that_share_photos_and_run_at_once_compute_each_once(
    resources: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = colours(resources, 12)
    shards = [wanted[:8], wanted[4:], wanted[2:10], wanted]
    backbone = Held()
    with over(resources, backbone) as embedder, ThreadPoolExecutor(4) as pool:
        backbone.seen = 1
        submit, asked = embedder.submit, threading.Semaphore(0)

        def note(sha256: str, *, urgent: bool = False) -> Future[NDArray[np.float32]]:
            future = submit(sha256, urgent=urgent)
            asked.release()
            return future

        monkeypatch.setattr(embedder, "submit", note)
        running = [pool.submit(embed, resources, embedder, shard) for shard in shards]
        for _ in range(sum(map(len, shards))):
            assert asked.acquire(timeout=20)
        backbone.let.set()
        assert [shard.result(20).photos for shard in running] == [8, 8, 8, 12]
    assert len(stored(resources, wanted)) == 12
    assert backbone.seen == 1 + 12


def test_a_worker_that_stops_keeps_what_its_shards_have_computed(
    resources: Context, backbone: MeanColour
) -> None:
    wanted = colours(resources, 9)
    with over(resources, backbone) as embedder:
        embed(resources, embedder, wanted[:5])
        embedder.close(drain=False)
        with pytest.raises(BatcherClosedError, match="Send the message again"):
            embed(resources, embedder, wanted)
    assert len(stored(resources, wanted)) == 5


def test_a_shard_says_so_while_it_waits_for_a_slow_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(images, "HEARTBEAT_S", 0.001)
    future: Future[NDArray[np.float32]] = Future()
    beats = []

    def beat() -> None:
        beats.append(1)
        if len(beats) == 3:
            future.set_result(np.ones(2, np.float32))

    results: dict[str, NDArray[np.float32] | Unusable] = {}
    images._gather({"a": future}, results, beat)
    assert isinstance(results["a"], np.ndarray)
    assert len(beats) == 3
