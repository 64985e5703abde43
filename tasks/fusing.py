"""The stage that makes methods of classifiers: weight and thresholds, all on validation samples."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.metrics import score_sets, wilson_interval
from pipelines.fusion.calibrate import (
    expected_calibration_error,
    fit_isotonic,
    several_calibration_error,
)
from pipelines.fusion.concepts import ConceptHead
from pipelines.fusion.network import Network
from pipelines.fusion.weighted import sweep_weight
from pipelines.methods import Head, Opinion, PostInputs, ask_head, combine, decide
from pipelines.split import HOLDOUT, VALIDATION
from pipelines.thresholds import fit_thresholds
from pipelines.verdict import POST_THRESHOLD, SHARE_THRESHOLD
from schemas.bundles import NETWORK_HEAD, HeadRef, MethodRecipe
from schemas.methods import METHODS, MethodPlan
from schemas.runs import Run
from tasks.arrays import Arrays, read_arrays
from tasks.concepts import add_whole
from tasks.context import Context
from tasks.marks import make_mark, stage_key
from tasks.stages import Outputs, Report

MAIN_METHOD = "nn"
"""The method without a recipe in a bundle: its temperature is in its network already."""

TARGET_PRECISION = 0.9
"""What a category's own threshold has to reach: a false positive is worse than a false negative."""


def mark_fusion(_resources: Context, run: Run, outputs: Outputs) -> str:
    """Hash what the methods depend on: the classifiers, and what is asked of them."""
    upstream = [outputs[name]["mark"] for name in ("network", "svm")]
    settings = [run.params.get("methods"), run.params.get("target_precision", TARGET_PRECISION)]
    if run.params.get("calibration") == "isotonic":
        settings.append("isotonic")
    return make_mark("fuse", upstream, settings)


def fuse_methods(
    resources: Context, run: Run, outputs: Outputs, report: Report, mark: str
) -> dict[str, Any]:
    """Fit weight and thresholds of every method on validation samples, and say how good each is.

    A method whose classifiers could not be trained is left out, with the reason; a held-out source
    is scored apart, and nothing is fitted on it.
    """
    refs, heads, missing = load_heads(resources, outputs)
    arrays = read_arrays(resources, outputs)
    if any(ref.kind == "concepts" for ref in refs.values()):
        arrays = add_whole(resources, run, outputs, arrays)
    classes: list[str] = run.params["classes"]
    categories = classes[: -1 if run.params["reject"] else None]
    wanted: list[str] = run.params.get("methods", ["nn"])
    validation = arrays.take(arrays.of(VALIDATION))
    opinions = _ask_all(heads, refs, validation, len(classes))
    target = run.params.get("target_precision", TARGET_PRECISION)
    recipes: dict[str, MethodRecipe] = {}
    left_out: dict[str, str] = {}
    sweeps: dict[str, list[float]] = {}
    for number, method in enumerate(wanted):
        report(number, len(wanted))
        plan = METHODS[method]
        why = next((missing[head] for head in plan.heads if head in missing), None)
        if why is not None:
            left_out[method] = why
            continue
        if plan.kind == "weighted":
            weight, sweeps[method] = _fit_weight(plan, opinions, validation.labels)
        else:
            weight = None
        isotonic = run.params.get("calibration") == "isotonic" and method != MAIN_METHOD
        recipes[method] = _make_recipe(
            plan, weight, opinions, validation, categories, target, isotonic=isotonic
        )
    scored = {
        part: _score_part(arrays.take(arrays.of(part)), recipes, heads, refs, classes, categories)
        for part in (VALIDATION, HOLDOUT)
    }
    stripped = _compare_tags(validation, recipes, heads, refs, classes)
    resources.blobs.write(stage_key("fuse", mark, "sweeps.json"), json.dumps(sweeps).encode())
    return {
        "files": ["sweeps.json"],
        "rows": len(validation.labels),
        "recipes": {name: recipe.model_dump() for name, recipe in recipes.items()},
        "left_out": left_out,
        "metrics": {**scored, "query_tags": stripped, "weight_sweep": sweeps},
    }


def load_heads(
    resources: Context, outputs: Outputs
) -> tuple[dict[str, HeadRef], dict[str, Head], dict[str, str]]:
    """Return the run's classifiers by name, how each is described, and why others are missing."""
    refs: dict[str, HeadRef] = {}
    heads: dict[str, Head] = {}
    missing: dict[str, str] = {}
    for stage in ("network", "svm"):
        missing |= outputs[stage]["left_out"]
        for name, raw in outputs[stage]["heads"].items():
            refs[name] = HeadRef.model_validate(raw)
            content = resources.blobs.read(
                stage_key(stage, outputs[stage]["mark"], refs[name].file)
            )
            heads[name] = _parse_head(refs[name], content)
    return refs, heads, missing


def _parse_head(ref: HeadRef, content: bytes) -> Head:
    if ref.kind == "network":
        from safetensors.numpy import load

        return Network.from_tensors(load(content))
    if ref.kind == "concepts":
        from safetensors.numpy import load

        return ConceptHead.from_tensors(load(content))
    from pipelines.fusion.svm import Svm

    return Svm.from_bytes(content)


def _ask_all(
    heads: Mapping[str, Head],
    refs: Mapping[str, HeadRef],
    arrays: Arrays,
    classes: int,
) -> dict[str, Opinion]:
    inputs = PostInputs(
        range(len(arrays.labels)), arrays.image, arrays.text, arrays.supervised, arrays.whole
    )
    return {
        name: ask_head(
            head,
            inputs,
            supervised=refs[name].supervised,
            whole=refs[name].kind == "concepts",
            columns=refs[name].columns,
            classes=classes,
        )
        for name, head in heads.items()
    }


def _fit_weight(
    plan: MethodPlan, opinions: Mapping[str, Opinion], labels: NDArray[np.int64]
) -> tuple[float, list[float]]:
    """Sweep the image's weight on samples with both halves; without any, both weigh alike."""
    image, text = (opinions[name].probabilities for name in plan.heads)
    both = np.any(image != 0, axis=1) & np.any(text != 0, axis=1)
    if not both.any():
        return 0.5, []
    sweep = sweep_weight(image[both], text[both], labels[both])
    return sweep.best, [round(float(value), 4) for value in sweep.precision]


def _make_recipe(
    plan: MethodPlan,
    weight: float | None,
    opinions: Mapping[str, Opinion],
    validation: Arrays,
    categories: list[str],
    target: float,
    *,
    isotonic: bool,
) -> MethodRecipe:
    recipe = MethodRecipe(
        kind=plan.kind,
        heads=plan.heads,
        image_weight=weight,
        several=plan.several,
        # Networks that agree need no threshold: that is their rule for unknown posts.
        post_threshold=0.0 if plan.kind == "agree" else POST_THRESHOLD,
        share_thresholds=dict.fromkeys(categories, SHARE_THRESHOLD),
    )
    if isotonic:
        recipe = recipe.model_copy(update={"isotonic": _fit_lines(recipe, opinions, validation)})
    if not plan.several:
        return recipe
    said = combine(recipe, opinions).probabilities
    truth = validation.labels[:, None] == np.arange(len(categories))
    found = fit_thresholds(said[:, : len(categories)], truth, categories, target_precision=target)
    return recipe.model_copy(
        update={
            "post_thresholds": {f.category: f.threshold for f in found if f.threshold is not None},
            "abstains": {f.category: f.reason for f in found if f.reason is not None},
        }
    )


def _fit_lines(
    recipe: MethodRecipe, opinions: Mapping[str, Opinion], validation: Arrays
) -> tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]:
    """Fit rising lines a class to what a method says of validation samples; none without any."""
    said = combine(recipe, opinions).probabilities
    judged = said.any(axis=1)
    if not judged.any():
        return ()
    lines = fit_isotonic(said[judged], validation.labels[judged]).points
    return tuple((tuple(x.tolist()), tuple(y.tolist())) for x, y in lines)


def _score_part(
    part: Arrays,
    recipes: Mapping[str, MethodRecipe],
    heads: Mapping[str, Head],
    refs: Mapping[str, HeadRef],
    classes: list[str],
    categories: list[str],
) -> dict[str, Any]:
    """Return how good each method is on samples that nothing was fitted on, or hardly anything."""
    if not len(part.labels):
        return {}
    opinions = _ask_all(heads, refs, part, len(classes))
    truth = [{classes[label]} & set(categories) for label in part.labels.tolist()]
    scores = {}
    for method, recipe in recipes.items():
        outcomes = decide(recipe, opinions, range(len(truth)), categories)
        found = score_sets(
            [outcome.categories for outcome in outcomes], truth, categories, resamples=500
        )
        said = combine(recipe, opinions).probabilities
        judged = np.any(said != 0, axis=1)
        right = int((said.argmax(axis=1) == part.labels)[judged].sum())
        count = int(judged.sum())
        scores[method] = {
            "samples": count,
            "top": right / count if count else None,
            "top_interval": wilson_interval(right, count),
            "macro_f1": found.macro.f1,
            "macro_precision": found.macro.precision,
            "macro_recall": found.macro.recall,
            "hamming": found.hamming,
            "hamming_of_nothing": found.hamming_of_nothing,
            "coverage": found.coverage,
            "calibration_error": _measure_calibration(recipe, said[judged], part.labels[judged]),
        }
    return scores


def _measure_calibration(
    recipe: MethodRecipe, said: NDArray[np.floating], labels: NDArray[np.int64]
) -> float | None:
    if not len(labels):
        return None
    if recipe.several:
        places = np.arange(len(recipe.share_thresholds))
        return several_calibration_error(said[:, places], labels[:, None] == places)
    return expected_calibration_error(said, labels)


def _compare_tags(
    validation: Arrays,
    recipes: Mapping[str, MethodRecipe],
    heads: Mapping[str, Head],
    refs: Mapping[str, HeadRef],
    classes: list[str],
) -> dict[str, Any]:
    """Return how often the top class is right by captions alone, without and with query tags."""
    reading = {
        name: head
        for name, head in heads.items()
        if "text" in refs[name].halves and not refs[name].supervised
    }
    captioned = np.any(validation.text != 0, axis=1) & np.any(validation.as_written != 0, axis=1)
    if not reading or not captioned.any() or not recipes:
        return {}
    own = validation.take(captioned)
    blank = np.zeros_like(own.image)
    found: dict[str, Any] = {"samples": int(captioned.sum())}
    for key, text in (("stripped", own.text), ("as_written", own.as_written)):
        inputs = PostInputs(range(len(own.labels)), blank, text)
        found[key] = {
            name: float(
                (
                    ask_head(
                        head,
                        inputs,
                        whole=refs[name].kind == "concepts",
                        columns=refs[name].columns,
                        classes=len(classes),
                    ).probabilities.argmax(axis=1)
                    == own.labels
                ).mean()
            )
            for name, head in reading.items()
        }
    return found


def main_network(outputs: Outputs) -> HeadRef:
    """Return how the network is described that every bundle has."""
    return HeadRef.model_validate(outputs["network"]["heads"][NETWORK_HEAD])
