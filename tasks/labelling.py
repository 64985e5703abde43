"""The stage that believes or disbelieves the tags of posts, by two models of their photos."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.fusion.network import Network
from pipelines.labelling import UNDEFINED, agree_labels
from pipelines.split import FIT
from schemas.bundles import BackboneRef
from schemas.runs import Run
from storage.tagged import TaggedPost
from storage.vectors import read_image_vectors
from tasks.context import Context
from tasks.marks import make_mark, stage_key
from tasks.samples import TrainingSet, list_usable, read_own_tagged, read_training_set
from tasks.stages import Outputs, Report


def mark_labels(resources: Context, run: Run, outputs: Outputs) -> str:
    """Hash what the labels depend on: the split, the backbone, and which photos it could read."""
    usable = list_usable(resources, run, outputs)
    backbone = outputs["backbone"]["hash"]
    with resources.database.read() as connection:
        posts = read_own_tagged(connection, run.params)
    settled = [[post.id, post.category] for post in posts if post.settled]
    own = [settled] if settled else []
    return make_mark("labels", outputs["split"]["mark"], backbone, usable, run.params["seed"], *own)


def believe_tags(
    resources: Context, run: Run, outputs: Outputs, report: Report, mark: str
) -> dict[str, Any]:
    """Keep the tagged posts whose tag two image models confirm, one of which knows ``otra``.

    The models learn from the labelled photos of the part to fit on. Without a reject class both
    know the same classes and differ by their random numbers alone. A post under tags of two
    categories counts once.
    """
    with resources.database.read() as connection:
        posts = read_own_tagged(connection, run.params)
    kept: list[int] = []
    table: list[dict[str, Any]] = []
    if posts:
        categories = run.params["classes"][: -1 if run.params["reject"] else None]
        training = read_training_set(resources, run, outputs)
        images = _mean_vectors(resources, outputs, posts)
        tagged = np.array([categories.index(post.category) for post in posts], np.int64)
        seed = run.params["seed"]
        plain = _see(training, images, len(categories), seed, _step(report, 0))
        rejecting = _see(training, images, len(run.params["classes"]), seed + 1, _step(report, 1))
        found = agree_labels(tagged, plain, rejecting, categories)
        # What a person has looked at needs no model's word.
        settled = np.array([post.settled for post in posts], np.bool_)
        kept = _once_each(posts, found.kept | settled)
        table = [{**count.model_dump(), UNDEFINED: count.undefined} for count in found.counts]
    resources.blobs.write(stage_key("labels", mark, "kept.json"), json.dumps(kept).encode())
    return {"files": ["kept.json"], "rows": len(posts), "kept": len(kept), "table": table}


def read_believed(resources: Context, outputs: Outputs) -> list[int]:
    """Return the ids of the tagged posts that are learnt from."""
    if "labels" not in outputs:
        return []
    key = stage_key("labels", outputs["labels"]["mark"], "kept.json")
    kept: list[int] = json.loads(resources.blobs.read(key))
    return kept


def _see(
    training: TrainingSet,
    images: NDArray[np.float32],
    classes: int,
    seed: int,
    on_epoch: Callable[[int, int], None],
) -> NDArray[np.int64]:
    """Train a network on photos of the first ``classes`` and return what it sees, -1: nothing."""
    from pipelines.fusion.train import NetworkHyper, train_network

    rows = training.rows(FIT)
    rows = rows[training.labels[rows] < classes]
    if classes < 2:  # noqa: PLR2004 - one category alone is confirmed by otra only
        return np.where(images.any(axis=1), 0, -1)
    network: Network = train_network(
        training.images[rows],
        np.zeros((len(rows), 0), np.float32),
        np.ones(len(rows), np.bool_),
        np.zeros(len(rows), np.bool_),
        training.labels[rows],
        classes=classes,
        hyper=NetworkHyper(),
        seed=seed,
        on_epoch=lambda epoch: on_epoch(epoch.epoch, epoch.epochs),
    ).network
    said = network.predict(images, np.zeros((len(images), 0), np.float32)).argmax(axis=1)
    seen: NDArray[np.int64] = np.where(images.any(axis=1), said, -1)
    return seen


def _step(report: Report, model: int) -> Callable[[int, int], None]:
    return lambda epoch, epochs: report(model * epochs + epoch, 2 * epochs)


def _mean_vectors(
    resources: Context, outputs: Outputs, posts: Sequence[TaggedPost]
) -> NDArray[np.float32]:
    backbone = BackboneRef.model_validate(outputs["backbone"])
    with resources.database.read() as connection:
        shown = {photo for post in posts for photo in post.photos}
        vectors = read_image_vectors(connection, backbone.hash, shown)
    images = np.zeros((len(posts), backbone.width), np.float32)
    for row, post in enumerate(posts):
        own = [v for p in post.photos if isinstance(v := vectors.get(p), np.ndarray)]
        if own:
            images[row] = np.mean(own, axis=0)
    return images


def _once_each(posts: Sequence[TaggedPost], kept: NDArray[np.bool_]) -> list[int]:
    first = {posts[row].name: posts[row].id for row in reversed(np.flatnonzero(kept).tolist())}
    return sorted(first.values())
