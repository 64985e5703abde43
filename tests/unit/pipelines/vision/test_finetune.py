from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from pipelines.vision import finetune
from pipelines.vision.backbones import load_backbone, resolve_backbone
from pipelines.vision.checkpoint import read_history
from pipelines.vision.decode import decode_photo
from pipelines.vision.finetune import FineTuned, Watch, fine_tune, fine_tune_head, split_photos
from pipelines.vision.loading import LabelledPhotos
from pipelines.vision.weights import hash_file
from schemas.bundles import TunedWeights
from schemas.errors import TrainingError, WeightsError
from schemas.finetuning import PRESETS, EpochCurve, FineTuning
from tests.unit.pipelines.vision.coloured import (
    CLASSES,
    LIMITS,
    coloured,
    draw_coloured,
    quick,
    untrained,
)

AUGMENTED = ("crop_share=0.5", "flip=true", "colour=0.2", "warmup_epochs=1")


class KilledError(Exception):
    """Ends a training from outside, as a signal would."""


def train(
    hyper: FineTuning, photos: LabelledPhotos | None = None, *, seed: int = 1, **options: object
) -> FineTuned:
    return fine_tune(
        untrained(),
        photos or coloured(24),
        classes=CLASSES,
        hyper=hyper,
        seed=seed,
        **options,  # type: ignore[arg-type]
    )


def kill_after(epochs: int) -> Watch:
    def look(curve: EpochCurve) -> None:
        if curve.epoch == epochs:
            raise KilledError

    return Watch(on_epoch=look)


def kill_in_step(number: int) -> Watch:
    def look(done: int, _total: int) -> None:
        if done == number:
            raise KilledError

    return Watch(on_step=look)


def assert_same(one: FineTuned, other: FineTuned) -> None:
    assert one.history == other.history
    assert one.body.keys() == other.body.keys()
    for name, array in one.body.items():
        assert np.array_equal(array, other.body[name]), name
    assert np.array_equal(one.weight, other.weight)
    assert np.array_equal(one.bias, other.bias)


@pytest.mark.parametrize(
    "hyper",
    [
        pytest.param(quick(), id="thesis"),
        pytest.param(quick("modern", *AUGMENTED), id="modern"),
        pytest.param(quick("thesis", "step_epochs=1"), id="rate falls at each epoch"),
    ],
)
@pytest.mark.parametrize("killed", [kill_after(2), kill_in_step(5)], ids=["between", "within"])
def test_a_killed_training_ends_in_the_weights_of_an_unbroken_one(
    hyper: FineTuning, killed: Watch, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint"
    with pytest.raises(KilledError):
        train(hyper, checkpoint=checkpoint, watch=killed)
    met: list[int] = []
    # Whatever else draws random numbers in between must not matter.
    torch.rand(7)
    watch = Watch(on_epoch=lambda curve: met.append(curve.epoch))
    resumed = train(hyper, checkpoint=checkpoint, watch=watch)
    assert met[0] > 1
    assert_same(resumed, train(hyper))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    assert_same(train(quick()), train(quick()))
    assert not np.array_equal(train(quick()).weight, train(quick(), seed=2).weight)


@pytest.mark.parametrize(
    "changed",
    [
        lambda path: train(quick("thesis", "rate=0.01"), checkpoint=path),
        lambda path: train(quick(), seed=2, checkpoint=path),
        lambda path: train(quick(), coloured(22), checkpoint=path),
    ],
    ids=["settings", "seed", "photos"],
)
def test_the_checkpoint_of_another_training_is_not_gone_on_with(
    changed: Callable[[Path], FineTuned], tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint"
    train(quick(), checkpoint=path)
    before = read_history(path)
    assert changed(path).history != tuple(before)


def test_a_damaged_checkpoint_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    train(quick(), checkpoint=path)
    path.write_bytes(path.read_bytes()[:-1000])
    assert_same(train(quick(), checkpoint=path), train(quick()))


def test_a_checkpoint_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint"
    with pytest.raises(KilledError):
        train(quick(), checkpoint=path, watch=kill_after(1))

    def refuse(_handle: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("pipelines.vision.checkpoint.os.fsync", refuse)
    with pytest.raises(OSError, match="disk full"):
        train(quick(), checkpoint=path)
    assert [curve.epoch for curve in read_history(path)] == [1]
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint"]


def test_it_learns_to_tell_the_classes_apart() -> None:
    history = train(quick("thesis", "epochs=4")).history
    assert history[-1].train_loss < history[0].train_loss
    assert history[-1].valid_precision == 1.0


def test_every_layer_changes_where_all_are_trained() -> None:
    start = {name: tensor.numpy() for name, tensor in build().items()}
    body = train(quick()).body
    weights = [name for name in body if name.endswith("weight")]
    assert weights
    assert not [name for name in weights if np.array_equal(body[name], start[name])]


def test_only_the_last_layer_changes_where_the_backbone_is_frozen() -> None:
    tuned = train(quick("frozen"))
    for name, tensor in build().items():
        assert np.array_equal(tuned.body[name], tensor.numpy()), name


def build() -> dict[str, torch.Tensor]:
    from pipelines.vision.architectures import build_network

    return build_network("test_resnet", 0).state_dict()


def test_a_photo_that_cannot_be_read_hurts_no_other() -> None:
    tuned = train(quick(), coloured(25, broken=(3, 24)))
    assert tuned.unusable == (3, 24)
    assert tuned.history[-1].valid_precision == 1.0


def test_no_readable_photo_at_all_is_an_error() -> None:
    with pytest.raises(TrainingError, match="None of the photos could be decoded"):
        train(quick(), coloured(10, broken=tuple(range(10))))


def test_a_class_without_photos_is_an_error() -> None:
    with pytest.raises(TrainingError, match="Class 2 has no photo"):
        fine_tune(untrained(), coloured(24), classes=3, hyper=quick(), seed=0)


def test_a_rate_that_is_too_high_is_an_error() -> None:
    with pytest.raises(TrainingError, match="diverged"):
        train(quick("thesis", "rate=1e30"))


def test_an_input_size_that_the_network_refuses_is_an_error() -> None:
    with pytest.raises(TrainingError, match=r"test_vit3 takes no photos of 64 x 64 pixels"):
        fine_tune(
            untrained("test_vit3"),
            coloured(24),
            classes=CLASSES,
            hyper=quick("thesis", "input_size=64"),
            seed=0,
        )


def test_the_random_numbers_of_the_process_are_left_as_they_were() -> None:
    state = torch.random.get_rng_state()
    train(quick())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_best_epoch_is_kept_or_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([(0.5, 1.0), (0.2, 1.0), (0.9, 1.0)] * 2)
    monkeypatch.setattr(finetune, "_score", lambda _course, _unusable: next(losses))
    best, last = train(quick()), train(quick("thesis", "kept=last"))
    assert (best.best_epoch, last.best_epoch) == (2, 3)
    assert not np.array_equal(best.weight, last.weight)


def test_copies_of_one_photo_stay_on_one_side() -> None:
    labels = np.repeat(np.arange(2), 30)
    hashes = [f"photo {row // 3}" for row in range(60)]
    fitted, held = split_photos(hashes, labels, 0.3, 0)
    assert sorted([*fitted, *held]) == list(range(60))
    assert len(held) == 18
    assert not {hashes[row] for row in fitted} & {hashes[row] for row in held}


def test_what_is_held_out_chooses_the_epoch_and_is_never_fitted_on() -> None:
    """The held-out photos have the wrong label: nothing of them may be learnt."""
    photos = coloured(24)
    held = np.arange(24) >= 16
    labels = np.where(held, 1 - photos.labels, photos.labels)
    lying = LabelledPhotos(photos.hashes, labels, photos.read, photos.limits)
    honest = train(quick("thesis", "kept=last"), photos, held=held)
    tuned = train(quick("thesis", "kept=last"), lying, held=held)
    assert (tuned.fitted, tuned.held_out) == (16, 8)
    assert np.array_equal(tuned.weight, honest.weight)
    assert tuned.history[-1].valid_precision == 1 - (honest.history[-1].valid_precision or 0)


def test_a_class_that_is_only_held_out_cannot_be_learnt() -> None:
    photos = coloured(24)
    with pytest.raises(TrainingError, match="Class 1 has no photo to learn from"):
        train(quick(), photos, held=photos.labels == 1)


def test_another_part_held_out_does_not_go_on_from_the_checkpoint(tmp_path: Path) -> None:
    held = np.arange(24) >= 16
    train(quick(), checkpoint=tmp_path / "kept", held=held)
    again = train(quick(), checkpoint=tmp_path / "kept", held=~held)
    assert again.fitted == 8
    assert_same(again, train(quick(), held=~held))


def test_a_step_is_asked_for_before_it_is_taken() -> None:
    calls: list[str] = []
    watch = Watch(lambda: calls.append("ask"), lambda _done, _total: calls.append("step"))
    train(quick(), watch=watch, held=np.zeros(24, np.bool_))
    assert calls == ["ask", "step"] * 9


def test_a_head_on_vectors_learns_what_they_show() -> None:
    labels = np.arange(60, dtype=np.int64) % 3
    vectors = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    vectors[np.arange(60), labels] += 4
    hashes = [str(row) for row in range(60)]
    hyper = PRESETS["frozen"].model_copy(update={"rate": 0.05})
    tuned = fine_tune_head(vectors, hashes, labels, classes=3, hyper=hyper, seed=0)
    assert tuned.body == {}
    assert len(tuned.history) == 15
    right = (vectors @ tuned.weight.T + tuned.bias).argmax(axis=1) == labels
    assert right.mean() > 0.9


def embed_tuned(folder: Path, tuned: FineTuned, name: str) -> tuple[str, NDArray[np.float32]]:
    """Keep fine-tuned weights in a file and embed a photo with them; return hash and vector."""
    path = folder / "tuned.safetensors"
    save_file(tuned.body, path)
    found = (TunedWeights(sha256=hash_file(path), input_size=32), path)
    backbone = load_backbone(name, device="cpu", weights_dir=folder, tuned=found)
    photo = decode_photo(draw_coloured(1), backbone.transform, LIMITS)
    return backbone.ref.hash, backbone.embed(photo[None])[0]


def test_fine_tuned_weights_are_a_backbone_with_a_hash_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, seen = embed_tuned(tmp_path / "a", train(quick()), "test_resnet")
    other, seen_other = embed_tuned(tmp_path / "b", train(quick(), seed=2), "test_resnet")
    assert len({first, other, untrained().ref.hash}) == 3
    assert not np.allclose(seen, seen_other)


def test_the_head_reads_the_vectors_that_the_backbone_gives(tmp_path: Path) -> None:
    tuned = train(quick("thesis", "epochs=4"))
    assert tuned.history[-1].valid_precision == 1.0
    _hash, vector = embed_tuned(tmp_path, tuned, "test_resnet")
    assert (tuned.weight @ vector + tuned.bias).argmax() == 1


def test_packaged_weights_once_fine_tuned_are_loaded_by_name(tmp_path: Path) -> None:
    spec = resolve_backbone("efficientnet_lite0", weights_dir=tmp_path)
    tuned = fine_tune(spec, coloured(8), classes=CLASSES, hyper=quick("thesis", "epochs=1"), seed=0)
    digest, vector = embed_tuned(tmp_path, tuned, "efficientnet_lite0")
    assert digest != spec.ref.hash
    assert vector.shape == (1280,)
    assert np.isfinite(vector).all()


def test_altered_fine_tuned_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tuned.safetensors"
    save_file(train(quick()).body, path)
    found = (TunedWeights(sha256="0" * 64, input_size=32), path)
    with pytest.raises(WeightsError, match="damaged or altered"):
        load_backbone("test_resnet", device="cpu", weights_dir=tmp_path, tuned=found)
