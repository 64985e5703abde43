"""The stages of a training that fit something: text model, reduction, network, and the bundle."""

import platform
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.bundle import write_bundle
from pipelines.fusion.network import Network
from pipelines.fusion.reduce import Reducer, fit_reducer
from pipelines.text.fasttext import TextModel, train_text_model
from pipelines.verdict import POST_THRESHOLD, SHARE_THRESHOLD
from schemas.bundles import BackboneRef, TextModelRef
from schemas.errors import TrainingError
from schemas.runs import Run
from storage.accounts import all_captions
from storage.bundles import add_bundle, bundle_key
from storage.training import Example, count_examples, read_examples, training_captions
from storage.vectors import read_image_vectors
from tasks.context import Context
from tasks.stages import Outputs, Report

REDUCED_WIDTH = 128
"""Thesis, row 11: 512 -> 128 by standardisation and PCA, as wide as the text half."""

MAX_CAPTIONS = 200_000
"""Newest captions a text model learns from; more change its words little and its time a lot."""

METHOD = "nn"

MIN_POSTS = 3
"""Fewer usable posts leave a verdict provisional."""


@dataclass(frozen=True)
class TrainingSet:
    """Examples with a usable photo, in order; ``images (n, d) float32``, ``labels (n,)``."""

    examples: Sequence[Example]
    images: NDArray[np.float32]
    labels: NDArray[np.int64]


def fit_text_model(
    resources: Context, run: Run, _outputs: Outputs, _report: Report
) -> dict[str, Any]:
    """Train unsupervised fastText on every caption; none if there are too few words.

    Captions of accounts take part without their labels, which nothing here reads.
    """
    with resources.database.read() as connection:
        captions = chain(
            list(training_captions(connection, run.params["classes"], until=run.params["until"])),
            list(all_captions(connection, limit=MAX_CAPTIONS)),
        )
    with tempfile.TemporaryDirectory(prefix="afin-text-") as folder:
        path = Path(folder) / "text.bin"
        try:
            ref = train_text_model(captions, path, width=REDUCED_WIDTH, seed=run.params["seed"])
        except TrainingError as error:
            # Photos alone make a bundle too.
            return {"text_model": None, "why": str(error)}
        resources.blobs.write(_key(run, "text.bin"), path.read_bytes())
    return {"text_model": ref.model_dump()}


def fit_reduction(
    resources: Context, run: Run, outputs: Outputs, _report: Report
) -> dict[str, Any]:
    """Fit standardisation and PCA on the training photos' vectors."""
    from safetensors.numpy import save

    training = read_training_set(resources, run, outputs)
    reducer = fit_reducer(training.images, REDUCED_WIDTH)
    resources.blobs.write(_key(run, "reducer.safetensors"), save(dict(reducer.to_tensors())))
    return {"photos": len(training.examples), "width": reducer.width}


def fit_network(resources: Context, run: Run, outputs: Outputs, report: Report) -> dict[str, Any]:
    """Train the network over image and text halves; a killed training goes on where it was."""
    from safetensors.numpy import save

    from pipelines.fusion.train import EpochReport, NetworkHyper, train_network

    training = read_training_set(resources, run, outputs)
    reducer = load_reducer(resources, run)
    texts, has_text = embed_training_captions(resources, run, outputs, training.examples)
    folder = resources.settings.data_dir.absolute() / "training" / str(run.id)
    folder.mkdir(parents=True, exist_ok=True)

    def on_epoch(epoch: EpochReport) -> None:
        report(epoch.epoch, epoch.epochs)

    trained = train_network(
        reducer.transform(training.images),
        texts,
        np.ones(len(training.examples), np.bool_),
        has_text,
        training.labels,
        classes=len(run.params["classes"]),
        hyper=NetworkHyper(),
        seed=run.params["seed"],
        on_epoch=on_epoch,
        checkpoint=folder / "network.checkpoint",
    )
    resources.blobs.write(_key(run, "network.safetensors"), save(trained.network.to_tensors()))
    return {
        "metrics": trained.metrics,
        "history": [epoch.model_dump() for epoch in trained.history],
        "captions": int(has_text.sum()),
    }


def publish_bundle(
    resources: Context, run: Run, outputs: Outputs, _report: Report
) -> dict[str, Any]:
    """Put everything into one immutable folder; the first bundle becomes active."""
    from safetensors.numpy import load

    reducer = load_reducer(resources, run)
    network = Network.from_tensors(load(resources.blobs.read(_key(run, "network.safetensors"))))
    text_model = _text_model_ref(outputs) if "text" in network.halves else None
    with tempfile.TemporaryDirectory(prefix="afin-bundle-") as folder:
        text_path = _fetch_text_model(resources, run, Path(folder)) if text_model else None
        bundle_id, path = write_bundle(
            Path(folder) / "bundles",
            _manifest_fields(resources, run, outputs, network, text_model),
            reducer=reducer,
            network=network,
            text_model_path=text_path,
        )
        resources.blobs.publish_folder(bundle_key(bundle_id), path)
    manifest = resources.bundle(bundle_id).manifest
    with resources.database.write() as connection:
        state = add_bundle(connection, bundle_id, manifest)
    return {"bundle_id": bundle_id, "state": state}


def read_training_set(resources: Context, run: Run, outputs: Outputs) -> TrainingSet:
    """Read the examples of a training run with the vectors of their photos.

    Raises:
        TrainingError: a class has no usable photo left.
    """
    classes: list[str] = run.params["classes"]
    backbone = BackboneRef.model_validate(outputs["backbone"])
    with resources.database.read() as connection:
        examples = read_examples(connection, classes, until=run.params["until"])
        photos = {example.photo_sha256 for example in examples}
        vectors = read_image_vectors(connection, backbone.hash, photos)
    pairs = [
        (example, vector)
        for example in examples
        if isinstance(vector := vectors.get(example.photo_sha256), np.ndarray)
    ]
    labels = np.array([classes.index(example.category) for example, _vector in pairs], np.int64)
    for place, name in enumerate(classes):
        if not np.any(labels == place):
            raise TrainingError(
                f"None of the photos of {name} could be used: 'afin import photos' says why; "
                "import others, or train without that category."
            )
    return TrainingSet(
        examples=[example for example, _vector in pairs],
        images=np.stack([vector for _example, vector in pairs]),
        labels=labels,
    )


def load_reducer(resources: Context, run: Run) -> Reducer:
    """Read the reduction that an earlier stage of the run fitted."""
    from safetensors.numpy import load

    return Reducer.from_tensors(load(resources.blobs.read(_key(run, "reducer.safetensors"))))


def embed_training_captions(
    resources: Context, run: Run, outputs: Outputs, examples: Sequence[Example]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the captions' vectors ``(n, d_text)`` and which of them mean something ``(n,)``."""
    ref = _text_model_ref(outputs)
    if ref is None or not any(example.caption for example in examples):
        return np.zeros((len(examples), 0), np.float32), np.zeros(len(examples), np.bool_)
    with tempfile.TemporaryDirectory(prefix="afin-text-") as folder:
        model = TextModel.load(_fetch_text_model(resources, run, Path(folder)))
        return model.embed([example.caption for example in examples])


def _text_model_ref(outputs: Outputs) -> TextModelRef | None:
    found = outputs["text"]["text_model"]
    return TextModelRef.model_validate(found) if found else None


def _fetch_text_model(resources: Context, run: Run, folder: Path) -> Path:
    path = folder / "text.bin"
    path.write_bytes(resources.blobs.read(_key(run, "text.bin")))
    return path


def _manifest_fields(
    resources: Context,
    run: Run,
    outputs: Outputs,
    network: Network,
    text_model: TextModelRef | None,
) -> dict[str, Any]:
    names: list[str] = run.params["classes"]
    classes = names[:-1] if run.params["reject"] else names
    with resources.database.read() as connection:
        counts = count_examples(connection, names, until=run.params["until"])
    return {
        "classes": classes,
        "reject": run.params["reject"],
        "halves": network.halves,
        "backbone": outputs["backbone"],
        "text_model": text_model,
        "methods": [METHOD],
        "post_threshold": POST_THRESHOLD,
        "share_thresholds": dict.fromkeys(classes, SHARE_THRESHOLD),
        "min_posts": MIN_POSTS,
        "training": {
            "photos": counts,
            "captions": outputs["network"]["captions"],
            "left_out": run.params["left_out"],
            "run": run.id,
            **_describe_finetuning(outputs),
        },
        "metrics": outputs["network"]["metrics"],
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("afin", "torch", "scikit-learn", "numpy")},
        },
        "seed": run.params["seed"],
        "created_at": run.created_at,
    }


def _describe_finetuning(outputs: Outputs) -> dict[str, Any]:
    if "finetune" not in outputs:
        return {}
    names = ("preset", "hyper", "best_epoch", "fitted", "held_out", "unusable", "history")
    return {"finetuning": {name: outputs["finetune"][name] for name in names}}


def _key(run: Run, name: str) -> str:
    """Return where in the blob store a training keeps what one stage leaves to the next."""
    return f"training/{run.id}/{name}"
