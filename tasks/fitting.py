"""The stages of a training that fit something: text models, reduction, and all classifiers."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.fusion.reduce import fit_reducer
from pipelines.split import FIT
from pipelines.text.fasttext import TextModel, train_text_model
from schemas.bundles import NETWORK_HEAD, TextModelRef
from schemas.errors import TrainingError
from schemas.runs import Run
from storage.accounts import all_captions
from storage.training import training_captions
from tasks.arrays import Arrays, read_arrays, save_arrays
from tasks.concepts import fit_concepts
from tasks.context import Context
from tasks.heads import LearntHead, fit_multilabel, fit_network, fit_svm, list_heads
from tasks.labelling import read_believed
from tasks.marks import make_mark, stage_key
from tasks.samples import make_stripper, read_own_tagged, read_training_set
from tasks.stages import Outputs, Report

REDUCED_WIDTH = 128
"""Thesis, row 11: 512 -> 128 by standardisation and PCA, as wide as the text half."""

MAX_CAPTIONS = 200_000
"""Newest captions a text model learns from; more change its words little and its time a lot."""

NETWORKS = {"network", "multilabel", "concepts"}
"""Classifiers that are arrays alone; support vector machines are fitted in a stage of their own."""

MIN_LABELLED = 5
"""A class with fewer captions is nothing a supervised text model could learn."""


def mark_text(resources: Context, run: Run, outputs: Outputs) -> str:
    """Hash what the text models depend on: every caption, and which posts have which label."""
    digest = hashlib.sha256()
    for caption in _read_captions(resources, run):
        digest.update(caption.encode("utf-8", "surrogatepass") + b"\0")
    kind = run.params.get("text_kind", "skipgram")
    upstream = [outputs[name]["mark"] for name in ("split", "labels")]
    return make_mark("text", digest.hexdigest(), upstream, kind, run.params["seed"], REDUCED_WIDTH)


def fit_text_models(
    resources: Context, run: Run, outputs: Outputs, report: Report, mark: str
) -> dict[str, Any]:
    """Train fastText on every caption without labels, and on labelled captions with them.

    Captions of accounts take part without their labels, which nothing here reads. Labelled
    captions lose the tags that they were found by: the model must not read its label in them.
    """
    seed = run.params["seed"]
    found: dict[str, Any] = {"files": [], "text_model": None, "supervised_model": None}
    with tempfile.TemporaryDirectory(prefix="afin-text-") as folder:
        path = Path(folder) / "text.bin"
        try:
            ref = train_text_model(
                _read_captions(resources, run),
                path,
                kind=run.params.get("text_kind", "skipgram"),
                width=REDUCED_WIDTH,
                seed=seed,
            )
        except TrainingError as error:
            # Photos alone make a bundle too.
            return found | {"why": str(error)}
        report(1, 2)
        resources.blobs.write(stage_key("text", mark, "text.bin"), path.read_bytes())
        found |= {"files": ["text.bin"], "text_model": ref.model_dump()}
        captions, labels = _read_labelled(resources, run, outputs)
        if len(set(labels)) < 2:  # noqa: PLR2004 - one label teaches nothing
            return found | {"rows": 0, "why": "There are no labelled captions of two categories."}
        supervised = Path(folder) / "text-supervised.bin"
        ref = train_text_model(
            captions, supervised, kind="supervised", labels=labels, width=REDUCED_WIDTH, seed=seed
        )
        key = stage_key("text", mark, "text-supervised.bin")
        resources.blobs.write(key, supervised.read_bytes())
    return found | {
        "files": ["text.bin", "text-supervised.bin"],
        "supervised_model": ref.model_dump(),
        "rows": len(captions),
    }


def mark_reduction(_resources: Context, run: Run, outputs: Outputs) -> str:
    """Hash what the arrays depend on: the stages before."""
    upstream = [outputs[name]["mark"] for name in ("split", "labels", "text")]
    return make_mark("reduce", upstream, REDUCED_WIDTH, run.params["classes"])


def fit_reduction(
    resources: Context, run: Run, outputs: Outputs, _report: Report, mark: str
) -> dict[str, Any]:
    """Fit standardisation and PCA, and bring every sample into the arrays classifiers learn from.

    The reduction is fitted on the part to fit on; captions are embedded without their query's tags,
    and once more as they were written, to be compared.
    """
    from safetensors.numpy import save

    believed = read_believed(resources, outputs)
    training = read_training_set(resources, run, outputs, tagged=believed)
    pictured = np.any(training.images != 0, axis=1)
    rows = training.rows(FIT)
    reducer = fit_reducer(training.images[rows[pictured[rows]]], REDUCED_WIDTH)
    reduced = np.where(pictured[:, None], reducer.transform(training.images), np.float32(0))
    with resources.database.read() as connection:
        stripper = make_stripper(connection, run.params)
    written = [sample.caption for sample in training.samples]
    stripped = [stripper.remove(caption) for caption in written]
    texts = {
        "text": _embed(resources, outputs, "text_model", "text.bin", stripped),
        "as_written": _embed(resources, outputs, "text_model", "text.bin", written),
        "supervised": _embed(
            resources, outputs, "supervised_model", "text-supervised.bin", stripped
        ),
    }
    save_arrays(resources, mark, Arrays.gather(training, reduced, texts))
    tensors = save(dict(reducer.to_tensors()))
    resources.blobs.write(stage_key("reduce", mark, "reducer.safetensors"), tensors)
    return {
        "files": ["reducer.safetensors", "samples.safetensors"],
        "photos": int(pictured.sum()),
        "captions": int(np.any(texts["text"] != 0, axis=1).sum()),
        "stripped": sum(a != b for a, b in zip(written, stripped, strict=True)),
        "rows": len(training.samples),
        "width": reducer.width,
    }


def mark_network(_resources: Context, run: Run, outputs: Outputs) -> str:
    """Hash what the networks depend on: the arrays, which ones are wanted, and the seed."""
    names = list_heads(run.params, NETWORKS)
    plans = {name: plan.model_dump() for name, plan in names.items()}
    return make_mark("network", outputs["reduce"]["mark"], plans, run.params["seed"])


def fit_networks(
    resources: Context, run: Run, outputs: Outputs, report: Report, mark: str
) -> dict[str, Any]:
    """Train every network wanted; a killed training goes on with the epoch it was in."""
    arrays = read_arrays(resources, outputs)
    folder = resources.settings.data_dir.absolute() / "training" / mark[:20]
    folder.mkdir(parents=True, exist_ok=True)
    names = list_heads(run.params, NETWORKS)
    learnt: dict[str, LearntHead | str] = {}
    for number, (name, plan) in enumerate(names.items()):

        def step(done: int, total: int, number: int = number) -> None:
            report(number * total + done, len(names) * total)

        if plan.kind == "network":
            learnt[name] = fit_network(
                arrays, plan, run.params["seed"], folder / f"{name}.checkpoint", step
            )
        elif plan.kind == "concepts":
            learnt[name] = fit_concepts(resources, run, outputs, arrays, plan)
        else:
            learnt[name] = fit_multilabel(arrays, plan, reject=run.params["reject"], step=step)
    main = learnt[NETWORK_HEAD]
    if isinstance(main, str) or main.ref.columns is not None:
        raise TrainingError(
            "Some class has no usable photo in the part that is fitted on: import more of it, or "
            "train without it."
        )
    return _keep_heads(resources, "network", mark, learnt, len(arrays.labels))


def mark_svm(_resources: Context, run: Run, outputs: Outputs) -> str:
    """Hash what the support vector machines depend on."""
    plans = {name: plan.model_dump() for name, plan in list_heads(run.params, {"svm"}).items()}
    settings = [run.params["seed"], run.params.get("search_svm", False)]
    return make_mark("svm", outputs["reduce"]["mark"], plans, settings)


def fit_svms(
    resources: Context, run: Run, outputs: Outputs, report: Report, mark: str
) -> dict[str, Any]:
    """Fit every support vector machine wanted, after searching the thesis' grid if asked to."""
    arrays = read_arrays(resources, outputs)
    names = list_heads(run.params, {"svm"})
    learnt: dict[str, LearntHead | str] = {}
    for number, (name, plan) in enumerate(names.items()):
        report(number, len(names))
        learnt[name] = fit_svm(
            arrays, plan, run.params["seed"], search=run.params.get("search_svm", False)
        )
    return _keep_heads(resources, "svm", mark, learnt, len(arrays.labels))


def read_text_ref(outputs: Outputs, name: str) -> TextModelRef | None:
    """Return one of the run's text models, ``text_model`` or ``supervised_model``, if it has it."""
    found = outputs["text"][name]
    return TextModelRef.model_validate(found) if found else None


def _keep_heads(
    resources: Context,
    stage: str,
    mark: str,
    learnt: Mapping[str, LearntHead | str],
    rows: int,
) -> dict[str, Any]:
    heads = {name: head for name, head in learnt.items() if isinstance(head, LearntHead)}
    for head in heads.values():
        resources.blobs.write(stage_key(stage, mark, head.ref.file), head.content)
    return {
        "files": [head.ref.file for head in heads.values()],
        "rows": rows,
        "heads": {name: head.ref.model_dump() for name, head in heads.items()},
        "metrics": {name: head.metrics for name, head in heads.items()},
        "left_out": {name: why for name, why in learnt.items() if isinstance(why, str)},
    }


def _read_captions(resources: Context, run: Run) -> Iterator[str]:
    """Return every caption there is, labelled or not, as it was written."""
    params = run.params
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
    labels = [label for _caption, label in pairs]
    often = {label for label in set(labels) if labels.count(label) >= MIN_LABELLED}
    kept = [(caption, label) for caption, label in pairs if label in often]
    return [caption for caption, _label in kept], [label for _caption, label in kept]


def _embed(
    resources: Context, outputs: Outputs, name: str, file: str, captions: Sequence[str]
) -> NDArray[np.float32]:
    """Return the captions' vectors, zeros where the model knows no word, without width if none."""
    ref = read_text_ref(outputs, name)
    if ref is None or not any(captions):
        return np.zeros((len(captions), 0 if ref is None else ref.width), np.float32)
    with tempfile.TemporaryDirectory(prefix="afin-text-") as folder:
        path = Path(folder) / file
        path.write_bytes(resources.blobs.read(stage_key("text", outputs["text"]["mark"], file)))
        vectors, _usable = TextModel.load(path).embed(captions)
    return vectors
