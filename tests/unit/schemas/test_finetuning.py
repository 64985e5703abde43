import pytest

from schemas.errors import UsageError
from schemas.finetuning import PRESETS, FineTuning, parse_finetuning


def test_the_defaults_are_the_thesis() -> None:
    hyper = parse_finetuning("thesis")
    assert hyper == FineTuning()
    assert (hyper.trained, hyper.input_size, hyper.optimizer) == ("all", 224, "sgd")
    assert (hyper.rate, hyper.momentum, hyper.epochs) == (0.001, 0.9, 15)
    assert (hyper.step_factor, hyper.step_epochs) == (0.1, 7)
    assert (hyper.label_smoothing, hyper.weight_decay, hyper.augments) == (0, 0, False)


def test_settings_can_be_changed_by_name() -> None:
    hyper = parse_finetuning("modern", ["epochs=5", " flip = false", "precision=fp32"])
    assert (hyper.epochs, hyper.flip, hyper.precision) == (5, False, "fp32")
    assert hyper.optimizer == PRESETS["modern"].optimizer


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("epochs", "write name=value"),
        ("speed=3", "write name=value"),
        ("epochs=0", "epochs: Input should be greater"),
        ("optimizer=magic", "optimizer: Input should be"),
    ],
)
def test_a_change_that_means_nothing_is_refused(change: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_finetuning("thesis", [change])


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="thesis, modern, frozen"):
        parse_finetuning("best")
