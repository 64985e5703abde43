import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.fusion.network import Floats
from pipelines.fusion.train import EpochReport, NetworkHyper, TrainedNetwork, train_network
from schemas.errors import TrainingError

HYPER = NetworkHyper(epochs=8, hidden=16, min_draws=256)


class Interrupted(Exception):  # noqa: N818 - stands for a killed worker
    pass


def make_samples(per_class: tuple[int, ...] = (40, 40, 40)) -> dict[str, Any]:
    """Three classes that image and text each tell apart, on offsets of their own."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(per_class)), per_class)
    image = (rng.normal(size=(3, 6)) * 2)[labels] + rng.normal(size=(len(labels), 6))
    text = 0.01 * (rng.normal(size=(3, 4)) * 2)[labels] + 0.01 * rng.normal(size=(len(labels), 4))
    return {
        "image": image.astype(np.float32),
        "text": (text + 1).astype(np.float32),
        "has_image": np.ones(len(labels), np.bool_),
        "has_text": np.ones(len(labels), np.bool_),
        "labels": labels,
    }


def train(samples: dict[str, Any], hyper: NetworkHyper = HYPER, **options: Any) -> TrainedNetwork:
    return train_network(**samples, classes=3, hyper=hyper, seed=options.pop("seed", 5), **options)


def weights(trained: TrainedNetwork) -> list[Floats]:
    return [array for layer in trained.network.layers for array in layer]


def same(one: TrainedNetwork, other: TrainedNetwork) -> bool:
    return all(map(np.array_equal, weights(one), weights(other)))


def precision(trained: TrainedNetwork, samples: dict[str, Any]) -> float:
    probabilities = trained.network.predict(samples["image"], samples["text"])
    return float(np.mean(probabilities.argmax(axis=1) == samples["labels"]))


@pytest.fixture(scope="module")
def trained() -> TrainedNetwork:
    return train(make_samples())


def stop_after(epoch: int) -> Callable[[EpochReport], None]:
    def stop(report: EpochReport) -> None:
        if report.epoch == epoch:
            raise Interrupted

    return stop


def test_it_learns_from_both_halves(trained: TrainedNetwork) -> None:
    assert trained.network.halves == ("image", "text")
    assert precision(trained, make_samples()) > 0.95


@pytest.mark.parametrize("missing", ["image", "text"])
def test_either_half_alone_is_enough_to_judge(trained: TrainedNetwork, missing: str) -> None:
    samples = make_samples()
    samples[missing] = np.zeros_like(samples[missing])
    assert precision(trained, samples) > 0.8


@pytest.mark.parametrize(("absent", "learnt"), [("text", ("image",)), ("image", ("text",))])
def test_a_half_that_no_sample_has_is_not_learnt(absent: str, learnt: tuple[str, ...]) -> None:
    samples = make_samples()
    samples[f"has_{absent}"] = np.zeros(120, np.bool_)
    assert train(samples).network.halves == learnt


def test_what_stands_in_a_half_that_a_sample_lacks_changes_nothing() -> None:
    samples = make_samples()
    samples["has_text"][::2] = False
    before = train(samples)
    samples["text"][::2] = 99
    assert same(before, train(samples))


def test_a_text_half_of_no_width_is_fine() -> None:
    samples = make_samples()
    samples |= {"text": np.zeros((120, 0), np.float32), "has_text": np.zeros(120, np.bool_)}
    assert precision(train(samples), samples) > 0.8


def test_the_same_seed_gives_the_same_network(trained: TrainedNetwork) -> None:
    assert same(trained, train(make_samples()))


def test_another_seed_gives_another_network(trained: TrainedNetwork) -> None:
    assert not same(trained, train(make_samples(), seed=6))


def test_ten_samples_a_class_among_hundreds_are_learnt() -> None:
    samples = make_samples((10, 10, 300))
    model = train(samples, HYPER.model_copy(update={"min_draws": 1024}))
    found = model.network.predict(samples["image"], samples["text"]).argmax(axis=1)
    assert np.mean(found[:20] == samples["labels"][:20]) > 0.8


@pytest.mark.parametrize("epoch", [1, 5, 8])
def test_a_training_broken_off_ends_with_the_weights_of_an_unbroken_one(
    trained: TrainedNetwork, tmp_path: Path, epoch: int
) -> None:
    file = tmp_path / "network.checkpoint"
    with pytest.raises(Interrupted):
        train(make_samples(), checkpoint=file, on_epoch=stop_after(epoch))
    reports: list[EpochReport] = []
    resumed = train(make_samples(), checkpoint=file, on_epoch=reports.append)
    assert [report.epoch for report in reports] == list(range(epoch + 1, 9))
    assert same(trained, resumed)
    assert resumed.history == trained.history
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_checkpoint_of_other_data_is_not_gone_on_with(tmp_path: Path) -> None:
    file = tmp_path / "network.checkpoint"
    train(make_samples(), checkpoint=file)
    other = make_samples((40, 40, 41))
    assert same(train(other, checkpoint=file), train(other))


@pytest.mark.parametrize("keep", [0, 5, 200])
def test_a_damaged_checkpoint_is_not_gone_on_with(
    trained: TrainedNetwork, tmp_path: Path, keep: int
) -> None:
    file = tmp_path / "network.checkpoint"
    train(make_samples(), checkpoint=file)
    file.write_bytes(file.read_bytes()[:keep])
    assert same(trained, train(make_samples(), checkpoint=file))


def test_the_record_tells_of_every_epoch(trained: TrainedNetwork) -> None:
    assert [(report.epoch, report.epochs) for report in trained.history] == [
        (epoch, 8) for epoch in range(1, 9)
    ]
    assert trained.history[-1].train_loss < trained.history[0].train_loss
    assert trained.metrics["fitted"] + trained.metrics["held_out"] == 120
    assert trained.metrics["held_out"] == 18


def test_the_chosen_epoch_has_the_least_loss_on_what_was_held_out(trained: TrainedNetwork) -> None:
    losses = [report.validation_loss for report in trained.history]
    assert all(losses)
    assert trained.metrics["epoch"] == losses.index(min(filter(None, losses))) + 1


def test_the_temperature_never_makes_the_held_out_loss_worse(trained: TrainedNetwork) -> None:
    best = trained.history[trained.metrics["epoch"] - 1].validation_loss
    assert best is not None
    assert trained.metrics["validation_loss"] <= best + 1e-6


def test_classes_too_small_to_hold_out_train_all_the_same() -> None:
    trained = train(make_samples((4, 4, 4)))
    assert trained.metrics["held_out"] == 0
    assert trained.metrics["validation_precision"] is None
    assert trained.metrics["temperature"] == 1
    assert np.isfinite(np.concatenate([array.ravel() for array in weights(trained)])).all()


def test_training_needs_no_torch() -> None:
    code = (
        "import sys, numpy as np; from pipelines.fusion.train import NetworkHyper, train_network; "
        "x = np.eye(6, dtype=np.float32); on = np.ones(6, bool); "
        "train_network(x, x[:, :0], on, ~on, np.arange(6) % 2, classes=2, seed=0, "
        "hyper=NetworkHyper(epochs=1)); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_network_without_hidden_layer_is_one_layer() -> None:
    trained = train(make_samples(), HYPER.model_copy(update={"hidden": 0}))
    assert len(trained.network.layers) == 1
    assert precision(trained, make_samples()) > 0.9


def test_a_class_without_samples_is_refused() -> None:
    with pytest.raises(TrainingError, match="Class 1 has no sample"):
        train(make_samples((5, 0, 5)))


def test_a_single_class_is_refused() -> None:
    with pytest.raises(TrainingError, match="One class alone"):
        train_network(**make_samples((5,)), classes=1, hyper=HYPER, seed=0)


def test_a_sample_without_halves_is_refused() -> None:
    samples = make_samples()
    samples["has_image"][3] = samples["has_text"][3] = False
    with pytest.raises(TrainingError, match="neither image nor text"):
        train(samples)


def test_a_vector_that_is_not_finite_is_refused() -> None:
    samples = make_samples()
    samples["image"][3, 0] = np.inf
    with pytest.raises(TrainingError, match="not finite"):
        train(samples)


def test_a_training_that_diverges_says_so() -> None:
    with pytest.raises(TrainingError, match="lower learning rate"):
        train(make_samples(), HYPER.model_copy(update={"rate": 1e30}))
