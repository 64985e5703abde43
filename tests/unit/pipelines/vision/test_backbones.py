import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from pipelines.vision import weights
from pipelines.vision.architectures import build_network
from pipelines.vision.backbones import Backbone, load_backbone, pick_device, resolve_backbone
from pipelines.vision.decode import PhotoLimits, decode_photo
from schemas.errors import UsageError, WeightsError
from tests.unit.pipelines.vision import drawing

ROOT = Path(__file__).parents[4]
DATA = ROOT / "../shared/data/photos"
LIMITS = PhotoLimits(max_bytes=10_000_000, max_pixels=20_000_000)
TINY = "test_resnet"
"""A timm model of 0.5 million parameters, which wants photos of 160 pixels."""


@pytest.fixture(scope="module")
def lite0(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backbone]:
    folder = tmp_path_factory.mktemp("weights")
    backbone = load_backbone("efficientnet_lite0", device="cpu", weights_dir=folder)
    yield backbone
    backbone.close()


def photos(count: int, side: int = 224) -> NDArray[np.uint8]:
    images = [drawing.textured((side, side), seed=seed) for seed in range(count)]
    return np.stack([np.asarray(image) for image in images])


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return done.stdout.strip()


def test_lite0_gives_a_float32_vector_of_1280_a_photo(lite0: Backbone) -> None:
    vectors = lite0.embed(photos(3))
    assert vectors.shape == (3, 1280)
    assert vectors.dtype == np.float32
    assert lite0.ref.width == 1280
    assert np.isfinite(vectors).all()


def test_lite0_repeats_its_vectors_to_the_bit(lite0: Backbone, tmp_path: Path) -> None:
    again = load_backbone("efficientnet_lite0", device="cpu", weights_dir=tmp_path)
    assert (lite0.embed(photos(2)) == again.embed(photos(2))).all()


def test_a_photos_vector_does_not_depend_on_its_batch(lite0: Backbone) -> None:
    batch = photos(5)
    together = lite0.embed(batch)
    alone = np.concatenate([lite0.embed(batch[at : at + 1]) for at in range(5)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)


def test_a_read_only_or_strided_batch_gives_the_same_vectors(lite0: Backbone) -> None:
    batch = photos(2)
    expected = lite0.embed(batch)
    mirrored = np.ascontiguousarray(batch[:, :, ::-1])
    mirrored.flags.writeable = False
    assert (lite0.embed(mirrored[:, :, ::-1]) == expected).all()


def test_embedding_leaves_the_photos_as_they_were(lite0: Backbone) -> None:
    batch = photos(2)
    before = batch.copy()
    lite0.embed(batch)
    assert (batch == before).all()


def test_an_empty_batch_gives_no_vectors(lite0: Backbone) -> None:
    assert lite0.embed(photos(1)[:0]).shape == (0, 1280)


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((1, 224, 224, 3), np.float32),
        np.zeros((1, 3, 224, 224), np.uint8),
        np.zeros((224, 224, 3), np.uint8),
    ],
)
def test_a_batch_of_another_kind_is_refused(lite0: Backbone, batch: NDArray[np.uint8]) -> None:
    with pytest.raises(UsageError, match=r"\(n, 224, 224, 3\) uint8"):
        lite0.embed(batch)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the shared photos beside the checkout")
def test_lite0_tells_real_photos_of_different_categories_apart(lite0: Backbone) -> None:
    folders = sorted(path for path in DATA.iterdir() if path.is_dir() and path.name != "otra")
    paths = [path for folder in folders for path in sorted(folder.rglob("*.jpg"))[:6]]
    names = np.array([path.relative_to(DATA).parts[0] for path in paths])
    batch = [decode_photo(path.read_bytes(), lite0.transform, LIMITS) for path in paths]
    vectors = lite0.embed(np.stack(batch))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -1)
    # Measured: 0.76; with random weights 0.19 to 0.38, by chance 0.14.
    assert (names[similar.argmax(axis=1)] == names).mean() > 0.5


def test_the_hash_is_the_same_in_another_process_that_never_loads_torch(
    lite0: Backbone, tmp_path: Path
) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from pipelines.vision.backbones import resolve_backbone;"
        "from pipelines.vision.weights import weights_status;"
        f"weights_status(Path({str(tmp_path)!r}));"
        f"spec = resolve_backbone('efficientnet_lite0', weights_dir=Path({str(tmp_path)!r}));"
        "print(spec.ref.hash, 'torch' in sys.modules)"
    )
    assert run_python(code) == f"{lite0.ref.hash} False"


def test_the_hash_covers_name_weights_and_seed(tmp_path: Path) -> None:
    def random_hash(name: str, seed: int) -> str:
        spec = resolve_backbone(name, weights_dir=tmp_path, weights="random", seed=seed)
        return spec.ref.hash

    real = resolve_backbone("efficientnet_lite0", weights_dir=tmp_path).ref.hash
    hashes = [
        real,
        random_hash("efficientnet_lite0", 0),
        random_hash("efficientnet_lite0", 1),
        random_hash("resnet18", 0),
        random_hash("resnet34", 0),
    ]
    assert len(set(hashes)) == 5
    assert random_hash("resnet18", 0) == hashes[3]


def test_random_weights_follow_their_seed_and_leave_torchs_own_alone(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    vectors = [
        load_backbone(
            "resnet18", device="cpu", weights_dir=tmp_path, weights="random", seed=seed
        ).embed(photos(1))
        for seed in (1, 1, 2)
    ]
    assert (vectors[0] == vectors[1]).all()
    assert not (vectors[0] == vectors[2]).all()
    assert (torch.random.get_rng_state() == before).all()


@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_resnets_give_512_and_want_imagenets_normalisation(name: str, tmp_path: Path) -> None:
    backbone = load_backbone(name, device="cpu", weights_dir=tmp_path, weights="random")
    assert backbone.embed(photos(1)).shape == (1, backbone.ref.width) == (1, 512)
    assert backbone.transform.mean == (0.485, 0.456, 0.406)
    assert backbone.transform.std == (0.229, 0.224, 0.225)
    assert (backbone.transform.size, backbone.transform.interpolation) == (224, "bilinear")


def test_a_resnet_file_fills_the_network_and_pixels_are_normalised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision

    torch.manual_seed(7)
    whole = torchvision.models.resnet18(weights=None).eval()
    torch.save(whole.state_dict(), tmp_path / "x.pth")
    name = f"resnet18-{weights.hash_file(tmp_path / 'x.pth')[:8]}.pth"
    (tmp_path / "x.pth").rename(tmp_path / name)
    monkeypatch.setitem(weights.TORCHVISION_FILES, "resnet18", name)

    backbone = load_backbone("resnet18", device="cpu", weights_dir=tmp_path)
    scaled = torch.from_numpy(photos(2)).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    whole.fc = torch.nn.Identity()
    with torch.inference_mode():
        expected = whole((scaled - mean.view(3, 1, 1)) / std.view(3, 1, 1)).numpy()
    np.testing.assert_allclose(backbone.embed(photos(2)), expected, rtol=1e-3, atol=1e-4)
    assert weights.weights_status(tmp_path)[1].state == "present"


def test_a_tampered_resnet_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "resnet34-b627a593.pth").write_bytes(b"not the weights that the name promises")
    with pytest.raises(WeightsError, match="damaged or altered"):
        load_backbone("resnet34", device="cpu", weights_dir=tmp_path)


def test_without_internet_the_missing_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from urllib.error import URLError

    def fail(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(WeightsError) as missing:
        load_backbone("resnet34", device="cpu", weights_dir=tmp_path / "new")
    for part in ("resnet34-b627a593.pth", str(tmp_path / "new"), "no route to host"):
        assert part in str(missing.value)


def test_a_download_is_checked_and_kept_for_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def deliver(url: str, dst: str, hash_prefix: str, *, progress: bool) -> None:
        asked.append((url.rsplit("/", maxsplit=1)[-1], hash_prefix))
        Path(dst).write_bytes(b"damaged on its way")

    monkeypatch.setattr(torch.hub, "download_url_to_file", deliver)
    for _ in range(2):
        with pytest.raises(WeightsError, match="damaged"):
            resolve_backbone("resnet18", weights_dir=tmp_path)
    assert asked == [("resnet18-f37072fd.pth", "f37072fd")]


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("resnet43", "resnet34"),
        ("efficientnet_lite_0", "efficientnet_lite0"),
        ("hf-hub:someone/something", "efficientnet_lite0"),
        ("local-dir:/somewhere", "efficientnet_lite0"),
        ("resnet18.a1/../../x", "resnet18"),
        ("", "resnet34"),
    ],
)
def test_an_unknown_name_is_refused_with_close_ones(
    name: str, suggestion: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=suggestion):
        resolve_backbone(name, weights_dir=tmp_path)


def test_an_unknown_tag_of_a_timm_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nope"):
        resolve_backbone("resnet50.nope", weights_dir=tmp_path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_timm_model_is_filled_from_a_local_file(suffix: str, tmp_path: Path) -> None:
    model = build_network(TINY, seed=5).eval()
    state = model.state_dict() | {"fc.weight": torch.zeros(9, 96), "fc.bias": torch.zeros(9)}
    path = tmp_path / f"{TINY}{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    backbone = load_backbone(TINY, device="cpu", weights_dir=tmp_path)
    assert backbone.transform.size == 160
    with torch.inference_mode():
        scaled = torch.from_numpy(photos(2, 160)).permute(0, 3, 1, 2) / 127.5 - 1
        expected = model(scaled).numpy()
    vectors = backbone.embed(photos(2, 160))
    assert vectors.shape == (2, backbone.ref.width)
    np.testing.assert_allclose(vectors, expected, rtol=1e-3, atol=1e-4)


def test_a_file_that_lacks_tensors_is_refused(tmp_path: Path) -> None:
    state = build_network(TINY, seed=5).state_dict()
    lost = next(key for key in state if key.endswith("conv1.weight"))
    del state[lost]
    save_file(state, tmp_path / f"{TINY}.safetensors")
    with pytest.raises(WeightsError, match=rf"1 tensors are missing \({lost}\)"):
        load_backbone(TINY, device="cpu", weights_dir=tmp_path)


def test_a_file_with_tensors_of_another_network_is_refused(tmp_path: Path) -> None:
    state = build_network(TINY, seed=5).state_dict() | {"stranger": torch.zeros(1)}
    save_file(state, tmp_path / f"{TINY}.safetensors")
    with pytest.raises(WeightsError, match="stranger"):
        load_backbone(TINY, device="cpu", weights_dir=tmp_path)


def test_a_file_with_tensors_of_another_shape_is_refused(tmp_path: Path) -> None:
    state = build_network(TINY, seed=5).state_dict()
    state["conv1.0.weight"] = torch.zeros(1, 1, 1, 1)
    save_file(state, tmp_path / f"{TINY}.safetensors")
    with pytest.raises(WeightsError, match="does not fit"):
        load_backbone(TINY, device="cpu", weights_dir=tmp_path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_that_is_no_weights_is_refused(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"{TINY}{suffix}").write_bytes(b"rubbish")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_backbone(TINY, device="cpu", weights_dir=tmp_path)


def test_a_pth_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"model": Path("x")}, tmp_path / f"{TINY}.pth")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_backbone(TINY, device="cpu", weights_dir=tmp_path)


def test_a_timm_model_without_its_weights_says_what_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm

    create = timm.create_model

    def offline(name: str, *, pretrained: bool, num_classes: int) -> object:
        if pretrained:
            raise OSError("no route to host")
        return create(name, pretrained=False, num_classes=num_classes)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(WeightsError, match=rf"no route to host.*{TINY}\.safetensors"):
        load_backbone(TINY, device="cpu", weights_dir=tmp_path)


def test_what_timm_downloads_is_kept_as_a_local_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm

    create = timm.create_model
    downloads: list[str] = []

    def deliver(name: str, *, pretrained: bool, num_classes: int) -> object:
        if pretrained:
            downloads.append(name)
        return create(name, pretrained=False, num_classes=num_classes)

    monkeypatch.setattr(timm, "create_model", deliver)
    first = load_backbone(TINY, device="cpu", weights_dir=tmp_path)
    again = load_backbone(TINY, device="cpu", weights_dir=tmp_path)
    assert downloads == [TINY]
    assert [path.name for path in tmp_path.iterdir()] == [f"{TINY}.safetensors"]
    assert first.ref == again.ref
    assert (first.embed(photos(1, 160)) == again.embed(photos(1, 160))).all()


def test_a_closed_backbone_embeds_no_more(tmp_path: Path) -> None:
    backbone = load_backbone(TINY, device="cpu", weights_dir=tmp_path, weights="random")
    backbone.close()
    backbone.close()
    with pytest.raises(UsageError, match="closed"):
        backbone.embed(photos(1, 160))


def test_doctor_learns_which_weights_are_there(tmp_path: Path) -> None:
    (tmp_path / "resnet18-f37072fd.pth").write_bytes(b"damaged")
    states = {status.name: status for status in weights.weights_status(tmp_path)}
    assert states["efficientnet_lite0"].state == "packaged"
    assert states["resnet34"].state == "missing"
    assert "resnet34-b627a593.pth" in states["resnet34"].detail
    assert states["resnet18"].state == "missing"
    assert "damaged" in states["resnet18"].detail


def test_the_first_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for count, device in ((0, "cpu"), (2, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda n=count: n > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda n=count: n)
        assert pick_device("auto") == device
        assert pick_device("cpu") == "cpu"


@pytest.mark.parametrize("wanted", ["gpu", "cuda:", "cuda:x", "CUDA", ""])
def test_an_unknown_device_is_refused(wanted: str) -> None:
    with pytest.raises(UsageError, match="AFIN_DEVICE"):
        pick_device(wanted)


@pytest.mark.parametrize(("wanted", "count"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_a_gpu_that_is_not_there_is_refused(
    wanted: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(UsageError, match=rf"no device {wanted} .*used: {count}\)"):
        pick_device(wanted)
