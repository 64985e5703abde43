"""A forecast says what a training would do, and how long by what earlier ones took."""

from pathlib import Path

import pytest

from pipelines.vision import backbones
from storage.runs import list_runs
from storage.stages import finish_stage
from storage.tables import image_vectors
from tasks import forecast
from tasks.context import Context
from tasks.forecast import Forecast, forecast_training
from tasks.start import TrainingOptions
from tests.unit.tasks.builders import BACKBONE
from tests.unit.tasks.training import CLASSES, add_photos_of, begin, train


@pytest.fixture(autouse=True)
def toy_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the drawn vectors a backbone: no weights in the world make such ones."""

    def resolve(name: str, *, weights_dir: Path) -> backbones.BackboneSpec:
        spec = backbones.resolve_backbone(
            "efficientnet_lite0", weights_dir=weights_dir, weights="random"
        )
        return spec.model_copy(update={"ref": BACKBONE})

    monkeypatch.setattr(forecast, "resolve_backbone", resolve)


def ask(resources: Context, *methods: str) -> Forecast:
    options = TrainingOptions(methods=methods or ("nn",))
    return forecast_training(resources, CLASSES[:-1], backbone="toy", seed=0, options=options)


def test_without_an_earlier_training_everything_would_run(resources: Context) -> None:
    for category in CLASSES:
        add_photos_of(resources, category, 6)
    found = {one.stage: one for one in ask(resources).stages}
    assert all(one.runs for name, one in found.items() if name != "vectors")
    assert not found["vectors"].runs
    assert found["network"].seconds is None
    assert found["network"].rows == 24


def test_what_a_training_left_behind_would_be_kept(resources: Context) -> None:
    for category in CLASSES:
        add_photos_of(resources, category, 6)
    train(resources, methods=("nn",))
    kept = {one.stage: one.kept_from for one in ask(resources).stages if not one.runs}
    assert set(kept) == {
        "vectors", "split", "labels", "text", "reduce", "network", "svm", "fuse", "bundle"
    }  # fmt: skip


def test_only_what_depends_on_the_change_would_run(resources: Context) -> None:
    for category in CLASSES:
        add_photos_of(resources, category, 6)
    train(resources, methods=("nn",))
    runs = [one.stage for one in ask(resources, "nn", "svm").stages if one.runs]
    assert runs == ["backbone", "svm", "fuse", "bundle"]


def test_times_grow_with_the_number_of_samples(resources: Context) -> None:
    for category in CLASSES:
        add_photos_of(resources, category, 6)
    run = begin(resources)
    with resources.database.write() as connection:
        finish_stage(connection, run.id, "network", output={"rows": 24}, seconds=12.0)
    add_photos_of(resources, "moda", 12, source="more")
    found = {one.stage: one for one in ask(resources).stages}
    assert found["network"].seconds == pytest.approx(18.0)


def test_photos_without_a_vector_are_counted(resources: Context) -> None:
    for category in CLASSES:
        add_photos_of(resources, category, 6)
    with resources.database.write() as connection:
        connection.execute(image_vectors.delete())
    found = {one.stage: one for one in ask(resources).stages}
    assert (found["vectors"].runs, found["vectors"].rows) == (True, 24)


def test_nothing_is_started(resources: Context) -> None:
    for category in CLASSES:
        add_photos_of(resources, category, 6)
    ask(resources)
    with resources.database.read() as connection:
        assert list_runs(connection) == []
