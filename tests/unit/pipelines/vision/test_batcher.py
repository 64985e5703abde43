import math
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.vision import batcher as batcher_module
from pipelines.vision.batcher import Batcher, BatcherClosedError, BatcherStats
from schemas.errors import AfinError, PhotoError, UsageError

Photo = NDArray[np.uint8]
Vectors = NDArray[np.float32]

PATIENT_S = 60.0
"""Longer than any test: whatever goes out did not wait for its deadline."""
TIMEOUT_S = 20.0
BAD = 255


def photo(value: int) -> Photo:
    return np.full((2, 2, 3), value, dtype=np.uint8)


def vector(value: int) -> list[float]:
    return [value, value / 2, 1.0]


def embed(batch: Photo) -> Vectors:
    """Embed each photo by its first value; exact in float32, whatever the batch."""
    first = batch[:, 0, 0, 0].astype(np.float32)
    return np.stack([first, first / 2, np.ones_like(first)], axis=1)


def values_of(batch: Photo) -> list[int]:
    return [int(value) for value in batch[:, 0, 0, 0]]


def embed_unless_bad(batch: Photo) -> Vectors:
    if BAD in values_of(batch):
        raise ArithmeticError("a bad photo")
    return embed(batch)


class Gate:
    """An embed that reports its batches and holds the first ones back until opened."""

    def __init__(self, inner: Callable[[Photo], Vectors] = embed) -> None:
        self.inner = inner
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, batch: Photo) -> Vectors:
        self.batches.append(values_of(batch))
        self.entered.set()
        assert self.opened.wait(TIMEOUT_S)
        return self.inner(batch)

    def hold(self, batcher: Batcher, value: int = 0) -> Future[Vectors]:
        """Occupy the model with one photo, so that those submitted next have to wait."""
        future = batcher.submit(photo(value))
        assert self.entered.wait(TIMEOUT_S)
        return future


def results(futures: list[Future[Vectors]]) -> list[list[float]]:
    return [future.result(TIMEOUT_S).tolist() for future in futures]


@settings(max_examples=60, deadline=None)
@given(
    shards=st.lists(
        st.lists(st.tuples(st.integers(0, 255), st.booleans()), max_size=25),
        min_size=1,
        max_size=5,
    ),
    batch_size=st.integers(1, 9),
    max_pending=st.integers(1, 12),
    wait_s=st.sampled_from([0.0, 0.001, 0.003]),
)
def test_every_caller_gets_what_embedding_its_photos_alone_gives(
    shards: list[list[tuple[int, bool]]], batch_size: int, max_pending: int, wait_s: float
) -> None:
    def work(shard: list[tuple[int, bool]]) -> list[object]:
        futures = [batcher.submit(photo(value), urgent=urgent) for value, urgent in shard]
        errors = [future.exception(TIMEOUT_S) for future in futures]
        return [
            type(error) if error else future.result().tolist()
            for future, error in zip(futures, errors, strict=True)
        ]

    with (
        Batcher(
            embed_unless_bad, batch_size=batch_size, wait_s=wait_s, max_pending=max_pending
        ) as batcher,
        ThreadPoolExecutor(len(shards)) as pool,
    ):
        outcomes = list(pool.map(work, shards, timeout=TIMEOUT_S))
    expected = [
        [ArithmeticError if value == BAD else vector(value) for value, _ in shard]
        for shard in shards
    ]
    assert outcomes == expected
    bad = sum(value == BAD for shard in shards for value, _ in shard)
    assert batcher.stats.failures == bad
    assert batcher.stats.photos == sum(map(len, shards)) - bad


def test_photos_of_several_callers_share_a_batch() -> None:
    sizes: list[int] = []

    def count(batch: Photo) -> Vectors:
        sizes.append(len(batch))
        return embed(batch)

    with (
        Batcher(count, batch_size=8, wait_s=PATIENT_S, max_pending=8) as batcher,
        ThreadPoolExecutor(8) as pool,
    ):
        futures = list(pool.map(lambda value: batcher.submit(photo(value)), range(8)))
        assert results(futures) == [vector(value) for value in range(8)]
    assert sizes == [8]


def test_a_part_batch_goes_out_once_its_oldest_photo_has_waited() -> None:
    with Batcher(embed, batch_size=1000, wait_s=0.01, max_pending=1000) as batcher:
        assert results([batcher.submit(photo(7))]) == [vector(7)]


def test_a_full_lane_goes_out_at_once_although_the_batch_is_not_full() -> None:
    with Batcher(embed, batch_size=1000, wait_s=PATIENT_S, max_pending=3) as batcher:
        futures = [batcher.submit(photo(value)) for value in range(3)]
        assert results(futures) == [vector(value) for value in range(3)]


def test_the_wait_counts_from_the_oldest_photo_of_either_lane(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(monotonic=lambda: 0.0, thread_time=lambda: 0.0)
    monkeypatch.setattr(batcher_module, "time", clock)
    with Batcher(embed, batch_size=100, wait_s=PATIENT_S, max_pending=100) as batcher:
        futures = [batcher.submit(photo(1))]
        clock.monotonic = lambda: PATIENT_S
        futures.append(batcher.submit(photo(2), urgent=True))
        assert results(futures) == [vector(1), vector(2)]


@pytest.mark.parametrize("place", [0, 5, 15])
def test_a_bad_photo_fails_alone(place: int) -> None:
    values = list(range(16))
    values[place] = BAD
    with Batcher(embed_unless_bad, batch_size=16, wait_s=PATIENT_S, max_pending=16) as batcher:
        futures = [batcher.submit(photo(value)) for value in values]
        wait_for(futures, TIMEOUT_S)
    failed = [at for at, future in enumerate(futures) if future.exception(0)]
    assert failed == [place]
    with pytest.raises(ArithmeticError, match="a bad photo"):
        futures[place].result(0)
    assert results(futures[:place] + futures[place + 1 :]) == [
        vector(value) for value in values if value != BAD
    ]


@pytest.mark.parametrize("rubbish", [math.nan, math.inf, -math.inf])
def test_a_vector_that_is_not_finite_fails_its_photo_alone(rubbish: float) -> None:
    calls: list[int] = []

    def spoil(batch: Photo) -> Vectors:
        calls.append(len(batch))
        vectors = embed(batch)
        vectors[batch[:, 0, 0, 0] == BAD, 1] = rubbish
        return vectors

    with Batcher(spoil, batch_size=3, wait_s=PATIENT_S, max_pending=3) as batcher:
        futures = [batcher.submit(photo(value)) for value in (1, BAD, 3)]
        with pytest.raises(PhotoError) as refused:
            futures[1].result(TIMEOUT_S)
        assert refused.value.reason == "not-finite"
        assert results([futures[0], futures[2]]) == [vector(1), vector(3)]
    assert calls == [3]


class OutOfMemoryError(RuntimeError):
    """Named like torch's."""


@pytest.mark.parametrize("error", [OutOfMemoryError("device full"), MemoryError()])
def test_running_out_of_memory_blames_no_photo_and_is_remembered(error: Exception) -> None:
    sizes: list[int] = []

    def small_device(batch: Photo) -> Vectors:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise error
        return embed(batch)

    gate = Gate(small_device)
    with Batcher(gate, batch_size=8, wait_s=0.0, max_pending=100) as batcher:
        held = gate.hold(batcher)
        futures = [batcher.submit(photo(value)) for value in range(24)]
        gate.opened.set()
        assert results(futures) == [vector(value) for value in range(24)]
        assert held.result(0).tolist() == vector(0)
    assert sizes == [1, 8, 4] + [2] * 12
    assert batcher.stats.failures == 0


def test_a_photo_too_big_for_the_device_by_itself_fails() -> None:
    def no_device(batch: Photo) -> Vectors:
        raise OutOfMemoryError("device full")

    with Batcher(no_device, batch_size=2, wait_s=PATIENT_S, max_pending=2) as batcher:
        futures = [batcher.submit(photo(value)) for value in range(2)]
        errors = [future.exception(TIMEOUT_S) for future in futures]
    assert [type(error) for error in errors] == [OutOfMemoryError] * 2


def test_a_model_that_loses_rows_fails_its_photos_clearly() -> None:
    with (
        Batcher(lambda batch: embed(batch)[1:], batch_size=2, wait_s=0, max_pending=2) as batcher,
        pytest.raises(AfinError, match="one vector a photo"),
    ):
        batcher.submit(photo(1)).result(TIMEOUT_S)


def test_photos_of_different_shapes_are_all_embedded() -> None:
    with Batcher(embed, batch_size=2, wait_s=PATIENT_S, max_pending=2) as batcher:
        futures = [batcher.submit(photo(1)), batcher.submit(np.full((4, 4, 3), 2, np.uint8))]
        assert results(futures) == [vector(1), vector(2)]


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 2, 3)), np.zeros((2, 2), np.uint8), np.zeros((1, 2, 2, 3), np.uint8)]
)
def test_an_array_that_is_no_photo_is_refused_at_once(wrong: NDArray[np.uint8]) -> None:
    with (
        Batcher(embed, batch_size=1, wait_s=0, max_pending=1) as batcher,
        pytest.raises(UsageError, match="uint8"),
    ):
        batcher.submit(wrong)


@pytest.mark.parametrize(
    ("batch_size", "wait_s", "max_pending"),
    [(0, 0.0, 1), (1, -1.0, 1), (1, math.nan, 1), (1, math.inf, 1), (1, 0.0, 0)],
)
def test_settings_without_meaning_are_refused(
    batch_size: int, wait_s: float, max_pending: int
) -> None:
    with pytest.raises(UsageError):
        Batcher(embed, batch_size=batch_size, wait_s=wait_s, max_pending=max_pending)


def test_urgent_photos_go_first_but_every_fourth_place_is_an_ordinary_ones() -> None:
    gate = Gate()
    with Batcher(gate, batch_size=4, wait_s=0.0, max_pending=100) as batcher:
        gate.hold(batcher)
        futures = [batcher.submit(photo(value)) for value in range(1, 5)]
        futures += [batcher.submit(photo(value), urgent=True) for value in range(101, 109)]
        gate.opened.set()
        results(futures)
    assert gate.batches == [[0], [101, 102, 103, 1], [104, 105, 106, 2], [107, 108, 3, 4]]


def test_urgent_photos_starve_nobody_even_one_by_one() -> None:
    gate = Gate()
    with Batcher(gate, batch_size=1, wait_s=0.0, max_pending=100) as batcher:
        gate.hold(batcher)
        futures = [batcher.submit(photo(1))]
        futures += [batcher.submit(photo(value), urgent=True) for value in range(101, 110)]
        gate.opened.set()
        results(futures)
    assert [1] in gate.batches[:5]


def test_a_full_ordinary_lane_does_not_keep_urgent_photos_out() -> None:
    gate = Gate()
    with Batcher(gate, batch_size=2, wait_s=0.0, max_pending=2) as batcher:
        gate.hold(batcher)
        futures = [batcher.submit(photo(value)) for value in (1, 2)]
        futures.append(batcher.submit(photo(101), urgent=True))
        gate.opened.set()
        results(futures)
    assert gate.batches[1][0] == 101


def test_callers_wait_while_their_lane_is_full() -> None:
    gate = Gate()
    progress = threading.Semaphore(0)
    submitted: list[int] = []

    def fill(batcher: Batcher) -> list[Future[Vectors]]:
        futures = []
        for value in range(1, 11):
            futures.append(batcher.submit(photo(value)))
            submitted.append(value)
            progress.release()
        return futures

    with (
        Batcher(gate, batch_size=2, wait_s=0.0, max_pending=3) as batcher,
        ThreadPoolExecutor(1) as pool,
    ):
        gate.hold(batcher)
        filling = pool.submit(fill, batcher)
        for _ in range(3):
            assert progress.acquire(timeout=TIMEOUT_S)
        # The model is held, so only a broken bound could let a fourth photo in.
        assert not progress.acquire(timeout=0.05)
        assert submitted == [1, 2, 3]
        gate.opened.set()
        assert results(filling.result(TIMEOUT_S)) == [vector(value) for value in range(1, 11)]


def test_cancelled_photos_are_skipped() -> None:
    gate = Gate()
    with Batcher(gate, batch_size=4, wait_s=0.0, max_pending=10) as batcher:
        gate.hold(batcher)
        futures = [batcher.submit(photo(value)) for value in range(1, 4)]
        assert futures[1].cancel()
        gate.opened.set()
        assert results([futures[0], futures[2]]) == [vector(1), vector(3)]
    assert gate.batches == [[0], [1, 3]]
    with pytest.raises(CancelledError):
        futures[1].result(0)


def test_closing_embeds_what_is_in_line() -> None:
    batcher = Batcher(embed, batch_size=100, wait_s=PATIENT_S, max_pending=100)
    futures = [batcher.submit(photo(value)) for value in range(5)]
    batcher.close()
    assert all(future.done() for future in futures)
    assert results(futures) == [vector(value) for value in range(5)]


def test_closing_without_draining_fails_what_is_in_line() -> None:
    batcher = Batcher(embed, batch_size=100, wait_s=PATIENT_S, max_pending=100)
    futures = [batcher.submit(photo(value)) for value in range(5)]
    assert futures[0].cancel()
    batcher.close(drain=False)
    assert [type(future.exception(0)) for future in futures[1:]] == [BatcherClosedError] * 4


def test_a_closed_batcher_takes_no_more_photos() -> None:
    batcher = Batcher(embed, batch_size=1, wait_s=0, max_pending=1)
    batcher.close()
    batcher.close(drain=False)
    with pytest.raises(BatcherClosedError, match="stopping"):
        batcher.submit(photo(1))


@pytest.mark.parametrize("drain", [True, False])
def test_closing_frees_callers_that_wait_for_room(drain: bool) -> None:
    gate = Gate()
    batcher = Batcher(gate, batch_size=1, wait_s=0.0, max_pending=1)
    held = gate.hold(batcher)
    queued = batcher.submit(photo(1))
    with ThreadPoolExecutor(4) as pool:
        blocked = [pool.submit(batcher.submit, photo(value)) for value in range(2, 5)]
        closing = pool.submit(batcher.close, drain=drain)
        errors = [future.exception(TIMEOUT_S) for future in blocked]
        assert [type(error) for error in errors] == [BatcherClosedError] * 3
        gate.opened.set()
        closing.result(TIMEOUT_S)
    assert held.result(0).tolist() == vector(0)
    assert isinstance(queued.exception(0), type(None) if drain else BatcherClosedError)


def test_a_block_that_fails_drops_what_is_in_line() -> None:
    batcher = Batcher(embed, batch_size=100, wait_s=PATIENT_S, max_pending=100)
    future = batcher.submit(photo(1))
    with pytest.raises(LookupError), batcher:
        raise LookupError
    assert isinstance(future.exception(0), BatcherClosedError)


class ThreadEndError(BaseException):
    """Beyond what the batcher takes for a photo's fault, like SystemExit."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_fails_every_photo_and_takes_no_more() -> None:
    def die(batch: Photo) -> Vectors:
        raise ThreadEndError

    gate = Gate(die)
    batcher = Batcher(gate, batch_size=1, wait_s=0.0, max_pending=2)
    futures = [gate.hold(batcher), batcher.submit(photo(1)), batcher.submit(photo(2))]
    gate.opened.set()
    errors = [future.exception(TIMEOUT_S) for future in futures]
    assert [type(error) for error in errors] == [BatcherClosedError] * 3
    assert all(error and isinstance(error.__cause__, ThreadEndError) for error in errors)
    with pytest.raises(BatcherClosedError):
        batcher.submit(photo(3))
    batcher.close()


def test_a_callback_may_submit_although_the_lane_is_full() -> None:
    gate = Gate()
    chained: list[Future[Vectors]] = []
    with Batcher(gate, batch_size=1, wait_s=0.0, max_pending=1) as batcher:
        first = gate.hold(batcher)
        first.add_done_callback(lambda _: chained.append(batcher.submit(photo(9))))
        second = batcher.submit(photo(1))
        gate.opened.set()
        assert results([second]) == [vector(1)]
    assert results(chained) == [vector(9)]


def test_a_result_does_not_keep_its_batch_alive() -> None:
    with Batcher(embed, batch_size=2, wait_s=PATIENT_S, max_pending=2) as batcher:
        futures = [batcher.submit(photo(value)) for value in range(2)]
        first = futures[0].result(TIMEOUT_S)
    assert first.base is None
    assert first.dtype == np.float32


def test_stats_count_photos_batches_and_failures() -> None:
    with Batcher(embed_unless_bad, batch_size=4, wait_s=PATIENT_S, max_pending=4) as batcher:
        assert batcher.stats == BatcherStats(photos=0, failures=0, batches=0, mean_batch=0.0)
        wait_for([batcher.submit(photo(value)) for value in (1, 2, BAD, 4)], TIMEOUT_S)
        # Forwards that succeeded: [1, 2] and [4]
        assert batcher.stats == BatcherStats(photos=3, failures=1, batches=2, mean_batch=1.5)
