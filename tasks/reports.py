"""Gathering a bundle's report: every labelled set scored, its training, its worst mistakes."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from pipelines.evaluation.assess import SetKind
from pipelines.evaluation.drawing import Drawing
from pipelines.evaluation.figures import draw_map
from pipelines.evaluation.maps import MIN_POINTS, lay_out, sample_evenly
from pipelines.evaluation.mistakes import Mistake, find_mistakes, make_thumbnail
from pipelines.evaluation.report import (
    Report,
    SetMistakes,
    SourceSplit,
    find_histories,
    is_history,
)
from pipelines.vision.decode import PhotoLimits
from schemas.bundles import BundleInfo, BundleManifest
from schemas.categories import OTRA
from schemas.errors import BlobError, NotFoundError, UsageError
from storage.labelled import count_sources, read_source
from storage.photos import read_credits
from storage.stages import read_stages
from storage.vectors import read_image_vectors
from tasks.context import Context
from tasks.labelled import (
    EVERYBODY,
    Item,
    LabelledSet,
    find_training,
    list_sets,
    read_set,
    read_trained,
)
from tasks.scoring import ScoredSet, score_set
from tasks.set_vectors import Step, gather_vectors

CAPTION_CHARS = 160
"""As much of a caption as is shown beside a mistake."""

Vectors = NDArray[np.float32]

Tell = Callable[[str], None]
"""Called with what is being done."""


def build_report(
    resources: Context,
    info: BundleInfo,
    *,
    tell: Tell = lambda _what: None,
    on_step: Step = lambda _done, _total: None,
) -> Report:
    """Score a bundle on every labelled set there is and gather all that its report says.

    A set that cannot be scored is named with the reason, and the others go on.

    Raises:
        WeightsError: vectors are missing, and the bundle's backbone cannot be had here.
    """
    with resources.database.read() as connection:
        there_are = list_sets(connection)
        training = _read_histories(connection, info.manifest)
        split = _read_split(connection, info.manifest)
    scored: list[ScoredSet] = []
    skipped: dict[str, str] = {}
    for kind, name in _choose_sets(there_are):
        tell(f"Scoring {kind} of {name}")
        try:
            scored.append(score_set(resources, info, kind, name, on_step=on_step))
        except UsageError as error:
            skipped[f"{kind} of {name}"] = str(error)
    return Report(
        bundle=info,
        written_at=datetime.now(UTC),
        evaluations=tuple(each.evaluation for each in scored),
        mistakes=tuple(_show_mistakes(resources, info, each) for each in scored),
        training=training,
        split=tuple(split),
        skipped=skipped,
    )


def draw_maps(
    resources: Context, info: BundleInfo, *, points: int, tell: Tell = lambda _what: None
) -> list[Drawing]:
    """Lay out the vectors of labelled photos and of labelled captions in the plane.

    At most ``points`` of each are drawn, by the bundle's seed; below ten there is no map.
    """
    manifest = info.manifest
    maps: list[Drawing] = []
    if points < MIN_POINTS:
        return maps
    sources = [
        ("map-image", f"Photos by {manifest.backbone.name}", *_label_images(resources, manifest))
    ]
    sources += _label_texts(resources, info)
    for name, title, labels, vectors in sources:
        chosen = sample_evenly(labels, points, manifest.seed)
        if len(chosen) >= MIN_POINTS:
            tell(f"Laying out {len(chosen)} vectors: {title.lower()}")
            places = lay_out(vectors[chosen], seed=manifest.seed)
            maps.append(draw_map(name, title, places, [labels[place] for place in chosen]))
    return maps


def _choose_sets(there_are: dict[SetKind, dict[str, int]]) -> Iterator[tuple[SetKind, str]]:
    """Name every set once; several labellers of one thing are also asked together."""
    for kind, sizes in there_are.items():
        for name in sizes:
            yield kind, name
        if kind != "photos" and len(sizes) > 1:
            yield kind, EVERYBODY


def _read_split(connection: Connection, manifest: BundleManifest) -> list[SourceSplit]:
    """Return which photos of each source a bundle was trained on; nothing if that is unknown."""
    trained = read_trained(connection, manifest)
    if not trained.known:
        return []
    splits = []
    for source in count_sources(connection):
        photos = {row.sha256: row.split for row in read_source(connection, source)}
        others = Counter(
            split or "no split" for sha256, split in photos.items() if sha256 not in trained.photos
        )
        splits.append(
            SourceSplit(
                source=source,
                trained=len(photos) - others.total(),
                others=dict(sorted(others.items())),
            )
        )
    return splits


def _read_histories(
    connection: Connection, manifest: BundleManifest
) -> dict[str, list[dict[str, float | None]]]:
    """Return what was noted of a bundle's training epoch by epoch, by stage.

    The bundle tells itself what it can; stages that it does not know are asked besides.
    """
    found = find_histories(manifest.metrics)
    run = find_training(connection, manifest)
    stages = read_stages(connection, run.id) if run is not None else {}
    for name, stage in stages.items():
        history = (stage.output or {}).get("history")
        if is_history(history):
            found.setdefault(name, find_histories({"history": history}, name)[name])
    return found


def _show_mistakes(resources: Context, info: BundleInfo, scored: ScoredSet) -> SetMistakes:
    evaluation, best = scored.evaluation, scored.best
    shown: list[Mistake] = []
    if evaluation.kind != "accounts":
        classes = info.manifest.classes
        truth = [item.truth for item in scored.items]
        for row, probability in find_mistakes(best, truth, classes):
            item = scored.items[row]
            shown.append(
                Mistake(
                    place=item.key if evaluation.kind == "posts" else item.key[:12],
                    truth=tuple(sorted(item.truth)),
                    answer=tuple(sorted(best.predicted[row] or ())),
                    probability=probability,
                    caption=item.caption[:CAPTION_CHARS],
                    image=_thumbnail(resources, item.photos),
                    credit=_credit(resources, item.photos),
                )
            )
    return SetMistakes(
        kind=evaluation.kind, name=evaluation.name, method=best.label, mistakes=tuple(shown)
    )


def _thumbnail(resources: Context, photos: Sequence[str]) -> str | None:
    settings = resources.settings
    limits = PhotoLimits(max_bytes=settings.max_photo_bytes, max_pixels=settings.max_photo_pixels)
    for sha256 in photos:
        try:
            found = make_thumbnail(resources.blobs.read_photo(sha256), limits)
        except BlobError:
            continue
        if found is not None:
            return found
    return None


def _credit(resources: Context, photos: Sequence[str]) -> str:
    with resources.database.read() as connection:
        found = read_credits(connection, photos)
    return next(iter(found.values()), "")


def _label_images(resources: Context, manifest: BundleManifest) -> tuple[list[str], Vectors]:
    """Return the categories and vectors of all photos of sources that the bundle's kind has."""
    with resources.database.read() as connection:
        rows = [row for name in count_sources(connection) for row in read_source(connection, name)]
        wanted = {*manifest.classes, OTRA}
        filed = {row.sha256: row.category for row in rows if row.category in wanted}
        vectors = read_image_vectors(connection, manifest.backbone.hash, filed)
    usable = [sha for sha in filed if isinstance(vectors.get(sha), np.ndarray)]
    stacked = [vector for sha in usable if isinstance(vector := vectors[sha], np.ndarray)]
    if not stacked:
        return [], np.zeros((0, manifest.backbone.width), np.float32)
    return [filed[sha] for sha in usable], np.stack(stacked)


def _label_texts(resources: Context, info: BundleInfo) -> list[tuple[str, str, list[str], Vectors]]:
    """Return the categories and vectors of labelled captions, for each text model."""
    manifest = info.manifest
    labelled = dict(_label_captions(resources, info)) if manifest.text_models else {}
    if not labelled:
        return []
    found = gather_vectors(resources, info.id, list(labelled), lambda _done, _total: None)
    labels = list(labelled.values())
    sources = []
    for name, ref, vectors in (
        ("map-text", manifest.text_model, found.text),
        ("map-text-supervised", manifest.supervised_model, found.supervised),
    ):
        if ref is not None and vectors is not None:
            usable = np.any(vectors != 0, axis=1)
            kept = [label for label, good in zip(labels, usable.tolist(), strict=True) if good]
            sources.append((name, f"Captions by {ref.name}", kept, vectors[usable]))
    return sources


def _label_captions(resources: Context, info: BundleInfo) -> Iterator[tuple[Item, str]]:
    classes = set(info.manifest.classes)
    with resources.database.read() as connection:
        there_are = list_sets(connection)
    for kind, name in _choose_sets(there_are):
        if kind == "accounts":
            continue
        try:
            found: LabelledSet = read_set(resources, kind, name, [])
        except (NotFoundError, UsageError):
            continue
        for item in found.items:
            known = sorted(item.truth & classes)
            if item.caption and len(known) <= 1:
                # The words alone: nobody needs these photos' vectors.
                yield (
                    replace(item, key="", owner="", photos=(), truth=frozenset()),
                    (known[0] if known else OTRA),
                )
