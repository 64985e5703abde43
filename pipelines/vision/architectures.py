"""The networks behind the backbones: what each wants of photos, and how its weights fill it."""

import difflib
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.vision.decode import PhotoTransform
from pipelines.vision.weights import BUILT_IN, PACKAGED, TORCHVISION_FILES
from schemas.errors import UsageError, WeightsError

if TYPE_CHECKING:
    import torch

_LITE0 = "tf_efficientnet_lite0"
_TIMM_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)?")
_RESNET_TRANSFORM = PhotoTransform(
    interpolation="bilinear", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)
_LITE0_TRANSFORM = PhotoTransform(
    interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
)
_RESNET_WIDTH, _LITE0_WIDTH = 512, 1280


def describe_network(name: str) -> tuple[PhotoTransform, int]:
    """Return what a backbone wants of photos, and the width of its vectors."""
    if name in TORCHVISION_FILES:
        return _RESNET_TRANSFORM, _RESNET_WIDTH
    if name == PACKAGED:
        return _LITE0_TRANSFORM, _LITE0_WIDTH
    return _describe_timm(name)


@cache
def _describe_timm(name: str) -> tuple[PhotoTransform, int]:
    """Ask timm for a model's data configuration, and the model itself for its width."""
    import timm.data
    import torch

    model = build_network(name, 0).eval()
    config = timm.data.resolve_model_data_config(model)
    side = config["input_size"][-1]
    bilinear = config["interpolation"] == "bilinear"
    transform = PhotoTransform(
        size=side,
        crop=config["crop_pct"],
        interpolation="bilinear" if bilinear else "bicubic",
        mean=config["mean"],
        std=config["std"],
    )
    with torch.inference_mode():
        vectors = model(torch.zeros(1, 3, side, side))
    if vectors.ndim != 2:  # noqa: PLR2004  # rows, columns
        raise UsageError(f"The timm model {name} gives no single vector a photo: use another.")
    return transform, int(vectors.shape[1])


def build_network(name: str, seed: int) -> "torch.nn.Module":
    """Build a network without its classifier, with random weights drawn from ``seed``."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if name in TORCHVISION_FILES:
            import torchvision.models

            model: torch.nn.Module = torchvision.models.get_model(name, weights=None)
            model.fc = torch.nn.Identity()
            return model
        return _build_timm(_LITE0 if name == PACKAGED else name)


def _build_timm(name: str) -> "torch.nn.Module":
    """Build a timm model from its own registry, never from a hub or folder that a name points to.

    Raises:
        UsageError: timm knows no such model; close names are suggested.
    """
    import timm
    import torch

    if not (_TIMM_NAME.fullmatch(name) and timm.is_model(name)):
        close = difflib.get_close_matches(name, [*BUILT_IN, *timm.list_models()], n=3)
        hint = f"did you mean {' or '.join(close)}" if close else f"use {', '.join(BUILT_IN)}"
        raise UsageError(f"Unknown backbone {name!r}: {hint}? Any model of timm will do.")
    try:
        model = timm.create_model(name, pretrained=False, num_classes=0)
    except RuntimeError as error:
        raise UsageError(f"The backbone {name} cannot be built: {error}") from error
    if not isinstance(model, torch.nn.Module):
        raise UsageError(f"The timm model {name} is no network.")
    return model


def fill_network(model: "torch.nn.Module", name: str, path: Path) -> None:
    """Copy a weight file into a network, strictly: only the file's classifier may be left over.

    Raises:
        WeightsError: the file cannot be read, or is not of this network.
    """
    state = _read_tensors(path)
    if name == PACKAGED and set(state) != set(model.state_dict()):
        state = _rename_lite0(state, model)
    head = _head_prefixes(model, name)
    state = {key: value for key, value in state.items() if not key.startswith(head)}
    try:
        # Only this knows which keys may be absent from files of older versions.
        left = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"{path} does not fit {name}: {error}") from error
    if left.missing_keys or left.unexpected_keys:
        raise WeightsError(
            f"{path} does not fit {name}: {len(left.missing_keys)} tensors are missing "
            f"({', '.join(left.missing_keys[:3])}), {len(left.unexpected_keys)} unknown "
            f"({', '.join(left.unexpected_keys[:3])}). Put the right file there."
        )


def _read_tensors(path: Path) -> "dict[str, torch.Tensor]":
    """Read a .safetensors or .pth file of named tensors; no code in it is ever run."""
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Each format, and each of torch's own two, fails with exceptions of its own.
        raise WeightsError(f"The weight file {path} cannot be read: {error}") from error
    if not isinstance(state, dict) or not all(torch.is_tensor(value) for value in state.values()):
        raise WeightsError(f"The weight file {path} must hold named tensors and nothing else.")
    return state


def _rename_lite0(
    state: "dict[str, torch.Tensor]", model: "torch.nn.Module"
) -> "dict[str, torch.Tensor]":
    """Give the packaged tensors timm's names: both list the same network in the same order."""
    own = model.state_dict()
    body = list(state.values())[: len(own)]
    if [tensor.shape for tensor in body] != [tensor.shape for tensor in own.values()]:
        raise WeightsError(
            f"The packaged weights of {PACKAGED} do not fit this version of timm: "
            "install the versions that afin pins."
        )
    return dict(zip(own, body, strict=True))


def _head_prefixes(model: "torch.nn.Module", name: str) -> tuple[str, ...]:
    """Name the classifier's tensors, which files hold and a backbone does without."""
    if name in TORCHVISION_FILES:
        return ("fc.",)
    own = tuple(model.state_dict())
    config: dict[str, Any] = getattr(model, "pretrained_cfg", {})
    head = config.get("classifier") or ()
    names = (head,) if isinstance(head, str) else tuple(head)
    # Some networks keep a norm under their classifier's name.
    return tuple(f"{part}." for part in names if not any(key.startswith(f"{part}.") for key in own))


def read_classifier(name: str, path: Path) -> "tuple[NDArray[np.float32], NDArray[np.float32]]":
    """Return the classifier that a weight file holds: weights ``(classes, d)`` and ``(classes,)``.

    Raises:
        WeightsError: the file cannot be read, or holds no linear classifier.
    """
    state = _read_tensors(path)
    prefixes = (*_head_prefixes(build_network(name, 0), name), "_fc.", "classifier.", "fc.")
    for prefix in prefixes:
        weights, bias = state.get(f"{prefix}weight"), state.get(f"{prefix}bias")
        if weights is not None and bias is not None and weights.ndim == 2:  # noqa: PLR2004
            return weights.float().numpy(), bias.float().numpy()
    raise WeightsError(f"{path} holds no linear classifier of {name}.")
