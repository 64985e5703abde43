"""Fine-tuning as a stage: what it keeps, what it tells meanwhile, and who loads it afterwards."""

from typing import Any

import numpy as np
import pytest
from celery.events.state import State
from safetensors.numpy import load

from schemas.bundles import BackboneRef, TunedWeights
from schemas.errors import UsageError
from schemas.finetuning import EpochCurve, FineTuning
from schemas.runs import Run, RunKind, RunState
from storage.photos import PhotoRow, add_photos
from storage.runs import create_run, end_run, read_run
from storage.stages import Stage, add_stages, read_stages
from storage.training import NewExample, add_examples, newest_example
from storage.vectors import save_image_vectors
from tasks import finetuning
from tasks.context import Context
from tasks.finetuning import checkpoint_path, fine_tune_backbone, read_lesson
from tasks.marks import remembering
from tasks.samples import divide_samples, mark_split, read_parts
from tasks.stages import Outputs, Report, run_stage
from tasks.start import TrainingOptions, start_training
from tasks.train import STAGES, finetune, identify_backbone, stages_for
from tests.unit.pipelines.vision.coloured import draw_coloured, quick
from tests.unit.tasks.sent import sent_messages

CLASSES = ["comida", "deporte"]
COUNT = 20


def import_photos(resources: Context) -> list[str]:
    """Import photos of two classes; return their hashes."""
    hashes = [resources.blobs.write_photo(draw_coloured(number)) for number in range(COUNT)]
    rows = [
        PhotoRow(sha256=sha256, size_bytes=9, width=40, height=40, format="png")
        for sha256 in hashes
    ]
    examples = [
        NewExample(
            source="dev",
            photo_sha256=sha256,
            category=CLASSES[number % 2],
            split="train",
            caption="",
        )
        for number, sha256 in enumerate(hashes)
    ]
    with resources.database.write() as connection:
        add_photos(connection, rows)
        add_examples(connection, examples)
    return hashes


def start(resources: Context, preset: str = "thesis", hyper: FineTuning | None = None) -> Run:
    with resources.database.write() as connection:
        params = {
            "classes": CLASSES,
            "until": newest_example(connection),
            "seed": 0,
            "backbone": "test_resnet",
            "weights": "random",
            "preset": preset,
            "finetune": (hyper or quick(preset)).model_dump(),
        }
        run_id = create_run(connection, RunKind.TRAIN, params=params)
        add_stages(connection, run_id, stages_for(params))
        return read_run(connection, run_id)


def stage(resources: Context, run: Run) -> Stage:
    with resources.database.read() as connection:
        return read_stages(connection, run.id)["finetune"]


@pytest.fixture
def run(resources: Context) -> Run:
    import_photos(resources)
    return start(resources)


def test_all_layers_are_trained_before_the_backbone_is_identified(run: Run) -> None:
    order = stages_for(run.params)
    assert order[:4] == ("split", "finetune", "backbone", "vectors")
    assert sorted(order) == sorted(("finetune", *STAGES))


def test_a_last_layer_alone_is_trained_on_the_vectors(resources: Context) -> None:
    order = stages_for(start(resources, "frozen").params)
    assert order[:4] == ("backbone", "vectors", "split", "finetune")
    assert set(order) == {"finetune", *STAGES}


def test_without_fine_tuning_there_is_no_such_stage() -> None:
    assert stages_for({"classes": CLASSES}) == STAGES


def test_the_stage_leaves_curves_weights_and_a_last_layer(resources: Context, run: Run) -> None:
    assert finetune(run.id, 0).startswith("done in ")
    output = stage(resources, run).output or {}
    curves = [EpochCurve.model_validate(one) for one in output["history"]]
    assert [curve.epoch for curve in curves] == [1, 2, 3]
    assert all(curve.valid_loss is not None for curve in curves)
    assert (output["preset"], output["fitted"], output["held_out"]) == ("thesis", 16, 4)
    head = load(resources.blobs.read(output["head"]))
    assert head["weight"].shape[0] == head["bias"].shape[0] == len(CLASSES)
    assert resources.blobs.exists(f"weights/{output['tuned']['sha256']}.safetensors")
    assert not checkpoint_path(resources, run.id).exists()


def test_the_backbone_identified_afterwards_is_the_fine_tuned_one(
    resources: Context, run: Run
) -> None:
    output = fine_tune_backbone(resources, run, {}, lambda _done, _total: None)
    found = identify_backbone(resources, run, {"finetune": output}, lambda _done, _total: None)
    ref = BackboneRef.model_validate(found)
    assert ref.tuned == TunedWeights.model_validate(output["tuned"])
    embedder = resources.embedder(ref.name, ref)
    assert embedder.backbone.ref == ref
    assert embedder.backbone.transform.size == 32
    embedder.batcher.close()


def test_two_trainings_of_one_network_are_loaded_side_by_side(resources: Context, run: Run) -> None:
    other = start(resources, "thesis", quick("thesis", "rate=0.01"))
    vectors = []
    for one in (run, other):
        output = fine_tune_backbone(resources, one, {}, lambda _done, _total: None)
        tuned = TunedWeights.model_validate(output["tuned"])
        embedder = resources.embedder("test_resnet", tuned=tuned)
        vectors.append(embedder.backbone.embed(np.full((1, 32, 32, 3), 99, np.uint8)))
        embedder.batcher.close()
    assert not np.allclose(vectors[0], vectors[1])


def test_a_frozen_training_reads_vectors_and_touches_no_photo(
    resources: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = import_photos(resources)
    ref = BackboneRef(name="toy", hash="b" * 16, width=4)
    rows = np.eye(4, dtype=np.float32)
    with resources.database.write() as connection:
        vectors = {sha256: rows[number % 2] * 9 for number, sha256 in enumerate(hashes)}
        save_image_vectors(connection, ref.hash, vectors)
    run = start(resources, "frozen", quick("frozen", "epochs=40"))
    monkeypatch.setattr(resources.blobs, "read_photo", pytest.fail)
    outputs = {"backbone": ref.model_dump()}
    output = fine_tune_backbone(resources, run, outputs, lambda _done, _total: None)
    assert output["tuned"] is None
    assert output["history"][-1]["valid_precision"] == 1.0


def test_a_source_that_is_held_out_is_not_learnt_from(resources: Context, run: Run) -> None:
    with resources.database.write() as connection:
        example = NewExample(
            source="elsewhere",
            photo_sha256=resources.blobs.write_photo(draw_coloured(0)),
            category=CLASSES[0],
            split="train",
            caption="",
        )
        add_examples(connection, [example])
        params = run.params | {"until": newest_example(connection)}
    everything = run.model_copy(update={"params": params})
    held = run.model_copy(update={"params": params | {"holdout_source": "elsewhere"}})
    assert len(read_lesson(resources, everything, {}).photos.hashes) == COUNT + 1
    assert len(read_lesson(resources, held, {}).photos.hashes) == COUNT


def split_of(resources: Context, run: Run) -> tuple[Outputs, dict[str, str]]:
    """Run the split as a training does; return its output and each photo's part."""
    work = remembering("split", mark_split, divide_samples)
    outputs = {"split": work(resources, run, {}, lambda _done, _total: None)}
    return outputs, dict(read_parts(resources, outputs))


def test_what_the_training_validates_on_is_never_fitted_on(resources: Context, run: Run) -> None:
    outputs, parts = split_of(resources, run)
    lesson = read_lesson(resources, run, outputs)
    assert lesson.held is not None
    held = {name for name, out in zip(lesson.photos.hashes, lesson.held, strict=True) if out}
    assert held == {name for name, part in parts.items() if part == "validation"}
    assert 0 < len(held) < COUNT
    output = fine_tune_backbone(resources, run, outputs, lambda _done, _total: None)
    assert (output["fitted"], output["held_out"]) == (COUNT - len(held), len(held))


def test_the_held_out_source_is_not_even_looked_at(resources: Context, run: Run) -> None:
    with resources.database.write() as connection:
        hashes = [resources.blobs.write_photo(draw_coloured(100 + n)) for n in range(4)]
        add_photos(
            connection,
            [PhotoRow(sha256=h, size_bytes=9, width=40, height=40, format="png") for h in hashes],
        )
        add_examples(
            connection,
            [
                NewExample(
                    source="elsewhere",
                    photo_sha256=sha256,
                    category=CLASSES[number % 2],
                    split="train",
                    caption="",
                )
                for number, sha256 in enumerate(hashes)
            ],
        )
        until = newest_example(connection)
    params = run.params | {"until": until, "holdout_source": "elsewhere"}
    apart = run.model_copy(update={"params": params})
    outputs, parts = split_of(resources, apart)
    assert [parts[sha256] for sha256 in hashes] == ["holdout"] * 4
    assert not set(hashes) & set(read_lesson(resources, apart, outputs).photos.hashes)


def test_a_frozen_training_holds_out_the_same_photos(resources: Context) -> None:
    hashes = import_photos(resources)
    ref = BackboneRef(name="toy", hash="b" * 16, width=4)
    rows = np.eye(4, dtype=np.float32)
    with resources.database.write() as connection:
        vectors = {sha256: rows[number % 2] * 9 for number, sha256 in enumerate(hashes)}
        save_image_vectors(connection, ref.hash, vectors)
    run = start(resources, "frozen", quick("frozen", "epochs=2"))
    outputs, parts = split_of(resources, run)
    outputs["backbone"] = ref.model_dump()
    output = fine_tune_backbone(resources, run, outputs, lambda _done, _total: None)
    assert output["held_out"] == list(parts.values()).count("validation")
    assert output["fitted"] == list(parts.values()).count("fit")


def test_epochs_are_told_while_it_works(
    resources: Context, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    steps: list[tuple[int, int]] = []
    monkeypatch.setattr(
        finetuning,
        "tell_flower",
        lambda _curve: seen.append(len((stage(resources, run).output or {})["history"])),
    )
    fine_tune_backbone(resources, run, {}, lambda done, total: steps.append((done, total)))
    assert seen == [1, 2, 3]
    assert steps == [(number, 6) for number in range(1, 7)]


def test_a_resumed_training_shows_the_epochs_before_it_too(
    resources: Context, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(curve: EpochCurve) -> None:
        if curve.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(finetuning, "tell_flower", kill)
    with pytest.raises(KeyboardInterrupt):
        fine_tune_backbone(resources, run, {}, lambda _done, _total: None)
    monkeypatch.setattr(finetuning, "tell_flower", lambda _curve: None)
    output = fine_tune_backbone(resources, run, {}, lambda _done, _total: None)
    shown = (stage(resources, run).output or {})["history"]
    assert shown == output["history"]
    assert [one["epoch"] for one in shown] == [1, 2, 3]


def test_a_cancelled_run_ends_within_a_step(
    resources: Context, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetuning, "CANCEL_CHECK_S", -1.0)
    steps: list[int] = []

    def cancel(done: int, _total: int) -> None:
        steps.append(done)
        with resources.database.write() as connection:
            end_run(connection, run.id, RunState.CANCELLED)

    def work(resources: Context, run: Run, outputs: Outputs, _report: Report) -> dict[str, Any]:
        return fine_tune_backbone(resources, run, outputs, cancel)

    assert "cancelled" in run_stage(run.id, 0, "finetune", work)
    assert steps == [1]
    with resources.database.read() as connection:
        assert read_run(connection, run.id).state is RunState.CANCELLED


def test_flower_shows_the_epoch_as_state_and_result() -> None:
    """Flower keeps Celery's own picture of the events; ours has to show in it."""
    state = State()
    base = {"uuid": "1", "hostname": "train@here", "clock": 1, "local_received": 1.0, "pid": 1}
    state.event({"type": "task-started", "timestamp": 1.0, **base})
    state.event(
        {"type": "task-progress", "timestamp": 2.0, "result": "epoch 1/15", **base, "clock": 2}
    )
    task = state.tasks["1"]
    assert (task.state, task.result) == ("PROGRESS", "epoch 1/15")
    state.event({"type": "task-succeeded", "timestamp": 3.0, "result": "done", **base, "clock": 3})
    assert (task.state, task.result) == ("SUCCESS", "done")


@pytest.mark.parametrize("finetune_", [None, quick("frozen")], ids=["none", "frozen"])
def test_random_weights_are_refused_where_nothing_would_teach_them(
    resources: Context, finetune_: FineTuning | None
) -> None:
    with pytest.raises(UsageError, match="nothing would teach them"):
        start_training(
            resources,
            CLASSES,
            backbone="resnet18",
            seed=0,
            options=TrainingOptions(finetune=finetune_, weights="random"),
        )
    assert sent_messages() == []


@pytest.mark.slow
def test_a_team_of_processes_moves_the_checkpoint_to_its_end(
    resources: Context, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(resources), "settings", resources.settings.model_copy(
        update={"train_processes": 2, "device": "cpu"}
    ))  # fmt: skip
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    output = fine_tune_backbone(resources, run, {}, lambda _done, _total: None)
    assert [one["epoch"] for one in output["history"]] == [1, 2, 3]


@pytest.mark.slow
def test_a_team_that_cannot_train_says_why(
    resources: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_photos(resources)
    run = start(resources, "thesis", quick("thesis", "rate=1e30"))
    monkeypatch.setitem(vars(resources), "settings", resources.settings.model_copy(
        update={"train_processes": 2, "device": "cpu"}
    ))  # fmt: skip
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert "diverged" in finetune(run.id, 0)
