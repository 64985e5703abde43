"""Training the head that begins from what the backbone's own classifier knows."""

from dataclasses import replace

import numpy as np

from pipelines.fusion.calibrate import fit_temperature
from pipelines.fusion.concepts import Concepts, tell_concepts, train_concepts
from pipelines.fusion.reduce import Reducer
from schemas.bundles import BackboneRef
from schemas.errors import TrainingError, WeightsError
from schemas.methods import HeadPlan
from schemas.runs import Run
from tasks.arrays import Arrays
from tasks.context import Context
from tasks.heads import LearntHead, choose_samples, refer_head
from tasks.labelling import read_believed
from tasks.marks import stage_key
from tasks.samples import read_training_set
from tasks.stages import Outputs


def add_whole(resources: Context, run: Run, outputs: Outputs, arrays: Arrays) -> Arrays:
    """Return the arrays with the image vectors as the backbone made them, in the same order."""
    believed = read_believed(resources, outputs)
    training = read_training_set(resources, run, outputs, tagged=believed)
    if not np.array_equal(training.labels, arrays.labels):
        raise TrainingError(
            "The training photos changed while they were learnt from: start the training again."
        )
    return replace(arrays, whole=training.images)


def fit_concepts(
    resources: Context, run: Run, outputs: Outputs, arrays: Arrays, plan: HeadPlan
) -> "LearntHead | str":
    """Learn corrections of what the backbone's classifier says, or say why that cannot be.

    The temperature is fitted on the samples held back, as a network's is.
    """
    from safetensors.numpy import load, save

    chosen = choose_samples(arrays, plan)
    if isinstance(chosen, str):
        return chosen
    backbone = BackboneRef.model_validate(outputs["backbone"])
    names = tuple(run.params["classes"][place] for place in chosen.columns)
    try:
        concepts = read_concepts(resources, backbone, names)
    except (TrainingError, WeightsError) as error:
        return str(error)
    key = stage_key("reduce", outputs["reduce"]["mark"], "reducer.safetensors")
    reducer = Reducer.from_tensors(load(resources.blobs.read(key)))
    whole = add_whole(resources, run, outputs, arrays).whole
    if whole is None:
        return "no training photo has a vector"
    images = whole[chosen.rows]
    text = np.where(chosen.has_text[:, None], chosen.text, np.float32(0))
    fit = np.flatnonzero(~chosen.held)
    head = train_concepts(
        concepts, reducer, images[fit], chosen.image[fit], text[fit], chosen.labels[fit]
    )
    held = np.flatnonzero(chosen.held)
    if len(held):
        logits = head.score(images[held], text[held])
        temperature = fit_temperature(logits, chosen.labels[held], head.classes)
        head = replace(head, temperature=temperature)
    ref = refer_head(plan, "safetensors", head.halves, chosen.columns, arrays)
    metrics = {"fitted": len(fit), "temperature": round(head.temperature, 4)}
    return LearntHead(ref, save(head.to_tensors()), metrics)


def read_concepts(resources: Context, backbone: BackboneRef, classes: tuple[str, ...]) -> Concepts:
    """Read what a backbone's published classifier knows of some classes.

    Raises:
        TrainingError: the backbone was fine-tuned, or its classifier is not of ImageNet.
        WeightsError: its weights cannot be had, or hold no classifier.
    """
    from pipelines.vision.architectures import read_classifier
    from pipelines.vision.weights import find_weights

    if backbone.tuned is not None:
        raise TrainingError("a fine-tuned backbone no longer fits the classifier it came with")
    path = find_weights(backbone.name, resources.settings.weights)
    weights, bias = read_classifier(backbone.name, path)
    return tell_concepts(weights, bias, classes)
