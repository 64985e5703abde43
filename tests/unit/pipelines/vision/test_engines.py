"""Which engine computes, and that each is true to torch in float32."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipelines.vision import devices, engines
from pipelines.vision.backbones import Backbone, Weights, load_backbone, resolve_backbone
from pipelines.vision.decode import PhotoTransform
from pipelines.vision.engines import (
    NUMERICS,
    TorchEngine,
    fuse_batch_norms,
    has_openvino,
    pick_engine,
)
from pipelines.vision.probe import find_batch_size
from schemas.bundles import BackboneRef
from schemas.errors import UsageError, WeightsError
from tests.unit.pipelines.vision import drawing

LITE0, RESNET = "efficientnet_lite0", "resnet18"


@pytest.fixture
def photos() -> NDArray[np.uint8]:
    return np.stack([np.asarray(drawing.textured((224, 224), seed=seed)) for seed in range(4)])


def has(monkeypatch: pytest.MonkeyPatch, *flags: str, gain: float = 1.0) -> None:
    monkeypatch.setattr(devices, "_cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(devices, "_cpu_gain", lambda: gain)


@pytest.fixture
def fast_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, "avx512_bf16", gain=2.0)


@pytest.fixture
def no_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "has_openvino", lambda: False)


def test_a_cpu_that_bf16_makes_faster_computes_new_models_in_it(
    fast_bf16: None, no_openvino: None
) -> None:
    assert pick_engine(RESNET, "auto", "cpu") == "torch-bf16"


def test_a_network_that_bf16_would_harm_stays_in_float32(fast_bf16: None) -> None:
    assert NUMERICS[pick_engine(LITE0, "auto", "cpu")] == "fp32"
    with pytest.raises(UsageError, match="bfloat16"):
        pick_engine(LITE0, "torch-bf16", "cpu")


@pytest.mark.parametrize(
    ("flags", "gain"),
    [(("avx512_bf16",), 0.74), (("avx512f",), 2.0)],
    ids=["slower in bf16", "no instructions for it"],
)
def test_any_other_cpu_stays_in_float32(
    flags: tuple[str, ...], gain: float, no_openvino: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, *flags, gain=gain)
    assert pick_engine(RESNET, "auto", "cpu") == "torch"


def test_a_trial_tells_how_much_faster_bf16_is() -> None:
    # How much depends on the machine; at least it ends, and is no guess.
    assert 0.01 < devices._cpu_gain() < 100


def test_openvino_is_taken_by_itself_on_a_cpu(
    fast_bf16: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "has_openvino", lambda: True)
    assert pick_engine(RESNET, "auto", "cpu") == "openvino-bf16"
    assert pick_engine(LITE0, "auto", "cpu") == "openvino"
    assert pick_engine(RESNET, "torch", "cpu", "bf16") == "openvino-bf16"


def test_the_numbers_of_a_bundle_go_before_what_is_wanted(
    fast_bf16: None, no_openvino: None
) -> None:
    assert pick_engine(RESNET, "auto", "cpu", "fp32") == "torch"
    assert pick_engine(RESNET, "torch", "cpu", "bf16") == "torch-bf16"
    assert pick_engine(RESNET, "torch-bf16", "cpu", "bf16") == "torch-bf16"


@pytest.mark.parametrize(
    ("wanted", "device", "error"),
    [
        ("tensorrt", "cpu", UsageError),
        ("openvino", "cuda", UsageError),
        ("openvino-bf16", "cpu", WeightsError),
    ],
)
def test_an_engine_that_cannot_compute_here_is_refused(
    wanted: str, device: str, error: type[Exception], no_openvino: None
) -> None:
    with pytest.raises(error, match="AFIN_ENGINE"):
        pick_engine(RESNET, wanted, device)


def test_only_the_numerics_change_the_hash(tmp_path: Path) -> None:
    hashes = {
        engine: resolve_backbone(LITE0, weights_dir=tmp_path, engine=engine).ref.hash
        for engine in NUMERICS
    }
    assert hashes["torch"] == hashes["openvino"]
    assert hashes["torch-bf16"] == hashes["openvino-bf16"]
    assert len(set(hashes.values())) == 2


def test_a_backbone_is_loaded_with_an_engine_that_gives_the_expected_vectors(
    tmp_path: Path, no_openvino: None
) -> None:
    def load(expected: BackboneRef) -> Backbone:
        return load_backbone(
            RESNET, device="cpu", weights_dir=tmp_path, weights="random", expected=expected
        )

    wanted = resolve_backbone(
        RESNET, weights_dir=tmp_path, weights="random", engine="torch-bf16"
    ).ref
    backbone = load(wanted)
    assert (backbone.engine, backbone.ref) == ("torch-bf16", wanted)
    with pytest.raises(WeightsError, match="not those the bundle was trained with"):
        load(wanted.model_copy(update={"hash": "0" * 16}))


NEEDS_OPENVINO = pytest.mark.skipif(not has_openvino(), reason="needs the extra openvino")


@pytest.mark.parametrize(
    ("name", "engine", "beside", "least"),
    [
        (RESNET, "torch-bf16", "torch", 0.999),
        pytest.param(LITE0, "openvino", "torch", 0.999999, marks=NEEDS_OPENVINO),
        pytest.param(RESNET, "openvino-bf16", "torch", 0.999, marks=NEEDS_OPENVINO),
        pytest.param(RESNET, "openvino-bf16", "torch-bf16", 0.99999, marks=NEEDS_OPENVINO),
    ],
)
# OpenVINO traces networks with parts of torch that are deprecated.
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_every_engine_keeps_close_to_float32_and_to_others_of_its_kind(
    name: str, engine: str, beside: str, least: float, photos: NDArray[np.uint8], tmp_path: Path
) -> None:
    def embed(engine: str) -> NDArray[np.float32]:
        weights: Weights = "random" if name == RESNET else "pretrained"
        return load_backbone(
            name, device="cpu", weights_dir=tmp_path, weights=weights, engine=engine
        ).embed(photos)

    exact, vectors = embed(beside), embed(engine)
    norms = np.linalg.norm(exact, axis=1) * np.linalg.norm(vectors, axis=1)
    assert ((exact * vectors).sum(axis=1) / norms).min() >= least


def test_forwards_side_by_side_are_all_launched_without_tf32() -> None:
    transform = PhotoTransform(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    engine = TorchEngine(torch.nn.Identity(), transform, "cpu", bf16=False)
    engine._device = "cuda"  # its flags can be set without a GPU
    before = torch.backends.cudnn.allow_tf32

    def launch(_number: int) -> bool:
        with engine._exactly():
            threading.Event().wait(0.0001)  # lets the others in, if they may
            return torch.backends.cudnn.allow_tf32

    torch.backends.cudnn.allow_tf32 = True
    try:
        with ThreadPoolExecutor(4) as pool:
            assert not any(pool.map(launch, range(200)))
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32 = before


def test_a_tensor_that_lies_on_the_device_is_embedded_as_its_photos_are(
    photos: NDArray[np.uint8], tmp_path: Path
) -> None:
    backbone = load_backbone(RESNET, device="cpu", weights_dir=tmp_path, weights="random")
    assert (backbone.embed(torch.from_numpy(photos)) == backbone.embed(photos)).all()
    with pytest.raises(UsageError):
        backbone.embed(torch.from_numpy(photos).float())


def test_batch_norms_are_folded_in_where_that_changes_nothing() -> None:
    def build(*, swapped: bool) -> torch.nn.Module:
        class Block(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv = torch.nn.Conv2d(3, 3, 3)
                self.norm = torch.nn.BatchNorm2d(3)
                self.norm.running_mean = torch.tensor([0.5, -1.0, 2.0])

            def forward(self, photo: torch.Tensor) -> torch.Tensor:
                first, second = (self.norm, self.conv) if swapped else (self.conv, self.norm)
                vectors: torch.Tensor = second(first(photo)).mean(dim=(2, 3))
                return vectors

        return Block().eval()

    straight, odd = build(swapped=False), build(swapped=True)
    assert isinstance(fuse_batch_norms(straight, 8).norm, torch.nn.Identity)
    assert fuse_batch_norms(odd, 8) is odd


def test_a_batch_that_memory_has_no_room_for_is_halved() -> None:
    def small(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        if len(batch) > 20:
            raise MemoryError
        return np.zeros((len(batch), 1), np.float32)

    assert find_batch_size(small, 4, largest=64) <= 16


def test_a_slow_device_is_tried_once_only() -> None:
    sizes: list[int] = []

    def note(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        sizes.append(len(batch))
        return np.zeros((len(batch), 1), np.float32)

    assert find_batch_size(note, 4, largest=64, longest_s=0.0) == 8
    assert sizes == [8, 8]
