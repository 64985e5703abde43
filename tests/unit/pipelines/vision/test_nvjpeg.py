"""The device's decoder, run on the CPU: every line of it but the device's name."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import torch
from numpy.typing import NDArray

from pipelines.vision import backbones, decoder_proof, nvjpeg
from pipelines.vision.backbones import load_backbone, resolve_backbone
from pipelines.vision.batcher import Batcher
from pipelines.vision.decode import PhotoLimits, PhotoTransform, decode_photo
from pipelines.vision.decoder_proof import open_decoder
from pipelines.vision.engines import build_engine
from pipelines.vision.nvjpeg import DeviceDecoder, Jpeg, Photo, accept_jpeg
from pipelines.vision.signatures import is_baseline_jpeg
from schemas.errors import PhotoError
from tests.unit.pipelines.vision import drawing

LIMITS = PhotoLimits(max_bytes=10_000_000, max_pixels=20_000_000)
TRANSFORM = PhotoTransform(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
REPEATED = TRANSFORM.model_copy(update={"colours": "repeated"})
TIMEOUT_S = 20.0
NONE = 1e-9
"""Threads of a CPU so weak that any device is faster."""

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torchvision")


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode but one photo by the clock."""
    monkeypatch.setattr(decoder_proof, "TIMED", 1)


def repeat_colours(data: list[torch.Tensor], _device: str) -> list[torch.Tensor]:
    """Decode as nvJPEG does: colours stored coarser are repeated."""
    return [
        torch.from_numpy(
            simplejpeg.decode_jpeg(bytes(one.numpy()), colorspace="RGB", fastupsample=True)
        ).permute(2, 0, 1)
        for one in data
    ]


def embed(batch: Any) -> NDArray[np.float32]:
    """Give mean colours of sixteen parts as a vector; a turned photo has another."""
    photos = np.asarray(batch, np.float32)[:, :224, :224]
    parts = photos.reshape(len(photos), 4, 56, 4, 56, 3).mean(axis=(2, 4))
    return np.asarray(parts.reshape(len(photos), -1) - 128, np.float32)


def accept(data: bytes) -> Jpeg:
    jpeg = accept_jpeg(data, LIMITS)
    assert jpeg is not None
    return jpeg


def there(decoder: DeviceDecoder, *photos: Photo) -> NDArray[np.int16]:
    return decoder.gather(photos).numpy().astype(np.int16)


def draw(size: tuple[int, int] = (300, 200), seed: int = 0, **options: object) -> bytes:
    return drawing.save(drawing.textured(size, seed), "JPEG", **options)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("size", [(301, 203), (203, 301), (97, 131), (640, 480)])
def test_pixels_are_those_of_the_cpu_to_the_rounding(
    size: tuple[int, int], subsampling: int, interpolation: str
) -> None:
    data = draw(size, subsampling=subsampling)
    for transform, decode in ((TRANSFORM, None), (REPEATED, repeat_colours)):
        own = transform.model_copy(update={"interpolation": interpolation})
        found = there(DeviceDecoder(own, "cpu", decode=decode), accept(data))[0]
        off = np.abs(found - decode_photo(data, own, LIMITS))
        assert (off.max() <= 3, off.mean() < 0.05) == (True, True)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(orientation: int) -> None:
    data = drawing.exif_rotated(orientation)
    assert accept(data).orientation == orientation
    found = there(DeviceDecoder(TRANSFORM, "cpu"), accept(data))[0]
    assert np.abs(found - decode_photo(data, TRANSFORM, LIMITS)).mean() < 0.05


def test_a_blemish_does_not_change_which_colours_a_photo_gets() -> None:
    data = draw(subsampling=2, seed=3)
    blemished = data[:-2] + bytes(4) + data[-2:]
    for transform in (TRANSFORM, REPEATED):
        clean = decode_photo(data, transform, LIMITS)
        np.testing.assert_array_equal(decode_photo(blemished, transform, LIMITS), clean)
    assert (decode_photo(data, TRANSFORM, LIMITS) != decode_photo(data, REPEATED, LIMITS)).any()


def test_a_grey_photo_has_three_equal_channels() -> None:
    data = drawing.SOUND["grey jpeg"]()
    found = there(DeviceDecoder(TRANSFORM, "cpu"), accept(data))[0]
    assert np.abs(found - decode_photo(data, TRANSFORM, LIMITS)).mean() < 0.05


@pytest.mark.parametrize(
    "name", [name for name in drawing.SOUND if name not in {"jpeg", "grey jpeg", "rotated jpeg"}]
)
def test_what_no_hardware_decodes_is_left_to_the_cpu(name: str) -> None:
    assert accept_jpeg(drawing.SOUND[name](), LIMITS) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xff\xff\xff",
        draw()[:-100],
        draw()[:40],
        draw((2000, 100)),
        draw((7, 7)),
    ],
)
def test_what_is_broken_or_odd_is_left_to_the_cpu(data: bytes) -> None:
    assert accept_jpeg(data, LIMITS) is None


def test_limits_hold_before_a_pixel_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = draw((300, 200))
    assert accept_jpeg(data, LIMITS) is not None
    assert accept_jpeg(data, LIMITS.model_copy(update={"max_pixels": 59_999})) is None
    assert accept_jpeg(data, LIMITS.model_copy(update={"max_bytes": 100})) is None
    monkeypatch.setattr(nvjpeg, "LARGEST_PIXELS", 59_999)
    assert accept_jpeg(data, LIMITS) is None


def test_fill_bytes_before_a_marker_are_skipped() -> None:
    data = draw()
    assert is_baseline_jpeg(data[:2] + b"\xff\xff" + data[2:])
    assert not is_baseline_jpeg(draw(progressive=True))


def test_a_batch_keeps_its_order_whoever_decoded_what() -> None:
    photos = [draw((300, 200), 1), draw((200, 300), 2), draw((300, 200), 3), draw((300, 200), 4)]
    expected = np.stack([decode_photo(data, TRANSFORM, LIMITS) for data in photos])
    mixed = [accept(photos[0]), expected[1], accept(photos[2]), accept(photos[3])]
    found = there(DeviceDecoder(TRANSFORM, "cpu"), *mixed)
    assert (np.abs(found - expected).mean(axis=(1, 2, 3)) < 0.05).all()


class Picky:
    """A decoder that refuses whole lists, for one of them or for their number."""

    def __init__(self, refused: bytes = b"", most: int = 1000) -> None:
        self.refused, self.most = refused, most
        self.counts: list[int] = []

    def __call__(self, data: list[torch.Tensor], device: str) -> list[torch.Tensor]:
        self.counts.append(len(data))
        if len(data) > self.most:
            raise torch.OutOfMemoryError("full")
        if any(bytes(one.numpy()) == self.refused for one in data):
            raise RuntimeError("Error while decoding JPEG images")
        return nvjpeg._load_torchvision()(data, device)


def test_a_photo_that_the_device_refuses_is_decoded_by_the_cpu_and_hurts_no_other() -> None:
    photos = [draw(seed=seed) for seed in range(5)]
    picky = Picky(refused=photos[3])
    found = there(DeviceDecoder(TRANSFORM, "cpu", decode=picky), *map(accept, photos))
    expected = np.stack([decode_photo(data, TRANSFORM, LIMITS) for data in photos])
    assert (np.abs(found - expected).mean(axis=(1, 2, 3)) < 0.05).all()
    assert (found[3] == expected[3]).all()
    assert picky.counts == [5, 3, 2, 1, 1]


def test_exhausted_memory_halves_what_is_decoded_at_once_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nvjpeg, "PIXELS_AT_ONCE", 4 * 300 * 200)
    photos = [accept(draw(seed=seed)) for seed in range(8)]
    picky = Picky(most=2)
    decoder = DeviceDecoder(TRANSFORM, "cpu", decode=picky)
    decoder.gather(photos)
    assert picky.counts == [4, 2, 2, 2, 2]
    picky.counts.clear()
    decoder.gather(photos)
    assert picky.counts == [2, 2, 2, 2]


def test_one_photo_that_memory_has_no_room_for_goes_to_the_cpu_and_changes_nothing() -> None:
    data = draw()
    picky = Picky(most=0)
    decoder = DeviceDecoder(TRANSFORM, "cpu", decode=picky)
    assert (there(decoder, accept(data))[0] == decode_photo(data, TRANSFORM, LIMITS)).all()
    picky.most = 1000
    decoder.gather([accept(data)] * 4)
    assert picky.counts == [1, 4]


def test_a_decoder_that_gives_another_size_is_not_believed() -> None:
    def halve(data: list[torch.Tensor], device: str) -> list[torch.Tensor]:
        return [one[:, ::2] for one in nvjpeg._load_torchvision()(data, device)]

    data = draw()
    found = there(DeviceDecoder(TRANSFORM, "cpu", decode=halve), accept(data))[0]
    assert (found == decode_photo(data, TRANSFORM, LIMITS)).all()


def test_a_broken_photo_among_others_gets_the_cpus_reason_and_hurts_no_other() -> None:
    # Header and end are sound, but a table is missing: only decoding tells.
    broken = draw().replace(b"\xff\xdb", b"\xff\xe5")
    with pytest.raises(PhotoError) as alone:
        decode_photo(broken, TRANSFORM, LIMITS)
    picky = Picky(refused=broken)
    decoder = DeviceDecoder(TRANSFORM, "cpu", decode=picky)
    photos = [accept(draw(seed=1)), accept(broken), accept(draw(seed=2))]
    with Batcher(
        embed, batch_size=3, wait_s=TIMEOUT_S, max_pending=3, gather=decoder.gather
    ) as batcher:
        futures = [batcher.submit(photo) for photo in photos]
        error = futures[1].exception(TIMEOUT_S)
        assert isinstance(error, PhotoError)
        assert error.reason == alone.value.reason
        assert futures[0].result(TIMEOUT_S).shape == futures[2].result(TIMEOUT_S).shape == (48,)


def test_a_decoder_that_repeats_colours_proves_itself_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    assert open_decoder(REPEATED, "cpu", embed, threads=NONE, decode=repeat_colours) is not None
    assert open_decoder(TRANSFORM, "cpu", embed, threads=NONE) is not None
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]


def upside_down(data: list[torch.Tensor], device: str) -> list[torch.Tensor]:
    return [one.flip(-2) for one in repeat_colours(data, device)]


def shifted(data: list[torch.Tensor], device: str) -> list[torch.Tensor]:
    return [one.roll(1, -1) for one in repeat_colours(data, device)]


def smooth(data: list[torch.Tensor], device: str) -> list[torch.Tensor]:
    return nvjpeg._load_torchvision()(data, device)


def absent(_data: list[torch.Tensor], _device: str) -> list[torch.Tensor]:
    raise RuntimeError("torchvision not compiled with nvJPEG support")


@pytest.mark.parametrize("decode", [upside_down, shifted, smooth, absent])
def test_a_decoder_that_fails_or_gives_other_pixels_is_not_used_and_one_line_says_so(
    decode: nvjpeg.Decode, caplog: pytest.LogCaptureFixture
) -> None:
    assert open_decoder(REPEATED, "cpu", embed, threads=NONE, decode=decode) is None
    assert len(caplog.records) == 1
    assert "photos are decoded on the CPU" in caplog.text


def test_a_decoder_whose_vectors_fall_below_the_gate_is_not_used() -> None:
    calls = []

    def unsteady(batch: Any) -> NDArray[np.float32]:
        calls.append(1)
        vectors = embed(batch)
        vectors[0] += 0 if len(calls) == 1 else vectors[0, ::-1] * 0.1
        return vectors

    assert open_decoder(REPEATED, "cpu", unsteady, threads=NONE, decode=repeat_colours) is None


def test_a_device_that_is_slower_than_all_cores_is_not_used(
    caplog: pytest.LogCaptureFixture,
) -> None:
    decoder = open_decoder(REPEATED, "cpu", embed, threads=10**6, decode=repeat_colours)
    assert decoder is None
    assert "times as fast" in caplog.text


def test_repeated_colours_are_other_pixels_and_have_a_key_of_their_own(tmp_path: Path) -> None:
    data = draw((97, 131), subsampling=2)
    ways = [decode_photo(data, way, LIMITS).astype(np.int16) for way in (TRANSFORM, REPEATED)]
    assert np.abs(ways[0] - ways[1]).max() > 3
    specs = [
        resolve_backbone("resnet18", weights_dir=tmp_path, weights="random", colours=colours)
        for colours in ("smooth", "repeated")
    ]
    assert specs[0].ref.hash != specs[1].ref.hash
    assert [spec.transform.colours for spec in specs] == ["smooth", "repeated"]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the machine seem to have a GPU, whose work is done by the CPU; notes what is opened."""
    opened = []

    def build(engine: str, model: Any, transform: Any, _device: str) -> Any:
        return build_engine(engine, model, transform, "cpu")

    def open_one(
        transform: PhotoTransform, device: str, embed: Any, *, threads: int
    ) -> DeviceDecoder | None:
        assert threads >= 1
        opened.append(device)
        return open_decoder(transform, "cpu", embed, threads=NONE, decode=repeat_colours)

    monkeypatch.setattr(backbones, "pick_device", lambda _wanted: "cuda")
    monkeypatch.setattr(backbones, "pick_engine", lambda *_args: "torch")
    monkeypatch.setattr(backbones, "build_engine", build)
    monkeypatch.setattr(backbones, "open_decoder", open_one)
    return opened


def test_a_gpu_decodes_photos_of_new_models_and_of_those_trained_so(
    gpu: list[str], tmp_path: Path
) -> None:
    where: dict[str, Any] = {"weights_dir": tmp_path, "weights": "random", "decoder": "auto"}
    new = load_backbone("resnet18", **where)
    assert new.decoder is not None
    assert new.transform.colours == "repeated"
    again = load_backbone("resnet18", **where, expected=new.ref)
    assert (again.decoder is not None, again.ref) == (True, new.ref)
    old = resolve_backbone("resnet18", weights_dir=tmp_path, weights="random").ref
    plain = load_backbone("resnet18", **where, expected=old)
    assert (plain.decoder, plain.ref, plain.transform.colours) == (None, old, "smooth")
    assert gpu == ["cuda", "cuda"]


def test_where_the_cpu_is_asked_for_it_decodes_what_a_gpus_model_needs(
    gpu: list[str], tmp_path: Path
) -> None:
    where: dict[str, Any] = {"weights_dir": tmp_path, "weights": "random"}
    assert load_backbone("resnet18", **where, decoder="cpu").transform.colours == "smooth"
    ref = resolve_backbone("resnet18", **where, colours="repeated").ref
    backbone = load_backbone("resnet18", **where, decoder="cpu", expected=ref)
    assert (backbone.decoder, backbone.transform.colours) == (None, "repeated")
    assert gpu == []
