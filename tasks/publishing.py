"""The stage that puts all that a training made into one bundle, and publishes it."""

import platform
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipelines.bundle import CARD, SPLIT, write_bundle
from pipelines.bundle_checks import SUPERVISED
from pipelines.card import write_card
from pipelines.fusion.network import Network
from pipelines.fusion.reduce import Reducer
from pipelines.verdict import POST_THRESHOLD, SHARE_THRESHOLD
from schemas.bundles import NETWORK_HEAD, HeadRef, MethodRecipe
from schemas.runs import Run
from storage.bundles import add_bundle, bundle_key
from tasks.arrays import read_arrays
from tasks.context import Context
from tasks.marks import make_mark, stage_key
from tasks.stages import Outputs, Report
from tasks.text_models import read_text_ref

MIN_POSTS = 3
"""Fewer usable posts leave a verdict provisional."""

MAIN = "nn"


def mark_bundle(_resources: Context, run: Run, outputs: Outputs) -> str:
    """Hash what the bundle depends on: its methods, and what is said of its training."""
    return make_mark("bundle", outputs["fuse"]["mark"], run.params["left_out"])


def publish_bundle(
    resources: Context, run: Run, outputs: Outputs, _report: Report, _mark: str
) -> dict[str, Any]:
    """Put everything into one immutable folder; the first bundle becomes active."""
    from safetensors.numpy import load

    reducer = Reducer.from_tensors(load(_read(resources, outputs, "reduce", "reducer.safetensors")))
    main = HeadRef.model_validate(outputs["network"]["heads"][NETWORK_HEAD])
    network = Network.from_tensors(load(_read(resources, outputs, "network", main.file)))
    fields = _manifest_fields(resources, run, outputs, network)
    with tempfile.TemporaryDirectory(prefix="afin-bundle-") as folder:
        extras = _gather_extras(resources, outputs, fields, Path(folder))
        text = None
        if fields["text_model"] is not None and fields["text_model"].package is None:
            text = Path(folder) / "text.bin"
            text.write_bytes(_read(resources, outputs, "text", "text.bin"))
        bundle_id, path = write_bundle(
            Path(folder) / "bundles",
            fields,
            reducer=reducer,
            network=network,
            text_model_path=text,
            extras=extras,
        )
        resources.blobs.publish_folder(bundle_key(bundle_id), path)
    manifest = resources.bundle(bundle_id).manifest
    with resources.database.write() as connection:
        state = add_bundle(connection, bundle_id, manifest)
    return {"bundle_id": bundle_id, "state": state, "files": []}


def _gather_extras(
    resources: Context, outputs: Outputs, fields: dict[str, Any], folder: Path
) -> dict[str, Path]:
    """Write the files besides the main network into a folder; return them by name."""
    contents = {
        CARD: write_card(fields).encode(),
        SPLIT: _read(resources, outputs, "split", SPLIT),
    }
    for name, ref in fields["heads"].items():
        stage = "network" if name in outputs["network"]["heads"] else "svm"
        contents[ref.file] = _read(resources, outputs, stage, ref.file)
    if fields["supervised_model"] is not None:
        contents[SUPERVISED] = _read(resources, outputs, "text", SUPERVISED)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}


def _manifest_fields(
    resources: Context, run: Run, outputs: Outputs, network: Network
) -> dict[str, Any]:
    names: list[str] = run.params["classes"]
    classes = names[:-1] if run.params["reject"] else names
    recipes = {
        name: MethodRecipe.model_validate(raw) for name, raw in outputs["fuse"]["recipes"].items()
    }
    used = {head for recipe in recipes.values() for head in recipe.heads} - {NETWORK_HEAD}
    heads = {
        name: HeadRef.model_validate(raw)
        for stage in ("network", "svm")
        for name, raw in outputs[stage]["heads"].items()
        if name in used
    }
    reads_text = any("text" in ref.halves and not ref.supervised for ref in heads.values())
    supervised = any(ref.supervised for ref in heads.values())
    return {
        "classes": classes,
        "reject": run.params["reject"],
        "halves": network.halves,
        "backbone": outputs["backbone"],
        "text_model": read_text_ref(outputs, "text_model")
        if "text" in network.halves or reads_text
        else None,
        "supervised_model": read_text_ref(outputs, "supervised_model") if supervised else None,
        "methods": list(recipes),
        "heads": heads,
        "recipes": {name: recipe for name, recipe in recipes.items() if name != MAIN},
        "post_threshold": POST_THRESHOLD,
        "share_thresholds": dict.fromkeys(classes, SHARE_THRESHOLD),
        "min_posts": MIN_POSTS,
        "training": _describe_training(resources, run, outputs),
        "split": outputs["split"]["summary"],
        "metrics": {
            **outputs["network"]["metrics"][NETWORK_HEAD],
            "methods": outputs["fuse"]["metrics"],
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("afin", "torch", "scikit-learn", "numpy")},
            **_packages(outputs),
        },
        "seed": run.params["seed"],
        "created_at": run.created_at,
    }


def _packages(outputs: Outputs) -> dict[str, str]:
    """Return the version of the package that a text model comes with, if it does."""
    ref = read_text_ref(outputs, "text_model")
    name, _, number = (ref.package if ref and ref.package else "").partition("==")
    return {name: number} if number else {}


def _describe_training(resources: Context, run: Run, outputs: Outputs) -> dict[str, Any]:
    classes: list[str] = run.params["classes"]
    counts = Counter(read_arrays(resources, outputs).labels.tolist())
    return {
        "samples": {name: counts[place] for place, name in enumerate(classes)},
        "photos": outputs["reduce"]["photos"],
        "captions": outputs["reduce"]["captions"],
        "captions_with_query_tags": outputs["reduce"]["stripped"],
        "agreement": outputs["labels"]["table"],
        "left_out": run.params["left_out"],
        "methods_left_out": outputs["fuse"]["left_out"],
        **({"text_vectors": vectors} if (vectors := run.params.get("text_vectors")) else {}),
        "run": run.id,
        **_describe_finetuning(outputs),
    }


def _describe_finetuning(outputs: Outputs) -> dict[str, Any]:
    if "finetune" not in outputs:
        return {}
    names = ("preset", "hyper", "best_epoch", "fitted", "held_out", "unusable", "history")
    return {"finetuning": {name: outputs["finetune"][name] for name in names}}


def _read(resources: Context, outputs: Outputs, stage: str, name: str) -> bytes:
    return resources.blobs.read(stage_key(stage, outputs[stage]["mark"], name))
