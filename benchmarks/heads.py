"""How well each classifier tells photos apart: of kinds seen, unseen, and of unseen sources.

Run it as ``make bench NAME=heads`` with a table of real photos beside the checkout.
"""

import argparse
import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.report import describe_machine, note
from pipelines.evaluation.metrics import wilson_interval
from pipelines.fusion.multilabel import train_multilabel
from pipelines.fusion.reduce import fit_reducer
from pipelines.fusion.svm import SvmHyper, train_svm
from pipelines.fusion.train import NetworkHyper, train_network
from pipelines.methods import Head
from pipelines.vision.backbones import load_backbone
from pipelines.vision.decode import PhotoLimits, decode_photo

DATA = Path(__file__).parents[1] / "../shared/data"
FIVE = ("aire-libre", "animal", "comida", "deporte", "moda")
LIMITS = PhotoLimits(max_bytes=2**25, max_pixels=64_000_000)
FOLDS = 5
BATCH = 32

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Predict = Callable[[Floats, Ints, Floats], Ints]
"""Fit on vectors and labels, and say what other vectors are."""


@dataclass(frozen=True)
class Photos:
    """Vectors ``(n, d)``, labels, and of each photo its kind (a folder) and its source."""

    vectors: Floats
    labels: Ints
    kinds: Ints
    sources: Ints


def main() -> None:
    """Measure and print the result, as the last line in JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with PHOTOS.tsv")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--vectors", type=Path, help="file to keep vectors in between calls")
    options = parser.parse_args()
    photos = read_photos(options.data.resolve(), options.backbone, options.vectors)
    figures: dict[str, dict[str, object]] = {}
    for name, predict in HEADS.items():
        figures[name] = {
            protocol: measure(photos, predict, list(split(photos)))
            for protocol, split in PROTOCOLS.items()
        }
        note(f"{name}: {json.dumps(figures[name])}")
    document = {
        "bench": "heads",
        "ratios": {},
        "figures": {"photos": len(photos.labels), "classes": FIVE, **figures},
        "machine": describe_machine(),
    }
    print(json.dumps(document))


def read_photos(data: Path, backbone: str, keep: Path | None) -> Photos:
    """Read the photos of the training split of five categories, and embed them once."""
    with (data / "PHOTOS.tsv").open(newline="", encoding="utf-8") as file:
        every = list(csv.DictReader(file, delimiter="\t"))
    rows = [row for row in every if row["split"] == "train" and row["category"] in FIVE]
    folders = [(row["source_repo"], str(Path(row["source_path"]).parent)) for row in rows]
    if keep is not None and keep.exists():
        vectors = np.load(keep)
    else:
        vectors = embed([data / row["file"] for row in rows], backbone)
        if keep is not None:
            np.save(keep, vectors)
    return Photos(
        vectors=vectors,
        labels=np.array([FIVE.index(row["category"]) for row in rows], np.int64),
        kinds=number(folders),
        sources=number([(row["category"], row["source_repo"]) for row in rows]),
    )


def embed(paths: list[Path], name: str) -> Floats:
    """Return the vectors of photos by a backbone with its published weights."""
    backbone = load_backbone(name, device="cpu", weights_dir=Path("data/weights"))
    parts = []
    for start in range(0, len(paths), BATCH):
        batch = [
            decode_photo(path.read_bytes(), backbone.transform, LIMITS)
            for path in paths[start : start + BATCH]
        ]
        parts.append(backbone.embed(np.stack(batch)))
    return np.concatenate(parts)


def number(keys: list[tuple[str, str]]) -> Ints:
    """Return a number a key, the same for equal ones."""
    known = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    return np.array([known[key] for key in keys], np.int64)


def measure(photos: Photos, predict: Predict, folds: list[tuple[Ints, Ints]]) -> dict[str, object]:
    """Return the share of right photos over all folds, by photo and by class."""
    right = np.zeros(len(photos.labels), np.int64)
    asked = np.zeros(len(photos.labels), np.int64)
    for fit, test in folds:
        said = predict(photos.vectors[fit], photos.labels[fit], photos.vectors[test])
        right[test] += said == photos.labels[test]
        asked[test] += 1
    by_class = {
        name: round(float(right[own].sum() / asked[own].sum()), 4)
        for place, name in enumerate(FIVE)
        if asked[own := photos.labels == place].sum()
    }
    low, high = wilson_interval(int(right.sum()), int(asked.sum()))
    return {
        "right": round(float(right.sum() / asked.sum()), 4),
        "interval": [round(low, 4), round(high, 4)],
        "macro": round(float(np.mean(list(by_class.values()))), 4),
        "by_class": by_class,
        "asked": int(asked.sum()),
    }


def seen_kinds(photos: Photos) -> Iterator[tuple[Ints, Ints]]:
    """Five folds at random: kinds and sources are on both sides."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    yield from folds.split(photos.vectors, photos.labels)


def unseen_kinds(photos: Photos) -> Iterator[tuple[Ints, Ints]]:
    """Five folds of whole folders: every kind of thing is new."""
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    yield from folds.split(photos.vectors, photos.labels, photos.kinds)


def unseen_sources(photos: Photos) -> Iterator[tuple[Ints, Ints]]:
    """Each source of a category that has another one: nothing of it was seen in that category."""
    for source in np.unique(photos.sources):
        test = photos.sources == source
        label = photos.labels[test][0]
        if len(np.unique(photos.sources[photos.labels == label])) > 1:
            yield np.flatnonzero(~test), np.flatnonzero(test)


def by_logistic(vectors: Floats, labels: Ints, others: Floats) -> Ints:
    """Fit a linear head on the whole vectors."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    said: Ints = model.fit(vectors, labels).predict(others)
    return said


def by_head(train: Callable[[Floats, Floats, Ints], Head]) -> Predict:
    """Make a predictor of a classifier over reduced image vectors."""

    def predict(vectors: Floats, labels: Ints, others: Floats) -> Ints:
        reducer = fit_reducer(vectors, 128)
        blank = np.zeros((len(vectors), 0), np.float32)
        head = train(reducer.transform(vectors), blank, labels)
        said = head.predict(reducer.transform(others), np.zeros((len(others), 0), np.float32))
        top: Ints = said.argmax(axis=1)
        return top

    return predict


def _halves(image: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return np.ones(len(image), np.bool_), np.zeros(len(image), np.bool_)


def _network(image: Floats, text: Floats, labels: Ints) -> Head:
    return train_network(
        image, text, *_halves(image), labels, classes=len(FIVE), hyper=NetworkHyper(), seed=0
    ).network


def _svm(image: Floats, text: Floats, labels: Ints) -> Head:
    return train_svm(
        image, text, *_halves(image), labels, classes=len(FIVE), hyper=SvmHyper(), seed=0
    )


def _multilabel(image: Floats, text: Floats, labels: Ints) -> Head:
    targets = labels[:, None] == np.arange(len(FIVE))
    return train_multilabel(image, text, *_halves(image), targets)


HEADS: dict[str, Predict] = {
    "logistic": by_logistic,
    "network": by_head(_network),
    "svm": by_head(_svm),
    "multilabel": by_head(_multilabel),
}
PROTOCOLS = {
    "seen_kinds": seen_kinds,
    "unseen_kinds": unseen_kinds,
    "unseen_sources": unseen_sources,
}


if __name__ == "__main__":
    main()
