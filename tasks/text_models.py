"""The stage of a training that makes its text models, and the vectors of captions by them."""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.split import FIT
from pipelines.text.clean import clean_caption
from pipelines.text.fasttext import train_text_model
from pipelines.text.models import CaptionModel, load_model
from pipelines.text.sentences import SentenceModel, installed_sentence_model
from pipelines.text.vectors import select_vectors
from schemas.bundles import TextModelRef, WordVectors
from schemas.errors import TrainingError
from schemas.methods import HEADS, METHODS
from schemas.runs import Run
from storage.accounts import all_captions
from storage.tagged import newest_tagged
from storage.training import newest_example, training_captions
from storage.vectors import read_text_vectors
from tasks.context import Context
from tasks.ingest import hash_caption
from tasks.labelling import read_believed
from tasks.marks import find_kept, make_mark, stage_key
from tasks.samples import make_stripper, read_own_tagged, read_training_set
from tasks.stages import Outputs, Report
from tasks.texts import keep_captions

TEXT_WIDTH = 128
"""Values a caption by fastText, as in the thesis, unless pretrained vectors have another number."""

MAX_CAPTIONS = 200_000
"""Newest captions a text model learns from; more change its words little and its time a lot."""

MIN_LABELLED = 5
"""A class with fewer captions is nothing a supervised text model could learn."""

SENTENCES = "e5"
"""The kind of text model that is not trained: the sentence model of a package."""

_FILES = {"text_model": "text.bin", "supervised_model": "text-supervised.bin"}


def mark_text(resources: Context, run: Run, outputs: Outputs) -> str:
    """Hash what the text models depend on: every caption, and which posts have which label.

    Where no method reads the supervised model, an earlier run that has it besides serves as well.
    """
    kind = run.params.get("text_kind", "skipgram")
    digest = hashlib.sha256()
    if kind == SENTENCES:
        ref = installed_sentence_model()
        digest.update((ref.hash if ref else "").encode())
    else:
        for caption in _read_captions(resources, run.params):
            digest.update(caption.encode("utf-8", "surrogatepass") + b"\0")
    upstream = [outputs[name]["mark"] for name in ("split", "labels")]
    vectors = (run.params.get("text_vectors") or {}).get("sha256")
    more = [digest.hexdigest(), upstream, kind, vectors, run.params["seed"], TEXT_WIDTH]
    both, alone = (make_mark("text", *more, supervised) for supervised in (True, False))
    wanted = reads_supervised(run.params)
    return both if wanted or find_kept(resources, "text", both) is not None else alone


def reads_supervised(params: Mapping[str, Any]) -> bool:
    """Whether a method of a run reads the vectors of the supervised text model."""
    heads = {head for method in params.get("methods", ["nn"]) for head in METHODS[method].heads}
    return any(HEADS[head].supervised for head in heads)


def fit_text_models(
    resources: Context, run: Run, outputs: Outputs, report: Report, mark: str
) -> dict[str, Any]:
    """Train fastText on every caption without labels, and on labelled captions with them.

    Captions of accounts take part without their labels, which nothing here reads. Labelled
    captions lose the tags that they were found by: the model must not read its label in them. The
    supervised model is left out where no method reads it; the sentence model takes the place of
    the other, and only has to read the samples' captions, which is kept and never done twice.
    """
    found: dict[str, Any] = {"files": [], "text_model": None, "supervised_model": None}
    with (
        tempfile.TemporaryDirectory(prefix="afin-text-") as folder,
        ThreadPoolExecutor(1) as beside,
    ):
        supervised = _begin_supervised(resources, run, outputs, Path(folder), beside)
        try:
            if run.params.get("text_kind") == SENTENCES:
                ref = _read_by_sentences(resources, run, outputs, report)
            else:
                ref = _train(resources, run, Path(folder), "text_model")
                found["files"] += [_keep(resources, mark, Path(folder), "text_model")]
            found["text_model"] = ref.model_dump()
        except TrainingError as error:
            # Photos alone make a bundle too.
            return found | {"why": str(error)}
        if supervised is None:
            return found
        if isinstance(supervised, str):
            return found | {"rows": 0, "why": supervised}
        model, rows = supervised
        found["supervised_model"] = model.result().model_dump()
        found["files"] += [_keep(resources, mark, Path(folder), "supervised_model")]
    return found | {"rows": rows}


def embed_texts(
    resources: Context, outputs: Outputs, name: str, captions: Sequence[str]
) -> NDArray[np.float32]:
    """Return the vectors of captions by one of a run's text models; zeros where it has no word.

    ``(n, width)``; without width if there is no such model.
    """
    ref = read_text_ref(outputs, name)
    if ref is None or not any(captions):
        return np.zeros((len(captions), 0 if ref is None else ref.width), np.float32)
    if ref.package is not None:
        return embed_kept(resources, SentenceModel.load(ref), captions)
    key = stage_key("text", outputs["text"]["mark"], _FILES[name])
    vectors, _usable = load_model(ref, resources.blobs.local_file(key)).embed(captions)
    return vectors


def read_text_ref(outputs: Outputs, name: str) -> TextModelRef | None:
    """Return one of the run's text models, ``text_model`` or ``supervised_model``, if it has it."""
    found = outputs["text"][name]
    return TextModelRef.model_validate(found) if found else None


def keep_vectors(
    resources: Context, path: Path, categories: Sequence[str], *, store: bool = True
) -> WordVectors:
    """Keep what captions can use of a file of pretrained vectors, for workers anywhere to read.

    Raises:
        SourceError: it is no such file.
    """
    with resources.database.read() as connection:
        until = newest_example(connection)
        tagged = newest_tagged(connection)
    params = {"classes": list(categories), "until": until, "tagged_until": tagged}
    captions = _read_captions(resources, params)
    met = {word for caption in captions for word in clean_caption(caption).split()}
    with tempfile.TemporaryDirectory(prefix="afin-text-") as folder:
        chosen = Path(folder) / "chosen.vec"
        ref = select_vectors(path, met, chosen)
        if store:
            resources.blobs.write(_vectors_key(ref.sha256), chosen.read_bytes())
    return ref


def _vectors_key(sha256: str) -> str:
    return f"training/vectors-{sha256[:20]}.vec"


def _train(
    resources: Context, run: Run, folder: Path, name: str, labelled: Any = None
) -> TextModelRef:
    """Train one fastText model into a folder; ``labelled`` are captions and their labels."""
    raw = run.params.get("text_vectors")
    vectors = WordVectors.model_validate(raw) if raw else None
    captions, labels = labelled or (_read_captions(resources, run.params), None)
    return train_text_model(
        captions,
        folder / _FILES[name],
        kind="supervised" if labels else run.params.get("text_kind", "skipgram"),
        labels=labels,
        width=vectors.width if vectors else TEXT_WIDTH,
        seed=run.params["seed"],
        vectors=resources.blobs.local_file(_vectors_key(vectors.sha256)) if vectors else None,
    )


def _begin_supervised(
    resources: Context, run: Run, outputs: Outputs, folder: Path, beside: ThreadPoolExecutor
) -> tuple[Future[TextModelRef], int] | str | None:
    """Begin with the supervised model, in a process of its own beside the other one.

    Returns what it will be and of how many captions, why there is none, or None: nobody wants it.
    """
    if not reads_supervised(run.params):
        return None
    captions, labels = _read_labelled(resources, run, outputs)
    if len(set(labels)) < 2:  # noqa: PLR2004 - one label teaches nothing
        return "There are no labelled captions of two categories."
    labelled = (captions, labels)
    future = beside.submit(_train, resources, run, folder, "supervised_model", labelled)
    return future, len(captions)


def _keep(resources: Context, mark: str, folder: Path, name: str) -> str:
    file = _FILES[name]
    resources.blobs.write(stage_key("text", mark, file), (folder / file).read_bytes())
    return file


def _read_by_sentences(
    resources: Context, run: Run, outputs: Outputs, report: Report
) -> TextModelRef:
    """Let the sentence model read every sample's caption, with and without its query's tags."""
    model = SentenceModel.load()
    believed = read_believed(resources, outputs)
    training = read_training_set(resources, run, outputs, tagged=believed)
    with resources.database.read() as connection:
        stripper = make_stripper(connection, run.params)
    written = [sample.caption for sample in training.samples if sample.caption]
    if not written:
        raise TrainingError("There are no captions that a text model could read.")
    embed_kept(resources, model, [*map(stripper.remove, written), *written], report)
    return model.ref


def embed_kept(
    resources: Context,
    model: CaptionModel,
    captions: Sequence[str],
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> NDArray[np.float32]:
    """Return captions' vectors ``(n, width)`` from the store, after adding those that it lacks."""
    named = [hash_caption(caption) for caption in captions]
    texts = {name: text for name, text in zip(named, captions, strict=True) if name}
    keep_captions(resources, model, texts, report)
    with resources.database.read() as connection:
        kept = read_text_vectors(connection, model.ref.hash, texts)
    vectors = np.zeros((len(captions), model.ref.width), np.float32)
    for row, name in enumerate(named):
        vector = kept.get(name) if name else None
        if vector is not None:
            vectors[row] = vector
    return vectors


def _read_captions(resources: Context, params: Mapping[str, Any]) -> Iterator[str]:
    """Return every caption there is, labelled or not, as it was written."""
    with resources.database.read() as connection:
        yield from chain(
            list(training_captions(connection, params["classes"], until=params["until"])),
            [post.caption for post in read_own_tagged(connection, params)],
            list(all_captions(connection, limit=MAX_CAPTIONS)),
        )


def _read_labelled(resources: Context, run: Run, outputs: Outputs) -> tuple[list[str], list[str]]:
    """Return the captions to fit on, without query tags, and their labels; too rare ones go."""
    believed = read_believed(resources, outputs)
    training = read_training_set(resources, run, outputs, tagged=believed)
    with resources.database.read() as connection:
        stripper = make_stripper(connection, run.params)
    samples = [training.samples[row] for row in training.rows(FIT)]
    pairs = [(stripper.remove(s.caption), s.category) for s in samples if s.caption]
    pairs = [(caption, label) for caption, label in pairs if caption.strip()]
    counts = Counter(label for _caption, label in pairs)
    kept = [(caption, label) for caption, label in pairs if counts[label] >= MIN_LABELLED]
    return [caption for caption, _label in kept], [label for _caption, label in kept]
