"""How many wrong labels are found among real ones: some are made wrong on purpose.

Run it as ``make bench NAME=noise`` with ``AFIN_DATA_DIR`` naming a store in which photos were
imported and trained on. Nothing in that store is changed.
"""

import argparse
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import describe_machine, note
from pipelines.doubt import ask_without, find_doubtful
from pipelines.evaluation.metrics import wilson_interval
from tasks.context import context
from tasks.doubts import Labelled, gather_labelled


def main() -> None:
    """Measure and print the result, as the last line in JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", help="whose vectors are used; else the active one's")
    parser.add_argument("--share", type=float, default=0.05, help="of the labels made wrong")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    whole = gather_labelled(context(), options.bundle)
    found = [measure(whole, options.share, seed) for seed in range(options.seeds)]
    own = doubt(whole, whole.labels, 0)
    figures: dict[str, Any] = {
        "labels": len(whole.labels),
        "classes": len(whole.classes),
        "doubted_as_they_are": len(own),
        "runs": found,
    }
    for name in ("precision", "recall", "rightly_suggested"):
        figures[name] = round(float(np.mean([one[name] for one in found])), 4)
    document = {"bench": "noise", "ratios": {}, "figures": figures, "machine": describe_machine()}
    print(json.dumps(document))


def measure(whole: Labelled, share: float, seed: int) -> dict[str, Any]:
    """Make some labels wrong, each class's alike, and say which of those are found.

    Precision counts every doubt of a label left alone as false, also where that label was wrong
    before: it is a lower bound.
    """
    rng = np.random.default_rng(seed)
    labels = whole.labels.copy()
    wrong = rng.choice(len(labels), round(share * len(labels)), replace=False)
    labels[wrong] = (labels[wrong] + rng.integers(1, len(whole.classes), len(wrong))) % len(
        whole.classes
    )
    doubted = doubt(whole, labels, seed)
    hits = sorted(set(doubted) & set(wrong.tolist()))
    right = sum(doubted[row] == whole.labels[row] for row in hits)
    precision, recall = len(hits) / max(len(doubted), 1), len(hits) / len(wrong)
    note(f"seed {seed}: {len(doubted)} doubted, {len(hits)} of {len(wrong)} wrong ones found")
    return {
        "wrong": len(wrong),
        "doubted": len(doubted),
        "found": len(hits),
        "precision": precision,
        "precision_interval": wilson_interval(len(hits), len(doubted)),
        "recall": recall,
        "recall_interval": wilson_interval(len(hits), len(wrong)),
        "rightly_suggested": right / max(len(hits), 1),
    }


def doubt(whole: Labelled, labels: NDArray[np.int64], seed: int) -> dict[int, int]:
    """Return the rows whose label is doubted, and what they are taken for."""
    classes = len(whole.classes)
    said = ask_without(whole.inputs, labels, whole.groups, classes=classes, seed=seed)
    found = find_doubtful(labels, said)
    return dict(zip(found.rows.tolist(), found.suggested.tolist(), strict=True))


if __name__ == "__main__":
    main()
