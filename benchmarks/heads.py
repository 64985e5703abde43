"""How well each classifier tells photos apart: of kinds seen, unseen, and of unseen sources.

Run it as ``make bench NAME=heads`` with a table of real photos beside the checkout.
"""

import argparse
import csv
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from benchmarks.report import describe_machine, note
from pipelines.evaluation.metrics import wilson_interval
from pipelines.fusion.concepts import STRENGTH, Concepts, fit_correction, tell_concepts
from pipelines.fusion.multilabel import train_multilabel
from pipelines.fusion.network import fit_scale
from pipelines.fusion.reduce import fit_reducer
from pipelines.fusion.svm import SvmHyper, train_svm
from pipelines.fusion.train import NetworkHyper, train_network
from pipelines.methods import Head
from pipelines.vision.architectures import read_classifier
from pipelines.vision.backbones import load_backbone
from pipelines.vision.decode import PhotoLimits, decode_photo
from pipelines.vision.weights import find_weights

DATA = Path(__file__).parents[1] / "../shared/data"
WEIGHTS = Path("data/weights")
FIVE = ("aire-libre", "animal", "comida", "deporte", "moda")
SETS = {"five": FIVE, "seven": (*FIVE, "musica", "viajes", "otra")}
LIMITS = PhotoLimits(max_bytes=2**25, max_pixels=64_000_000)
FOLDS = 5
BATCH = 32

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Fit = Callable[[Floats, Ints, Floats], Ints]


@dataclass(frozen=True)
class Photos:
    """Vectors ``(n, d)``, labels, and of each photo its kind (a folder) and its source."""

    classes: tuple[str, ...]
    concepts: Concepts
    vectors: Floats
    labels: Ints
    kinds: Ints
    sources: Ints


Predict = Callable[[Photos, Ints, Ints], Ints]
"""Fit on some rows, and say what other rows are."""


def main() -> None:
    """Measure and print the result, as the last line in JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with PHOTOS.tsv")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--classes", choices=SETS, default="five")
    parser.add_argument("--heads", default=",".join(HEADS))
    parser.add_argument(
        "--vectors",
        type=Path,
        default=Path(tempfile.gettempdir()) / "afin-bench-heads",
        help="folder to keep vectors in between calls",
    )
    options = parser.parse_args()
    classes = SETS[options.classes]
    photos = read_photos(options.data.resolve(), classes, options.backbone, options.vectors)
    figures: dict[str, dict[str, object]] = {}
    for name in options.heads.split(","):
        figures[name] = {
            protocol: measure(photos, HEADS[name], list(split(photos)))
            for protocol, split in PROTOCOLS.items()
        }
        note(f"{name}: {json.dumps(figures[name])}")
    document = {
        "bench": "heads",
        "ratios": {},
        "figures": {"photos": len(photos.labels), "classes": classes, **figures},
        "machine": describe_machine(),
    }
    print(json.dumps(document))


def read_photos(data: Path, classes: tuple[str, ...], backbone: str, keep: Path) -> Photos:
    """Read the photos of the training split of some classes, and embed every one only once."""
    with (data / "PHOTOS.tsv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["split"] == "train"]
    chosen = np.array([row["category"] in classes for row in rows])
    own = [row for row in rows if row["category"] in classes]
    folders = [(row["source_repo"], str(Path(row["source_path"]).parent)) for row in own]
    vectors = embed([data / row["file"] for row in rows], backbone, keep)[chosen]
    classifier = read_classifier(backbone, find_weights(backbone, WEIGHTS))
    return Photos(
        classes=classes,
        concepts=tell_concepts(*classifier, classes),
        vectors=vectors,
        labels=np.array([classes.index(row["category"]) for row in own], np.int64),
        kinds=number(folders),
        sources=number([(row["category"], row["source_repo"]) for row in own]),
    )


def embed(paths: list[Path], name: str, keep: Path) -> Floats:
    """Return the vectors of photos by a backbone with its published weights, kept for next time."""
    backbone = load_backbone(name, device="cpu", weights_dir=WEIGHTS, engine="auto")
    kept = keep / f"{backbone.ref.hash}-{len(paths)}.npz"
    if kept.exists():
        found: Floats = np.load(kept)["vectors"]
        return found
    parts = []
    for start in range(0, len(paths), BATCH):
        batch = [
            decode_photo(path.read_bytes(), backbone.transform, LIMITS)
            for path in paths[start : start + BATCH]
        ]
        parts.append(backbone.embed(np.stack(batch)))
    vectors = np.concatenate(parts)
    keep.mkdir(parents=True, exist_ok=True)
    np.savez(kept, vectors=vectors)
    return vectors


def number(keys: list[tuple[str, str]]) -> Ints:
    """Return a number a key, the same for equal ones."""
    known = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    return np.array([known[key] for key in keys], np.int64)


def measure(photos: Photos, predict: Predict, folds: list[tuple[Ints, Ints]]) -> dict[str, object]:
    """Return the share of right photos over all folds, by photo and by class."""
    right = np.zeros(len(photos.labels), np.int64)
    asked = np.zeros(len(photos.labels), np.int64)
    for fit, test in folds:
        said = predict(photos, fit, test)
        right[test] += said == photos.labels[test]
        asked[test] += 1
    by_class = {
        name: round(float(right[own].sum() / asked[own].sum()), 4)
        for place, name in enumerate(photos.classes)
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


def by_vectors(fit: Fit) -> Predict:
    """Make a predictor of what fits on whole vectors and labels."""

    def predict(photos: Photos, rows: Ints, others: Ints) -> Ints:
        return fit(photos.vectors[rows], photos.labels[rows], photos.vectors[others])

    return predict


def by_sklearn(*steps: Callable[[], object]) -> Predict:
    """Make a predictor of a pipeline of scikit-learn."""

    def fit(vectors: Floats, labels: Ints, others: Floats) -> Ints:
        model = make_pipeline(*(step() for step in steps))
        said: Ints = model.fit(vectors, labels).predict(others)
        return said

    return by_vectors(fit)


def by_prototypes(vectors: Floats, labels: Ints, others: Floats) -> Ints:
    """Take the class whose mean direction is nearest."""

    def centre(x: Floats) -> Floats:
        unit: Floats = x / np.linalg.norm(x, axis=1, keepdims=True)
        return unit

    mean = centre(vectors).mean(axis=0)
    own, asked = centre(centre(vectors) - mean), centre(centre(others) - mean)
    corners = np.stack([own[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    said: Ints = (asked @ corners.T).argmax(axis=1)
    return said


def by_concepts(photos: Photos, _rows: Ints, others: Ints) -> Ints:
    """Learn nothing: take what the backbone's own classifier makes of a photo."""
    said: Ints = photos.concepts.predict(photos.vectors[others]).argmax(axis=1)
    return said


def by_corrected(strength: float) -> Predict:
    """Learn corrections of what the backbone's own classifier says, on reduced vectors."""

    def predict(photos: Photos, rows: Ints, others: Ints) -> Ints:
        own, asked = photos.vectors[rows], photos.vectors[others]
        reducer = fit_reducer(own, 128)
        reduced = reducer.transform(own)
        scale = fit_scale(reduced, np.ones(len(rows), np.bool_))
        weights, bias = fit_correction(
            scale.apply(reduced),
            photos.concepts.predict(own),
            photos.labels[rows],
            strength=strength,
        )
        logits = np.log(photos.concepts.predict(asked))
        logits += scale.apply(reducer.transform(asked)) @ weights + bias
        said: Ints = logits.argmax(axis=1)
        return said

    return predict


def by_head(train: Callable[[Floats, Floats, Ints], Head]) -> Predict:
    """Make a predictor of a classifier over reduced image vectors."""

    def fit(vectors: Floats, labels: Ints, others: Floats) -> Ints:
        reducer = fit_reducer(vectors, 128)
        blank = np.zeros((len(vectors), 0), np.float32)
        head = train(reducer.transform(vectors), blank, labels)
        said = head.predict(reducer.transform(others), np.zeros((len(others), 0), np.float32))
        top: Ints = said.argmax(axis=1)
        return top

    return by_vectors(fit)


def _halves(image: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return np.ones(len(image), np.bool_), np.zeros(len(image), np.bool_)


def _network(image: Floats, text: Floats, labels: Ints) -> Head:
    classes = int(labels.max()) + 1
    return train_network(
        image, text, *_halves(image), labels, classes=classes, hyper=NetworkHyper(), seed=0
    ).network


def _svm(image: Floats, text: Floats, labels: Ints) -> Head:
    classes = int(labels.max()) + 1
    return train_svm(
        image, text, *_halves(image), labels, classes=classes, hyper=SvmHyper(), seed=0
    )


def _multilabel(image: Floats, text: Floats, labels: Ints) -> Head:
    targets = labels[:, None] == np.arange(int(labels.max()) + 1)
    return train_multilabel(image, text, *_halves(image), targets)


HEADS: dict[str, Predict] = {
    "logistic": by_sklearn(StandardScaler, lambda: LogisticRegression(C=0.01, max_iter=300)),
    "logistic-strong": by_sklearn(StandardScaler, lambda: LogisticRegression(C=1e-4, max_iter=300)),
    "logistic-unit": by_sklearn(
        Normalizer, StandardScaler, lambda: LogisticRegression(C=1e-3, max_iter=300)
    ),
    "lda": by_sklearn(lambda: LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.9)),
    "prototypes": by_vectors(by_prototypes),
    "network": by_head(_network),
    "svm": by_head(_svm),
    "multilabel": by_head(_multilabel),
    "concepts": by_concepts,
    "corrected": by_corrected(STRENGTH),
    "corrected-strong": by_corrected(STRENGTH / 10),
}
PROTOCOLS = {
    "seen_kinds": seen_kinds,
    "unseen_kinds": unseen_kinds,
    "unseen_sources": unseen_sources,
}


if __name__ == "__main__":
    main()
