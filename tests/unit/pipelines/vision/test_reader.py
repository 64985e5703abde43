"""Photos are read ahead in order, urgent ones first, each once, and never too many at a time."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.vision.batcher import Batcher, BatcherClosedError
from pipelines.vision.reader import Admit, Read, Reader
from schemas.errors import PhotoError, UsageError

Vector = NDArray[np.float32]
TIMEOUT_S = 20.0
BAD = "255"


def embed(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(batch.reshape(len(batch), -1)[:, :3], np.float32)


def read(name: str, admit: Admit) -> NDArray[np.uint8]:
    admit(100)
    if name == BAD:
        raise PhotoError("broken", "This one is bad.")
    return np.full((2, 2, 3), int(name), np.uint8)


@contextmanager
def reading(
    how: Read = read,
    *,
    threads: int = 2,
    max_photos: int = 8,
    max_bytes: int = 10**6,
    batch_size: int = 4,
) -> Iterator[Reader]:
    with Batcher(embed, batch_size=batch_size, wait_s=0.001, max_pending=64) as batcher:
        reader = Reader(how, batcher, threads=threads, max_photos=max_photos, max_bytes=max_bytes)
        try:
            yield reader
        finally:
            reader.close()


class Gate:
    """A reading that notes its order and waits at the door until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.entered = threading.Semaphore(0)
        self.names: list[str] = []

    def __call__(self, name: str, admit: Admit) -> NDArray[np.uint8]:
        self.names.append(name)
        self.entered.release()
        assert self.opened.wait(TIMEOUT_S)
        return read(name, admit)


def value(future: Future[Vector]) -> float | str:
    error = future.exception(TIMEOUT_S)
    return type(error).__name__ if error else float(future.result()[0])


@settings(max_examples=60, deadline=None)
@given(
    shards=st.lists(
        st.lists(st.tuples(st.integers(0, 255), st.booleans()), max_size=20), min_size=1, max_size=5
    ),
    threads=st.integers(1, 3),
    max_photos=st.integers(1, 6),
    max_bytes=st.sampled_from([1, 150, 10**6]),
    batch_size=st.integers(1, 7),
)
def test_every_caller_gets_what_its_photos_alone_would_give_whatever_the_order(
    shards: list[list[tuple[int, bool]]],
    threads: int,
    max_photos: int,
    max_bytes: int,
    batch_size: int,
) -> None:
    def work(shard: list[tuple[int, bool]]) -> list[float | str]:
        futures = [reader.submit(str(photo), urgent=urgent) for photo, urgent in shard]
        return [value(future) for future in futures]

    with (
        reading(
            threads=threads, max_photos=max_photos, max_bytes=max_bytes, batch_size=batch_size
        ) as reader,
        ThreadPoolExecutor(len(shards)) as pool,
    ):
        outcomes = list(pool.map(work, shards, timeout=TIMEOUT_S))
        assert reader.waiting == 0
    assert outcomes == [
        ["PhotoError" if str(photo) == BAD else float(photo) for photo, _ in shard]
        for shard in shards
    ]


def test_a_photo_asked_for_twice_at_once_is_read_once() -> None:
    gate = Gate()
    with reading(gate) as reader:
        first, second = reader.submit("7"), reader.submit("7")
        gate.opened.set()
        assert value(first) == value(second) == 7
    assert gate.names == ["7"]


def test_a_vector_is_remembered_until_it_is_stored() -> None:
    gate = Gate()
    gate.opened.set()
    with reading(gate) as reader:
        assert value(reader.submit("7")) == 7
        assert value(reader.submit("7")) == 7
        assert gate.names == ["7"]
        reader.forget(["7", "never seen"])
        assert value(reader.submit("7")) == 7
    assert gate.names == ["7", "7"]


def test_a_photo_that_failed_is_read_again_when_asked_for_again() -> None:
    gate = Gate()
    gate.opened.set()
    with reading(gate) as reader:
        assert [value(reader.submit(BAD)) for _ in range(2)] == ["PhotoError"] * 2
    assert gate.names == [BAD, BAD]


def test_urgent_photos_overtake_and_ordinary_ones_still_get_a_turn() -> None:
    gate = Gate()
    with reading(gate, threads=1) as reader:
        futures = [reader.submit("0")]
        assert gate.entered.acquire(timeout=TIMEOUT_S)
        futures += [reader.submit(str(n)) for n in (1, 2)]
        futures += [reader.submit(str(n), urgent=True) for n in range(101, 106)]
        gate.opened.set()
        for future in futures:
            value(future)
    assert gate.names == ["0", "101", "102", "103", "1", "104", "105", "2"]


def test_a_photo_waiting_in_the_ordinary_lane_is_hurried_by_an_urgent_caller() -> None:
    gate = Gate()
    with reading(gate, threads=1) as reader:
        futures = [reader.submit("0")]
        assert gate.entered.acquire(timeout=TIMEOUT_S)
        futures += [reader.submit(str(n)) for n in (1, 2, 3)]
        hurried = reader.submit("3", urgent=True)
        assert hurried is futures[3]
        gate.opened.set()
        for future in futures:
            value(future)
    assert gate.names == ["0", "3", "1", "2"]


def test_no_more_photos_are_decoded_than_may_wait_for_the_model() -> None:
    held = threading.Event()
    progress = threading.Semaphore(0)

    def slow(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert held.wait(TIMEOUT_S)
        return embed(batch)

    def count(name: str, admit: Admit) -> NDArray[np.uint8]:
        progress.release()
        return read(name, admit)

    with Batcher(slow, batch_size=1, wait_s=0, max_pending=64) as batcher:
        reader = Reader(count, batcher, threads=4, max_photos=3, max_bytes=10**6)
        futures = [reader.submit(str(n)) for n in range(10)]
        for _ in range(3):
            assert progress.acquire(timeout=TIMEOUT_S)
        # The model is held, so only a broken bound could let a fourth photo be read.
        assert not progress.acquire(timeout=0.05)
        held.set()
        assert [value(future) for future in futures] == list(range(10))
        reader.close()


@pytest.mark.parametrize("size_bytes", [60, 1000])
def test_pictures_are_decoded_only_while_there_is_memory(size_bytes: int) -> None:
    inside = most = 0
    lock = threading.Lock()

    def large(name: str, admit: Callable[[int], None]) -> NDArray[np.uint8]:
        nonlocal inside, most
        admit(size_bytes)
        with lock:
            inside += 1
            most = max(most, inside)
        threading.Event().wait(0.002)
        with lock:
            inside -= 1
        return np.full((2, 2, 3), int(name), np.uint8)

    with reading(large, threads=4, max_bytes=100) as reader:
        futures = [reader.submit(str(n)) for n in range(12)]
        assert [value(future) for future in futures] == list(range(12))
    assert most == 1


@pytest.mark.parametrize("drain", [True, False])
def test_closing_computes_what_is_in_line_or_fails_it(drain: bool) -> None:
    gate = Gate()
    with Batcher(embed, batch_size=4, wait_s=0, max_pending=64) as batcher:
        reader = Reader(gate, batcher, threads=1, max_photos=8, max_bytes=10**6)
        futures = [reader.submit(str(n)) for n in range(4)]
        assert gate.entered.acquire(timeout=TIMEOUT_S)
        gate.opened.set()
        reader.close(drain=drain)
        assert value(futures[0]) == 0
        left = [value(future) for future in futures[1:]]
        with pytest.raises(BatcherClosedError):
            reader.submit("9")
    if drain:
        assert left == [1, 2, 3]
    else:
        assert set(left) <= {"BatcherClosedError", 1.0, 2.0, 3.0}
        assert all(future.done() for future in futures)


def test_a_reader_without_room_is_refused() -> None:
    with (
        Batcher(embed, batch_size=1, wait_s=0, max_pending=1) as batcher,
        pytest.raises(UsageError),
    ):
        Reader(read, batcher, threads=1, max_photos=0, max_bytes=1)
