import pytest

from pipelines.vision.optimise import learning_rate
from schemas.finetuning import FineTuning


@pytest.mark.parametrize(
    ("epochs", "rate"),
    [(0, 1e-3), (6.99, 1e-3), (7, 1e-4), (13.5, 1e-4), (14, 1e-5)],
)
def test_the_thesis_rate_falls_to_a_tenth_every_seven_epochs(epochs: float, rate: float) -> None:
    assert learning_rate(FineTuning(), epochs) == pytest.approx(rate)


def test_a_cosine_rises_in_its_warm_up_and_falls_to_nothing() -> None:
    hyper = FineTuning(schedule="cosine", warmup_epochs=5, rate=1.0)
    assert learning_rate(hyper, 2.5) == 0.5
    assert learning_rate(hyper, 5) == 1.0
    assert learning_rate(hyper, 10) == pytest.approx(0.5)
    assert learning_rate(hyper, 15) == pytest.approx(0)


def test_the_very_first_step_of_a_warm_up_moves_something() -> None:
    assert learning_rate(FineTuning(warmup_epochs=5), 0) > 0
