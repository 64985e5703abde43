"""How much fine-tuning a backbone gains, on photos of trained sources and of sources left out."""

import argparse
import csv
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from benchmarks.photos import REAL
from benchmarks.report import note, print_result
from pipelines.evaluation.metrics import wilson_interval
from pipelines.vision.backbones import Backbone, BackboneSpec, load_backbone, resolve_backbone
from pipelines.vision.decode import PhotoLimits, decode_photo
from pipelines.vision.finetune import FineTuned, Machine, Watch, fine_tune, fine_tune_head
from pipelines.vision.loading import LabelledPhotos
from pipelines.vision.weights import hash_file
from schemas.bundles import TunedWeights
from schemas.finetuning import FineTuning, parse_finetuning

CATEGORIES = ("aire-libre", "animal", "comida", "deporte", "moda")
TWO_SOURCES = ("comida", "deporte")
"""The categories whose photos come from two collections each."""

CALTECH = "Caltech101"
LIMITS = PhotoLimits(max_bytes=32 * 2**20, max_pixels=64_000_000)
EMBEDDED_AT_ONCE = 32


@dataclass(frozen=True)
class Photo:
    """A real photo and what is known of it."""

    path: Path
    category: str
    caltech: bool


@dataclass(frozen=True)
class Fold:
    """What is trained on, new photos of the same sources, and photos of sources left out."""

    name: str
    trained: list[Photo]
    same: list[Photo]
    cross: list[Photo]


def main() -> None:
    """Train each preset on each fold and print what share of the photos it gets right."""
    options = _read_options()
    table = read_photos(REAL.parent / "PHOTOS.tsv")
    folds = [
        make_fold(table, left_out_caltech=caltech, each=options.each, seed=options.seed)
        for caltech in (True, False)
    ]
    spec = resolve_backbone(options.backbone, weights_dir=options.weights, weights=options.start)
    figures: dict[str, Any] = {"backbone": options.backbone, "weights": options.start}
    for preset in options.presets:
        hyper = parse_finetuning(preset, options.set)
        right: dict[str, list[bool]] = {"same": [], "cross": []}
        for fold in folds:
            started = time.process_time()
            tuned = train(spec, fold.trained, hyper, options)
            taken_s = time.process_time() - started
            with tempfile.TemporaryDirectory() as folder:
                backbone = load_tuned(spec, tuned, hyper, Path(folder), options)
                scores = {
                    "same": predict(backbone, tuned, fold.same),
                    "cross": predict(backbone, tuned, fold.cross),
                }
            for kind, found in scores.items():
                right[kind] += found
            losses = [round(curve.train_loss, 3) for curve in tuned.history]
            figures[f"{preset} {fold.name}"] = {
                "train_loss": losses,
                "cpu_s": round(taken_s),
                **{kind: describe(found) for kind, found in scores.items()},
            }
            note(f"{preset} {fold.name}: {figures[f'{preset} {fold.name}']}")
        figures[preset] = {kind: describe(found) for kind, found in right.items()}
    print_result("finetune", {}, figures)


def read_photos(path: Path) -> list[Photo]:
    """Read the table of real photos; only those meant for training."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Photo(path.parent / row["file"], row["category"], CALTECH in row["source_repo"])
            for row in csv.DictReader(file, delimiter="\t")
            if row["split"] == "train" and row["category"] in CATEGORIES
        ]


def make_fold(photos: Sequence[Photo], *, left_out_caltech: bool, each: int, seed: int) -> Fold:
    """Leave one source of ``TWO_SOURCES`` out; take ``each`` photos of every category otherwise."""
    random = np.random.default_rng(seed)
    trained: list[Photo] = []
    same: list[Photo] = []
    cross: list[Photo] = []
    for category in CATEGORIES:
        mine = [photo for photo in photos if photo.category == category]
        out = [p for p in mine if category in TWO_SOURCES and p.caltech is left_out_caltech]
        kept = [photo for photo in mine if photo not in out]
        order = random.permutation(len(kept))
        trained += [kept[place] for place in order[:each]]
        same += [kept[place] for place in order[each : 2 * each]]
        cross += [out[place] for place in random.permutation(len(out))[: 2 * each]]
    return Fold("without Caltech" if left_out_caltech else "Caltech only", trained, same, cross)


def train(
    spec: BackboneSpec, photos: list[Photo], hyper: FineTuning, options: argparse.Namespace
) -> FineTuned:
    """Train a preset on photos; the frozen one on vectors, as ``afin train`` does."""
    hashes = [photo.path.stem for photo in photos]
    labels = np.array([CATEGORIES.index(photo.category) for photo in photos], np.int64)
    watch = Watch(on_epoch=lambda curve: note(str(curve)))
    if hyper.trained == "head":
        backbone = _load(spec, options)
        vectors = embed(backbone, photos)
        return fine_tune_head(
            vectors, hashes, labels, classes=len(CATEGORIES), hyper=hyper, seed=options.seed
        )
    read = LabelledPhotos(hashes, labels, lambda row: photos[row].path.read_bytes(), LIMITS)
    return fine_tune(
        spec,
        read,
        classes=len(CATEGORIES),
        hyper=hyper,
        seed=options.seed,
        machine=Machine(),
        watch=watch,
    )


def load_tuned(
    spec: BackboneSpec,
    tuned: FineTuned,
    hyper: FineTuning,
    folder: Path,
    options: argparse.Namespace,
) -> Backbone:
    """Load what was trained the way a gpu worker does; the untouched backbone if it was frozen."""
    if not tuned.body:
        return _load(spec, options)
    path = folder / "tuned.safetensors"
    save_file(tuned.body, path)
    found = TunedWeights(sha256=hash_file(path), input_size=hyper.input_size)
    return load_backbone(
        spec.ref.name, device="cpu", weights_dir=options.weights, tuned=(found, path)
    )


def predict(backbone: Backbone, tuned: FineTuned, photos: list[Photo]) -> list[bool]:
    """Return of each photo whether its top class is right."""
    logits = embed(backbone, photos) @ tuned.weight.T + tuned.bias
    truth = [CATEGORIES.index(photo.category) for photo in photos]
    return [bool(found) for found in logits.argmax(axis=1) == truth]


def embed(backbone: Backbone, photos: list[Photo]) -> NDArray[np.float32]:
    """Return the photos' vectors, ``(n, d)``."""
    pixels = [decode_photo(p.path.read_bytes(), backbone.transform, LIMITS) for p in photos]
    starts = range(0, len(pixels), EMBEDDED_AT_ONCE)
    parts = [np.stack(pixels[start : start + EMBEDDED_AT_ONCE]) for start in starts]
    return np.concatenate([backbone.embed(part) for part in parts])


def describe(right: list[bool]) -> str:
    """Return accuracy with its 95 % interval."""
    low, high = wilson_interval(sum(right), len(right))
    return f"{np.mean(right):.1%} ({low:.1%}-{high:.1%}) of {len(right)}"


def _load(spec: BackboneSpec, options: argparse.Namespace) -> Backbone:
    return load_backbone(
        spec.ref.name, device="cpu", weights_dir=options.weights, weights=options.start
    )


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--presets", nargs="+", default=["frozen", "thesis", "modern"])
    parser.add_argument("--set", nargs="*", default=[], help="settings to change: epochs=5")
    parser.add_argument("--each", type=int, default=40, help="photos a category")
    parser.add_argument("--weights", type=Path, default=Path("data/weights"), help="their folder")
    parser.add_argument("--start", choices=["pretrained", "random"], default="pretrained")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
