"""What a training learns from: labelled photos, and tagged posts whose tags are believed."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from pipelines.grouping import join_keys
from pipelines.split import FIT, HOLDOUT, VALIDATION, Part, split_groups
from pipelines.text.tags import TagStripper
from pipelines.vision.phash import group_near
from schemas.bundles import BackboneRef
from schemas.categories import OTRA, read_categories
from schemas.errors import TrainingError
from schemas.runs import Run
from storage.photos import read_hashes
from storage.tagged import TaggedPost, read_tagged
from storage.training import read_examples
from storage.vectors import read_image_vectors, usable_photos
from tasks.context import Context
from tasks.marks import make_mark, stage_key
from tasks.stages import Outputs, Report

NEAR_BITS = 3
"""Photos whose perceptual hashes differ in so few bits are the same picture to a split."""

_VALIDATION_SHARE = 0.15


@dataclass(frozen=True)
class Sample:
    """One thing to learn from; ``name`` is a photo's hash or a tagged post's name.

    ``tagged`` is the id of a tagged post, None for a labelled photo; only a post has a time.
    """

    name: str
    photos: tuple[str, ...]
    caption: str
    category: str
    source: str
    author: str | None
    tagged: int | None
    posted_at: datetime | None = None


@dataclass(frozen=True)
class TrainingSet:
    """Samples with something usable, in order, and the part of the split each belongs to.

    ``images (n, d) float32`` are means of a sample's photos, zeros where it has none usable;
    ``labels (n,)`` are places in the run's classes.
    """

    samples: Sequence[Sample]
    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    parts: Sequence[Part]

    def rows(self, part: Part) -> NDArray[np.int64]:
        """Return the rows of one part."""
        return np.flatnonzero(np.array([one == part for one in self.parts]))


def read_candidates(connection: Connection, params: Mapping[str, Any]) -> list[Sample]:
    """Return all that a run could learn from: its labelled photos, then its tagged posts."""
    classes: list[str] = params["classes"]
    photos = [
        Sample(
            name=example.photo_sha256,
            photos=(example.photo_sha256,),
            caption=example.caption,
            category=example.category,
            source=example.source,
            author=None,
            tagged=None,
        )
        for example in read_examples(connection, classes, until=params["until"])
    ]
    return photos + [_from_tagged(post) for post in read_own_tagged(connection, params)]


def read_own_tagged(connection: Connection, params: Mapping[str, Any]) -> list[TaggedPost]:
    """Return the tagged posts of a run's categories, as they were when it started."""
    categories = [name for name in params["classes"] if name != OTRA]
    return read_tagged(connection, categories, until=params.get("tagged_until", 0))


def is_held_out(sample: Sample, params: Mapping[str, Any]) -> bool:
    """Say whether a run learns nothing from a sample: its source or its time is set apart."""
    source, day = params.get("holdout_source"), params.get("holdout_after")
    late = (
        day is not None
        and sample.posted_at is not None
        and sample.posted_at.astimezone(UTC).date() >= date.fromisoformat(day)
    )
    return late or (source is not None and sample.source == source)


def mark_split(resources: Context, run: Run, _outputs: Outputs) -> str:
    """Hash all that the split depends on: every sample, who made it, and what it looks like."""
    with resources.database.read() as connection:
        samples = read_candidates(connection, run.params)
        hashes = read_hashes(connection, all_photos(samples))
    rows = [[s.name, s.photos, s.caption, s.category, s.source, s.author] for s in samples]
    settings = [run.params[name] for name in ("classes", "seed")]
    source, day = run.params.get("holdout_source"), run.params.get("holdout_after")
    late = [] if day is None else [day, [is_held_out(s, {"holdout_after": day}) for s in samples]]
    return make_mark("split", rows, hashes, settings, source, *late)


def divide_samples(
    resources: Context, run: Run, _outputs: Outputs, _report: Report, mark: str
) -> dict[str, Any]:
    """Divide all samples into fit, validation and held-out source or time, by whole groups.

    A group is everything by one author, of one photo, or of photos that look the same.

    Raises:
        TrainingError: what to hold out is unknown, or leaves nothing of a class.
    """
    with resources.database.read() as connection:
        samples = read_candidates(connection, run.params)
        hashes = read_hashes(connection, all_photos(samples))
    classes: list[str] = run.params["classes"]
    labels = np.array([classes.index(sample.category) for sample in samples], np.int64)
    groups = join_keys(group_keys(samples, hashes))
    _require_held(samples, run.params)
    held = np.array([is_held_out(sample, run.params) for sample in samples], np.bool_)
    parts = split_groups(
        groups, labels, share=_VALIDATION_SHARE, seed=run.params["seed"], held_out=held
    )
    fitted = {s.category for s, part in zip(samples, parts, strict=True) if part == FIT}
    for name in classes:
        if name not in fitted:
            raise TrainingError(
                f"Without the photos of {_describe_held(run.params)} nothing is left to learn "
                f"{name} from: hold out less, or train without that category."
            )
    document = {s.name: part for s, part in zip(samples, parts, strict=True)}
    resources.blobs.write(stage_key("split", mark, "split.json"), json.dumps(document).encode())
    counts = {part: parts.count(part) for part in (FIT, VALIDATION, HOLDOUT)}
    return {
        "files": ["split.json"],
        "rows": len(samples),
        "summary": {
            **counts,
            "groups": len(set(groups.tolist())),
            "hashed_photos": len(hashes),
            "holdout_source": run.params.get("holdout_source"),
            "holdout_after": run.params.get("holdout_after"),
        },
    }


def read_parts(resources: Context, outputs: Outputs) -> dict[str, Part]:
    """Return which part each sample's name belongs to; without a split all is fitted on."""
    if "split" not in outputs:
        return {}
    key = stage_key("split", outputs["split"]["mark"], "split.json")
    found: dict[str, Part] = json.loads(resources.blobs.read(key))
    return found


def read_training_set(
    resources: Context, run: Run, outputs: Outputs, *, tagged: Collection[int] = ()
) -> TrainingSet:
    """Read a run's labelled photos, and the tagged posts with these ids, with their vectors.

    Raises:
        TrainingError: a class has no usable photo left.
    """
    classes: list[str] = run.params["classes"]
    backbone = BackboneRef.model_validate(outputs["backbone"])
    wanted = set(tagged)
    with resources.database.read() as connection:
        candidates = read_candidates(connection, run.params)
        samples = [s for s in candidates if s.tagged is None or s.tagged in wanted]
        vectors = read_image_vectors(connection, backbone.hash, all_photos(samples))
    parts = read_parts(resources, outputs)
    images = np.zeros((len(samples), backbone.width), np.float32)
    usable = np.zeros(len(samples), np.bool_)
    for row, sample in enumerate(samples):
        own = [v for p in sample.photos if isinstance(v := vectors.get(p), np.ndarray)]
        if own:
            images[row] = np.mean(own, axis=0)
        usable[row] = bool(own) or bool(sample.tagged is not None and sample.caption)
    kept = np.flatnonzero(usable)
    labels = np.array([classes.index(samples[row].category) for row in kept], np.int64)
    _require_classes(classes, labels, np.any(images[kept] != 0, axis=1))
    return TrainingSet(
        samples=[samples[row] for row in kept],
        images=images[kept],
        labels=labels,
        parts=[parts.get(samples[row].name, FIT) for row in kept],
    )


def list_usable(resources: Context, run: Run, outputs: Outputs) -> list[str]:
    """Return the photos of a run that its backbone made vectors of: what comes next rests on it."""
    backbone = BackboneRef.model_validate(outputs["backbone"])
    with resources.database.read() as connection:
        samples = read_candidates(connection, run.params)
        return usable_photos(connection, backbone.hash, all_photos(samples))


def make_stripper(connection: Connection, params: Mapping[str, Any]) -> TagStripper:
    """Return what takes the words out of captions that their posts were found by."""
    known = read_categories().categories.values()
    # ImageNet's photos have no captions, and its words are as common as 'black' or 'dress'.
    terms = [term for one in known for term in (*one.instagram, *one.pexels)]
    tags = {post.tag for post in read_own_tagged(connection, params)}
    return TagStripper([*terms, *tags])


def _describe_held(params: Mapping[str, Any]) -> str:
    source, day = params.get("holdout_source"), params.get("holdout_after")
    return " and of ".join(part for part in (source, day and f"{day} or later") if part)


def _require_held(samples: Sequence[Sample], params: Mapping[str, Any]) -> None:
    source, day = params.get("holdout_source"), params.get("holdout_after")
    if source is not None and all(sample.source != source for sample in samples):
        known = ", ".join(sorted({sample.source for sample in samples}))
        raise TrainingError(f"No photo is from {source!r}: hold out one of {known}.")
    if day is None or any(is_held_out(sample, {"holdout_after": day}) for sample in samples):
        return
    times = [sample.posted_at for sample in samples if sample.posted_at is not None]
    newest = f"the newest is of {max(times):%Y-%m-%d}" if times else "none of them has a date"
    raise TrainingError(f"No tagged post is of {day} or later: {newest}. Hold out from earlier on.")


def _from_tagged(post: TaggedPost) -> Sample:
    return Sample(
        name=post.name,
        photos=post.photos,
        caption=post.caption,
        category=post.category,
        source=post.name.partition(":")[0],
        author=post.username,
        tagged=post.id,
        posted_at=post.posted_at,
    )


def all_photos(samples: Sequence[Sample]) -> set[str]:
    """Return every photo that some samples show."""
    return {photo for sample in samples for photo in sample.photos}


def group_keys(samples: Sequence[Sample], hashes: Mapping[str, int]) -> list[set[str]]:
    """Return what of each sample may give others away: itself, its author, what it looks like."""
    photos = sorted(all_photos(samples))
    near = group_near([hashes.get(photo) for photo in photos], NEAR_BITS)
    looks = {photo: f"look {group}" for photo, group in zip(photos, near.tolist(), strict=True)}
    return [
        {
            f"name {sample.name}",
            *(looks[photo] for photo in sample.photos),
            *([f"author {sample.author}"] if sample.author else []),
        }
        for sample in samples
    ]


def _require_classes(
    classes: Sequence[str], labels: NDArray[np.int64], pictured: NDArray[np.bool_]
) -> None:
    for place, name in enumerate(classes):
        if not np.any(pictured[labels == place]):
            raise TrainingError(
                f"None of the photos of {name} could be used: 'afin import photos' says why; "
                "import others, or train without that category."
            )
