"""A report tells how photos were split, how training went, and what could not be scored."""

from pathlib import Path

from pipelines.evaluation.report import SourceSplit
from schemas.runs import RunKind
from storage.bundles import find_bundle
from storage.runs import create_run, read_run
from storage.stages import add_stages, finish_stage
from storage.training import newest_example
from tasks.context import Context
from tasks.reports import build_report
from tests.unit.tasks.builders import keep_vectors, publish_toy_bundle
from tests.unit.tasks.test_labelled import add_photos, label


def test_a_report_knows_its_bundles_own_training(resources: Context, tmp_path: Path) -> None:
    bundle_id = publish_toy_bundle(resources, tmp_path, with_text=False)
    add_photos(resources, "studio", ["a", "bb"])
    add_photos(resources, "studio", ["ccc", "dddd"], split="test")
    add_photos(resources, "garden", ["eeeee"])
    keep_vectors(resources, bundle_id, photos=["a", "bb", "ccc", "dddd", "eeeee"])
    label(resources, "account", "nobody", "comida")
    with resources.database.write() as connection:
        params = {"classes": ["comida"], "until": newest_example(connection)}
        run = read_run(connection, create_run(connection, RunKind.TRAIN, params=params))
        add_stages(connection, run.id, ("finetune", "vectors"))
        history = [{"epoch": 1, "train_loss": 0.5, "preset": "thesis"}]
        finish_stage(connection, run.id, "finetune", output={"history": history})
        finish_stage(connection, run.id, "vectors", output={})
        info = find_bundle(connection, bundle_id)
    changes = {"training": {"run": run.id}, "created_at": run.created_at}
    manifest = info.manifest.model_copy(update=changes)
    found = build_report(resources, info.model_copy(update={"manifest": manifest}))
    assert found.split == (
        SourceSplit(source="garden", trained=1, others={}),
        SourceSplit(source="studio", trained=2, others={"test": 2}),
    )
    assert found.training == {"finetune": [{"epoch": 1, "train_loss": 0.5}]}
    assert [(each.name, each.items, each.seen) for each in found.evaluations] == [("studio", 2, 2)]
    assert "trained on" in found.skipped["photos of garden"]
    assert "import the photos or accounts" in found.skipped["accounts of ana"]
