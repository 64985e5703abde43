"""What short Spanish texts are about: fastText against a multilingual sentence model.

Run it as ``make bench NAME=texts`` with the real texts beside the checkout.
"""

import argparse
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, hamming_loss
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

from benchmarks.report import describe_machine, note
from pipelines.text.fasttext import TextModel, train_text_model
from pipelines.text.sentences import SentenceModel

DATA = Path(__file__).parents[1] / "../shared/data/text/xtopic_es.jsonl"
FOLDS = 5
WIDTH = 128

Floats = NDArray[np.float32]
Embed = Callable[[list[str], list[str], list[str], list[str]], tuple[Floats, Floats]]
"""Texts to fit on with their topics (the first of each), all texts, and texts to be judged."""


def main() -> None:
    """Measure and print the result, as the last line in JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=Path, default=DATA, help="JSON lines: text, all_topics")
    parser.add_argument("--ways", default=",".join(WAYS))
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.texts.open(encoding="utf-8")]
    texts = [row["text"] for row in rows]
    topics = sorted({topic for row in rows for topic in row["all_topics"]})
    truth = np.array([[topic in row["all_topics"] for topic in topics] for row in rows])
    first = [row["all_topics"][0] for row in rows]
    figures: dict[str, Any] = {
        "texts": len(texts),
        "topics": len(topics),
        "hamming_of_nothing": round(float(truth.mean()), 4),
    }
    for name in options.ways.split(","):
        figures[name] = measure(WAYS[name], texts, first, truth)
        note(f"{name}: {figures[name]}")
    document = {"bench": "texts", "ratios": {}, "figures": figures, "machine": describe_machine()}
    print(json.dumps(document))


def measure(
    embed: Embed, texts: list[str], first: list[str], truth: NDArray[np.bool_]
) -> dict[str, float]:
    """Return macro-F1 and Hamming loss over five folds, a yes or no a topic."""
    guessed = np.zeros_like(truth)
    for fit, test in KFold(FOLDS, shuffle=True, random_state=0).split(texts):
        x, others = embed(
            [texts[row] for row in fit],
            [first[row] for row in fit],
            texts,
            [texts[row] for row in test],
        )
        scaler = StandardScaler().fit(x)
        for topic in range(truth.shape[1]):
            own = truth[fit, topic]
            if own.any() and not own.all():
                model = LogisticRegression(C=0.1, max_iter=500, class_weight="balanced")
                fitted = model.fit(scaler.transform(x), own)
                guessed[test, topic] = fitted.predict(scaler.transform(others))
    return {
        "macro_f1": round(float(f1_score(truth, guessed, average="macro", zero_division=0)), 4),
        "micro_f1": round(float(f1_score(truth, guessed, average="micro", zero_division=0)), 4),
        "hamming": round(float(hamming_loss(truth, guessed)), 4),
    }


def unsupervised(kind: Literal["skipgram", "cbow"]) -> Embed:
    """Embed by fastText trained on every text, whose topics it never sees."""

    def embed(
        fit: list[str], _first: list[str], every: list[str], test: list[str]
    ) -> tuple[Floats, Floats]:
        with TemporaryDirectory(prefix="afin-bench-") as folder:
            path = Path(folder) / "text.bin"
            train_text_model(every, path, kind=kind, width=WIDTH)
            model = TextModel.load(path)
            return model.embed(fit)[0], model.embed(test)[0]

    return embed


def supervised(
    fit: list[str], first: list[str], _every: list[str], test: list[str]
) -> tuple[Floats, Floats]:
    """Embed by fastText that learnt the first topic of the texts to fit on."""
    labels = [topic.replace(" ", "-") for topic in first]
    with TemporaryDirectory(prefix="afin-bench-") as folder:
        path = Path(folder) / "text.bin"
        train_text_model(fit, path, kind="supervised", labels=labels, width=WIDTH)
        model = TextModel.load(path)
        return model.embed(fit)[0], model.embed(test)[0]


def by_sentences(
    fit: list[str], _first: list[str], every: list[str], test: list[str]
) -> tuple[Floats, Floats]:
    """Embed by multilingual-e5-small, four bits a weight; it learns nothing here."""
    known = embed_sentences(tuple(every))
    return np.stack([known[text] for text in fit]), np.stack([known[text] for text in test])


@cache
def embed_sentences(texts: tuple[str, ...]) -> dict[str, Floats]:
    """Return the vector ``(384,)`` of each text; once for all folds."""
    vectors, _usable = SentenceModel.load().embed(texts)
    return dict(zip(texts, vectors, strict=True))


WAYS: dict[str, Embed] = {
    "skipgram": unsupervised("skipgram"),
    "cbow": unsupervised("cbow"),
    "supervised": supervised,
    "sentence_model": by_sentences,
}


if __name__ == "__main__":
    main()
