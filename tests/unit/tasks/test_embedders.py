"""A new backbone is loaded beside the one at work, and the oldest idle one makes way."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from schemas.bundles import BackboneRef
from schemas.errors import WeightsError
from tasks.embedders import Embedder, Embedders

TIMEOUT_S = 20.0


def ref(name: str) -> BackboneRef:
    return BackboneRef(name=name, hash=name * 16, width=3)


class House:
    """Loads embedders that only remember whether they were closed."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.closed: list[str] = []

    def load(self, name: str, _expected: BackboneRef | None, _tuned: object) -> Embedder:
        self.loaded.append(name)
        part = SimpleNamespace(close=lambda **_how: None)
        backbone = SimpleNamespace(ref=ref(name), close=lambda: self.closed.append(name))
        return Embedder(backbone, part, part)  # type: ignore[arg-type]


@pytest.fixture
def house() -> House:
    return House()


def use(embedders: Embedders, name: str) -> None:
    with embedders.borrow(name, ref(name)) as embedder:
        assert embedder.backbone.ref == ref(name)


def test_a_backbone_is_loaded_once(house: House) -> None:
    embedders = Embedders(house.load)
    with embedders.borrow("a") as by_name, embedders.borrow("a", ref("a")) as by_hash:
        assert by_name is by_hash
    use(embedders, "a")
    assert (house.loaded, house.closed) == (["a"], [])


def test_two_are_held_and_the_one_not_used_for_longest_is_unloaded(house: House) -> None:
    embedders = Embedders(house.load)
    for name in "abac":
        use(embedders, name)
    assert (house.loaded, house.closed) == (["a", "b", "c"], ["b"])


def test_one_in_use_is_never_unloaded(house: House) -> None:
    embedders = Embedders(house.load)
    with embedders.borrow("a", ref("a")), embedders.borrow("b", ref("b")):
        use(embedders, "c")
        assert house.closed == ["c"]
    use(embedders, "d")
    assert "d" not in house.closed
    assert len(embedders.all()) == 2


def test_work_on_the_old_backbone_goes_on_while_the_new_one_is_loaded(house: House) -> None:
    loading, may_end = threading.Event(), threading.Event()

    def load(name: str, expected: BackboneRef | None, tuned: object) -> Embedder:
        if name == "b":
            loading.set()
            assert may_end.wait(TIMEOUT_S)
        return house.load(name, expected, tuned)

    embedders = Embedders(load)
    use(embedders, "a")
    with ThreadPoolExecutor(1) as pool:
        switched = pool.submit(use, embedders, "b")
        assert loading.wait(TIMEOUT_S)
        use(embedders, "a")
        may_end.set()
        switched.result(TIMEOUT_S)
    assert house.loaded == ["a", "b"]


def test_a_backbone_that_cannot_be_loaded_is_tried_again(house: House) -> None:
    def load(name: str, expected: BackboneRef | None, tuned: object) -> Embedder:
        if not house.loaded:
            house.loaded.append("nothing")
            raise WeightsError("not there yet")
        return house.load(name, expected, tuned)

    embedders = Embedders(load)
    with pytest.raises(WeightsError):
        use(embedders, "a")
    use(embedders, "a")
    assert house.loaded == ["nothing", "a"]


def test_closing_closes_all(house: House) -> None:
    embedders = Embedders(house.load)
    for name in "ab":
        use(embedders, name)
    embedders.close(drain=False)
    assert sorted(house.closed) == ["a", "b"]
