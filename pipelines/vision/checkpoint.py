"""One file from which a broken-off fine-tuning goes on: tensors, and the record of its epochs."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.finetuning import EpochCurve

if TYPE_CHECKING:
    import torch

Tensors = dict[str, "torch.Tensor"]


@dataclass
class Checkpoint:
    """All that one epoch leaves to the next; random numbers are drawn anew from seed and epoch."""

    model: Tensors
    best: Tensors
    optimizer: Tensors
    unusable: "torch.Tensor"
    history: list[EpochCurve] = field(default_factory=list)


def fingerprint(settings: Mapping[str, Any], samples: Sequence[tuple[str, int]]) -> str:
    """Return a hash of a training's whole input: only the same training may be gone on with."""
    text = json.dumps([settings, samples], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def save_checkpoint(path: Path, mark: str, state: Checkpoint) -> None:
    """Replace the checkpoint by a safetensors file whose header carries the record as JSON.

    One file, moved into place whole, so that tensors and record are always of one epoch.
    """
    from safetensors.torch import save_file

    groups = {"model": state.model, "optimizer": state.optimizer, "best": state.best}
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous()
        for group, members in groups.items()
        for name, tensor in members.items()
    }
    tensors["unusable"] = state.unusable.cpu()
    header = {"mark": mark, "history": json.dumps([one.model_dump() for one in state.history])}
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Tensors that share memory may not be saved: the best epoch's may be the present ones.
        save_file({name: tensor.clone() for name, tensor in tensors.items()}, partial, header)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(path: Path, mark: str) -> Checkpoint | None:
    """Return what was saved, or None where there is nothing to go on from.

    A file of another training, or one that is damaged, counts as nothing: training again is
    always right.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    groups: dict[str, Tensors] = {"model": {}, "best": {}, "optimizer": {}}
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("mark") != mark:
                return None
            for name in file.keys():  # noqa: SIM118 - no dict
                group, _slash, member = name.partition("/")
                if member:
                    groups[group][member] = file.get_tensor(name)
            unusable = file.get_tensor("unusable")
    except SafetensorError:
        return None
    history = [EpochCurve.model_validate(one) for one in json.loads(header["history"])]
    return Checkpoint(**groups, unusable=unusable, history=history)


def read_history(path: Path) -> list[EpochCurve]:
    """Return the epochs recorded in a checkpoint without loading it; none if there is no file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            header = file.metadata() or {}
    except (SafetensorError, OSError):
        return []
    return [EpochCurve.model_validate(one) for one in json.loads(header.get("history", "[]"))]
