"""Which labels of training photos and tagged posts are probably wrong."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.bundle import Bundle
from pipelines.doubt import ask_without, find_doubtful
from pipelines.fusion.network import fit_scale
from pipelines.grouping import join_keys
from schemas.categories import OTRA
from schemas.errors import UsageError
from storage.bundles import find_bundle
from storage.doubts import DoubtKind, NewDoubt, settled_doubts
from storage.photos import read_hashes
from storage.tagged import newest_tagged
from storage.training import newest_example
from storage.vectors import read_image_vectors
from tasks.context import Context
from tasks.samples import Sample, all_photos, group_keys, make_stripper, read_candidates
from tasks.text_models import embed_kept

MIN_SAMPLES = 20
"""With fewer samples nobody can say what is usual."""


@dataclass(frozen=True)
class DoubtReport:
    """What was looked at, and which labels are doubted, most doubtful first."""

    bundle_id: str
    looked_at: int
    doubts: tuple[NewDoubt, ...]


@dataclass(frozen=True)
class Labelled:
    """Everything that can be trained on and has a vector: ``inputs (n, d)``, ``labels (n,)``.

    What shares one of the ``groups (n,)`` gives the others' labels away.
    """

    bundle_id: str
    classes: list[str]
    samples: list[Sample]
    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]


def doubt_labels(resources: Context, bundle_id: str | None = None, *, seed: int = 0) -> DoubtReport:
    """Doubt the labels of everything that can be trained on, by the vectors of one bundle.

    Vectors that are stored are used, none is computed of photos; captions are read without the
    tags that found their posts. Labels that somebody has settled before are left alone.

    Raises:
        NotFoundError: there is no such bundle, or none yet.
        UsageError: too little has a vector.
    """
    whole = gather_labelled(resources, bundle_id)
    classes, labels = whole.classes, whole.labels
    said = ask_without(whole.inputs, labels, whole.groups, classes=len(classes), seed=seed)
    found = find_doubtful(labels, said)
    named: dict[str, set[int]] = {}
    for sample, label in zip(whole.samples, labels.tolist(), strict=True):
        named.setdefault(sample.name, set()).add(label)
    with resources.database.read() as connection:
        settled = settled_doubts(connection)
    doubts: dict[tuple[str, str, str], NewDoubt] = {}
    for row, guess in zip(found.rows.tolist(), found.suggested.tolist(), strict=True):
        sample = whole.samples[row]
        kind: DoubtKind = "photo" if sample.tagged is None else "post"
        key = (kind, sample.name, sample.category)
        # Of something that has both labels neither is wrong.
        if guess in named[sample.name] or key in settled or key in doubts:
            continue
        doubts[key] = NewDoubt(
            kind=kind,
            target=sample.name,
            given=sample.category,
            suggested=classes[guess],
            given_probability=round(float(said[row, labels[row]]), 4),
            suggested_probability=round(float(said[row, guess]), 4),
        )
    return DoubtReport(whole.bundle_id, len(whole.samples), tuple(doubts.values()))


def gather_labelled(resources: Context, bundle_id: str | None = None) -> Labelled:
    """Read everything that can be trained on, as one bundle's models see it.

    Raises:
        NotFoundError: there is no such bundle, or none yet.
        UsageError: too little has a vector.
    """
    with resources.database.read() as connection:
        info = find_bundle(connection, bundle_id)
        manifest = info.manifest
        classes = [*manifest.classes, *([OTRA] if manifest.reject else [])]
        params = {
            "classes": classes,
            "until": newest_example(connection),
            "tagged_until": newest_tagged(connection),
        }
        samples = read_candidates(connection, params)
        vectors = read_image_vectors(connection, manifest.backbone.hash, all_photos(samples))
        hashes = read_hashes(connection, all_photos(samples))
        stripper = make_stripper(connection, params)
    images = np.zeros((len(samples), manifest.backbone.width), np.float32)
    for row, sample in enumerate(samples):
        own = [v for p in sample.photos if isinstance(v := vectors.get(p), np.ndarray)]
        if own:
            images[row] = np.mean(own, axis=0)
    kept = np.flatnonzero(images.any(axis=1))
    samples, images = [samples[row] for row in kept], images[kept]
    labels = np.array([classes.index(sample.category) for sample in samples], np.int64)
    if len(samples) < MIN_SAMPLES or len(set(labels.tolist())) < 2:  # noqa: PLR2004 - a choice
        raise UsageError(
            f"Only {len(samples)} labelled photos and posts have a vector of {info.id}'s backbone, "
            "too few to doubt any: import more and train on them first."
        )
    captions = [stripper.remove(sample.caption) for sample in samples]
    inputs = _stack(resources, resources.bundle(info.id), images, captions)
    groups = join_keys(group_keys(samples, hashes))
    return Labelled(info.id, classes, samples, inputs, labels, groups)


def _stack(
    resources: Context, bundle: Bundle, images: NDArray[np.float32], captions: list[str]
) -> NDArray[np.float32]:
    """Put reduced image vectors and text vectors side by side, each brought to spread 1."""
    reduced = bundle.reducer.transform(images) if bundle.reducer is not None else images
    halves = [fit_scale(reduced, np.ones(len(images), np.bool_)).apply(reduced)]
    if any(captions) and "text" in bundle.manifest.halves and bundle.text_model is not None:
        texts = embed_kept(resources, bundle.text_model, captions)
        said = np.any(texts != 0, axis=1)
        halves.append(fit_scale(texts, said).apply(texts))
    return np.concatenate(halves, axis=1)
