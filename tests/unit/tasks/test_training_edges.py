"""What a training does with too little, and with what it cannot do at all."""

from datetime import UTC, date, datetime

import pytest

from schemas.errors import TrainingError
from storage.bundles import find_bundle
from tasks.context import Context
from tasks.samples import divide_samples
from tests.unit.tasks.training import CLASSES, add_photos_of, add_tagged, begin, train


def test_photos_alone_leave_out_what_needs_captions(resources: Context) -> None:
    for category in CLASSES:
        add_photos_of(resources, category, 12)
    outputs, _endings = train(resources, methods=("nn", "svm", "weighted", "nn-sup"))
    with resources.database.read() as connection:
        manifest = find_bundle(connection).manifest
    assert manifest.methods == ("nn", "svm")
    assert manifest.halves == ("image",)
    assert manifest.text_models == ()
    assert set(outputs["fuse"]["left_out"]) == {"weighted", "nn-sup"}


def test_a_category_with_too_little_data_abstains_and_says_why(resources: Context) -> None:
    add_photos_of(resources, "comida", 60)
    add_photos_of(resources, "deporte", 60)
    add_photos_of(resources, "moda", 8)
    outputs, _endings = train(resources, methods=("nn", "multi"))
    bundle = resources.bundle(outputs["bundle"]["bundle_id"])
    assert set(bundle.manifest.recipe("multi").abstains) == {"moda"}
    verdict = bundle.conclude([], "multi")
    assert verdict.abstained == ("moda",)
    assert bundle.conclude([], "nn").abstained == ()


def test_holding_out_a_source_that_nobody_knows_fails_clearly(resources: Context) -> None:
    for category in CLASSES:
        add_photos_of(resources, category, 6)
    run = begin(resources, holdout_source="pexels")
    with pytest.raises(TrainingError, match="No photo is from 'pexels': hold out one of dev"):
        divide_samples(resources, run, {}, lambda _done, _total: None, "m")


def test_a_source_without_which_a_class_is_empty_cannot_be_held_out(resources: Context) -> None:
    for category in CLASSES:
        source = "imagenet" if category == "moda" else "dev"
        add_photos_of(resources, category, 6, source=source)
    run = begin(resources, holdout_source="imagenet")
    with pytest.raises(TrainingError, match="nothing is left to learn moda from"):
        divide_samples(resources, run, {}, lambda _done, _total: None, "m")


def test_posts_from_a_day_on_are_held_out_and_scored(resources: Context) -> None:
    for category in CLASSES:
        add_photos_of(resources, category, 12)
    for category in CLASSES[:-1]:
        add_tagged(resources, category, category, 4, author=f"old-{category}", posted_at=at(2024))
        add_tagged(resources, category, category, 3, author=f"new-{category}", posted_at=at(2025))
    outputs, _endings = train(resources, methods=("nn",), holdout_after=date(2025, 1, 1))
    summary = outputs["split"]["summary"]
    assert (summary["holdout"], summary["holdout_after"]) == (9, "2025-01-01")
    # A tagged post whose photo belies its tag is not scored either.
    assert 0 < outputs["fuse"]["metrics"]["holdout"]["nn"]["samples"] <= 9


def test_a_day_after_every_post_holds_nothing_out_and_fails_clearly(resources: Context) -> None:
    for category in CLASSES:
        add_photos_of(resources, category, 6)
    add_tagged(resources, "moda", "moda", 2, posted_at=at(2024))
    run = begin(resources, holdout_after=date(2026, 1, 1))
    with pytest.raises(TrainingError, match="of 2026-01-01 or later: the newest is of 2024-06-01"):
        divide_samples(resources, run, {}, lambda _done, _total: None, "m")


def at(year: int) -> datetime:
    return datetime(year, 6, 1, tzinfo=UTC)


def test_isotonic_calibration_bends_every_method_but_the_network(resources: Context) -> None:
    for category in CLASSES:
        add_photos_of(resources, category, 60)
    outputs, _endings = train(resources, methods=("nn", "svm", "multi"), calibration="isotonic")
    manifest = resources.bundle(outputs["bundle"]["bundle_id"]).manifest
    assert manifest.recipe("nn").isotonic == ()
    assert len(manifest.recipe("svm").isotonic) == len(CLASSES)
    scores = outputs["fuse"]["metrics"]["validation"]
    # On the samples that it was fitted on, an isotonic line leaves hardly any error.
    assert scores["multi"]["calibration_error"] < 0.02
