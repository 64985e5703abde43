"""The stages of a training that fit something on photos: reduction and all classifiers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.fusion.reduce import fit_reducer
from pipelines.split import FIT
from schemas.bundles import NETWORK_HEAD
from schemas.errors import TrainingError
from schemas.runs import Run
from tasks.arrays import Arrays, read_arrays, save_arrays
from tasks.concepts import fit_concepts
from tasks.context import Context
from tasks.heads import LearntHead, fit_multilabel, fit_network, fit_svm, list_heads
from tasks.labelling import read_believed
from tasks.marks import make_mark, stage_key
from tasks.samples import make_stripper, read_training_set
from tasks.stages import Outputs, Report
from tasks.text_models import embed_texts

REDUCED_WIDTH = 128
"""Thesis, row 11: 512 -> 128 by standardisation and PCA, as wide as the text half."""

NETWORKS = {"network", "multilabel", "concepts"}
"""Classifiers that are arrays alone; support vector machines are fitted in a stage of their own."""


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
        "text": embed_texts(resources, outputs, "text_model", stripped),
        "as_written": embed_texts(resources, outputs, "text_model", written),
        "supervised": embed_texts(resources, outputs, "supervised_model", stripped),
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
