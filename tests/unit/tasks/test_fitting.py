"""A training learns from imported photos alone, never from what an account's file says."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipelines.sources.accounts import read_accounts
from schemas.errors import TrainingError
from schemas.runs import Run, RunKind
from storage.accounts import account_posts, find_account
from storage.photos import PhotoRow, add_photos
from storage.runs import create_run, read_run
from storage.tables import truth_labels
from storage.training import NewExample, add_examples, newest_example
from storage.vectors import Unusable, save_image_vectors
from tasks.context import Context
from tasks.ingest import take_accounts
from tasks.samples import TrainingSet, read_training_set
from tests.unit.pipelines.vision import drawing
from tests.unit.storage.builders import photo
from tests.unit.tasks.builders import BACKBONE, draw

OUTPUTS = {"backbone": BACKBONE.model_dump()}


def add_labelled(
    resources: Context, names: Sequence[str], category: str, split: str = "train"
) -> None:
    rows = [
        PhotoRow(sha256=photo(name), size_bytes=9, width=8, height=8, format="jpeg")
        for name in names
    ]
    examples = [
        NewExample(
            source="dev", photo_sha256=photo(name), category=category, split=split, caption=""
        )
        for name in names
    ]
    with resources.database.write() as connection:
        add_photos(connection, rows)
        add_examples(connection, examples)


def embed(resources: Context, hashes: Sequence[str]) -> None:
    with resources.database.write() as connection:
        vectors = {sha256: draw(n, BACKBONE.width) for n, sha256 in enumerate(hashes)}
        save_image_vectors(connection, BACKBONE.hash, vectors)


def start_training(resources: Context, classes: Sequence[str], until: int | None = None) -> Run:
    with resources.database.write() as connection:
        newest = newest_example(connection) if until is None else until
        params = {"classes": list(classes), "until": newest, "seed": 0}
        return read_run(connection, create_run(connection, RunKind.TRAIN, params=params))


def learnt_from(training: TrainingSet) -> set[str]:
    return {sample.name for sample in training.samples}


def import_account_with_truth(resources: Context, folder: Path) -> set[str]:
    """Import an account whose file tells what it and each of its posts are about."""
    names = ("first.jpg", "second.jpg")
    for seed, name in enumerate(names):
        (folder / name).write_bytes(drawing.save(drawing.textured(seed=seed), "JPEG"))
    posts = ", ".join(
        f'{{"id": "{name}", "photos": ["{name}"], "caption": "rico", "category": "comida"}}'
        for name in names
    )
    path = folder / "accounts.jsonl"
    path.write_text(f'{{"username": "ana", "categories": ["comida"], "posts": [{posts}]}}', "utf-8")
    take_accounts(resources, read_accounts(path), origin=path.name)
    with resources.database.read() as connection:
        ana = find_account(connection, "ana").id
        found = account_posts(connection, [ana])[ana]
    return {place.sha256 for one in found for place in one.photos if place.sha256}


def test_what_an_account_file_calls_its_photos_is_never_learnt(
    resources: Context, tmp_path: Path
) -> None:
    shown = import_account_with_truth(resources, tmp_path)
    add_labelled(resources, ["a", "b"], "comida")
    add_labelled(resources, ["c"], "deporte")
    embed(resources, [*shown, *map(photo, "abc")])
    run = start_training(resources, ["comida", "deporte"])
    training = read_training_set(resources, run, OUTPUTS)
    assert len(shown) == 2
    assert learnt_from(training) == set(map(photo, "abc"))
    assert training.labels.tolist() == [0, 0, 1]


def test_accounts_alone_are_nothing_to_learn_from(resources: Context, tmp_path: Path) -> None:
    embed(resources, sorted(import_account_with_truth(resources, tmp_path)))
    run = start_training(resources, ["comida"])
    with pytest.raises(TrainingError, match="None of the photos of comida could be used"):
        read_training_set(resources, run, OUTPUTS)


def test_training_is_the_same_whatever_truth_is_known(resources: Context, tmp_path: Path) -> None:
    import_account_with_truth(resources, tmp_path)
    add_labelled(resources, ["a"], "comida")
    add_labelled(resources, ["c"], "deporte")
    embed(resources, list(map(photo, "ac")))
    run = start_training(resources, ["comida", "deporte"])
    before = read_training_set(resources, run, OUTPUTS)
    with resources.database.write() as connection:
        connection.execute(truth_labels.delete())
    after = read_training_set(resources, run, OUTPUTS)
    assert after.samples == before.samples
    assert np.array_equal(after.images, before.images)
    assert np.array_equal(after.labels, before.labels)


@pytest.mark.parametrize("split", ["test", "validation", "influencers", "Train "])
def test_photos_of_other_splits_are_never_learnt(resources: Context, split: str) -> None:
    add_labelled(resources, ["a"], "comida")
    add_labelled(resources, ["b"], "comida", split=split)
    embed(resources, list(map(photo, "ab")))
    training = read_training_set(resources, start_training(resources, ["comida"]), OUTPUTS)
    assert learnt_from(training) == {photo("a")}


def test_photos_that_came_after_the_snapshot_are_not_learnt(resources: Context) -> None:
    add_labelled(resources, ["a"], "comida")
    run = start_training(resources, ["comida"])
    add_labelled(resources, ["b"], "comida")
    embed(resources, list(map(photo, "ab")))
    assert learnt_from(read_training_set(resources, run, OUTPUTS)) == {photo("a")}


def test_a_photo_that_could_not_be_embedded_is_left_out(resources: Context) -> None:
    add_labelled(resources, ["a", "b"], "comida")
    embed(resources, [photo("a")])
    with resources.database.write() as connection:
        save_image_vectors(connection, BACKBONE.hash, {photo("b"): Unusable(problem="broken")})
    training = read_training_set(resources, start_training(resources, ["comida"]), OUTPUTS)
    assert learnt_from(training) == {photo("a")}
    assert training.images.shape == (1, BACKBONE.width)


def test_vectors_of_another_backbone_are_not_learnt_from(resources: Context) -> None:
    add_labelled(resources, ["a"], "comida")
    with resources.database.write() as connection:
        save_image_vectors(connection, "other", {photo("a"): draw(0, 9)})
    with pytest.raises(TrainingError):
        read_training_set(resources, start_training(resources, ["comida"]), OUTPUTS)
