"""fastText: train a model on captions, and turn captions into sentence vectors with it."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.text.clean import clean_caption
from pipelines.text.vectors import require_width
from schemas.bundles import TextModelRef
from schemas.errors import BundleError, NotFoundError, TrainingError

Kind = Literal["skipgram", "cbow", "supervised"]

LABEL = "__label__"
"""What fastText's files put before a label; cleaned captions hold no underscores."""

_MIN_BUCKETS = 2**12
_MAX_BUCKETS = 2**17
_BUCKETS_PER_WORD = 8


def train_text_model(
    captions: Iterable[str],
    out: Path,
    *,
    kind: Kind = "skipgram",
    width: int = 128,
    epochs: int = 15,
    min_count: int = 2,
    seed: int = 0,
    labels: Iterable[str] | None = None,
    vectors: Path | None = None,
) -> TextModelRef:
    """Train fastText on captions (cleaned here) and write its ``.bin`` to ``out``.

    Kind ``supervised`` learns to tell the ``labels`` apart, one a caption; the others take none.
    Words begin with the ``vectors`` of a ``.vec`` file of the same width, if there is one, and all
    of its words are known afterwards.

    The same captions in the same order and the same settings give the same bytes, so training runs
    on one thread in a process of its own: within a process fastText's random numbers go on from
    the last model. ``out`` appears only when it is whole.

    Words rarer than ``min_count`` are left out. Rarer than fastText's usual 5, because a
    fleet's captions may be few. Vectors are ``width`` float32 values; skipgram, 128 wide, 15 epochs
    as in the thesis (section 4.2).

    Raises:
        ValueError: labels are missing for the supervised kind, or given for another.
        TrainingError: no word is frequent enough, vectors have another width, or fastText failed.
    """
    if vectors is not None:
        require_width(vectors, width)
    if (kind == "supervised") != (labels is not None):
        raise ValueError("Labels go with supervised fastText, and only with that.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fasttext-", dir=out.parent) as folder:
        text, model = Path(folder, "captions.txt"), Path(folder, "model.bin")
        words = _write_corpus(captions, text, labels)
        known = sum(count >= min_count for count in words.values())
        if not known:
            raise TrainingError(
                f"Too little text for a text model: none of {len(words)} different words occurs "
                f"{min_count} times; import more captions or train on photos alone."
            )
        settings = {
            "input": str(text),
            "model": kind,
            "dim": width,
            "epoch": epochs,
            "minCount": min_count,
            # Its own default: whole words only, no n-grams.
            "bucket": 0 if kind == "supervised" else choose_buckets(known),
        }
        if vectors is not None:
            settings["pretrainedVectors"] = str(vectors)
        _train_apart(settings, seed, model)
        with model.open("rb+") as file:
            os.fsync(file.fileno())
        ref = TextModelRef(name=f"fasttext-{kind}", hash=_hash_file(model), width=width)
        model.replace(out)
    return ref


def choose_buckets(words: int) -> int:
    """Return how many n-gram vectors suit a vocabulary of so many words.

    A power of two near eight a word (the distinct n-grams of Spanish words are about that many),
    at least 4,096 and at most 131,072: at 128 float32 values each that is 2 to 67 MB, where
    fastText's own two million would make every model a gigabyte.
    """
    wanted = 1 << (max(words, 1) * _BUCKETS_PER_WORD - 1).bit_length()
    return min(max(wanted, _MIN_BUCKETS), _MAX_BUCKETS)


def _write_corpus(
    captions: Iterable[str], path: Path, labels: Iterable[str] | None
) -> Counter[str]:
    words: Counter[str] = Counter()
    lines: Iterable[tuple[str, str]] = ((caption, "") for caption in captions)
    if labels is not None:
        lines = zip(captions, (f"{LABEL}{label} " for label in labels), strict=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for caption, label in lines:
            cleaned = clean_caption(caption)
            if cleaned:
                words.update(cleaned.split(" "))
                file.write(f"{label}{cleaned}\n")
    return words


def _train_apart(settings: dict[str, Any], seed: int, out: Path) -> None:
    job = json.dumps({"settings": settings, "seed": seed, "out": str(out)})
    command = [sys.executable, "-m", "pipelines.text.fasttext_train", job]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell, and the arguments are ours
    if done.returncode != 0 or not out.exists():
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise TrainingError(f"fastText could not train the text model: {last}")


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


class TextModel:
    """A fastText model in memory."""

    def __init__(self, model: Any, ref: TextModelRef) -> None:
        self._model = model
        self.ref = ref

    @classmethod
    def load(cls, path: Path) -> "TextModel":
        """Load a ``.bin`` file, our own or one of the published pretrained ones.

        Raises:
            NotFoundError: there is no such file.
            BundleError: the file is not a fastText model.
        """
        import fasttext

        if not path.is_file():
            raise NotFoundError(f"There is no text model at {path}.")
        try:
            model = fasttext.load_model(str(path))
        except (ValueError, RuntimeError, MemoryError) as error:
            raise BundleError(f"{path} is not a fastText model ({error}).") from error
        args = model.f.getArgs()
        kind = {"sg": "skipgram"}.get(args.model.name, args.model.name)
        name = f"fasttext-{'supervised' if kind == 'sup' else kind}"
        return cls(model, TextModelRef(name=name, hash=_hash_file(path), width=args.dim))

    def embed(self, captions: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return sentence vectors ``(n, width) float32``, and which captions are usable ``(n,)``.

        A caption with no word of the model's vocabulary gets zeros and is not usable: the n-grams
        of strange words alone were hardly trained, and would weigh as much as real words.
        """
        vectors = np.zeros((len(captions), self.ref.width), np.float32)
        usable = np.zeros(len(captions), np.bool_)
        for row, caption in enumerate(captions):
            cleaned = clean_caption(caption)
            if any(self._model.get_word_id(word) >= 0 for word in cleaned.split()):
                vectors[row] = self._model.get_sentence_vector(cleaned)
                usable[row] = True
        return vectors, usable
