"""One file from which a broken-off training goes on: arrays, and the record of its epochs."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.fusion.network import Floats


def fingerprint(arrays: Sequence[NDArray[np.generic]], settings: Mapping[str, Any]) -> str:
    """Return a hash of a training's whole input: only the same training may be gone on with."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def save_checkpoint(
    path: Path, mark: str, groups: Mapping[str, Sequence[Floats]], history: list[dict[str, Any]]
) -> None:
    """Replace the checkpoint by a safetensors file whose header carries the record as JSON.

    One file, so that arrays and record can never be of different epochs.
    """
    from safetensors.numpy import save

    tensors = {
        f"{name}.{number}": np.ascontiguousarray(array)
        for name, arrays in groups.items()
        for number, array in enumerate(arrays)
    }
    header = {"mark": mark, "history": json.dumps(history)}
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("wb") as file:
        file.write(save(tensors, metadata=header))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load_checkpoint(
    path: Path, mark: str
) -> tuple[dict[str, list[Floats]], list[dict[str, Any]]] | None:
    """Return groups of arrays and the record, or None where there is nothing to go on from.

    A file of another training, or one that is damaged, counts as nothing: training again is
    always right.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as file:
            header = file.metadata() or {}
            if header.get("mark") != mark:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    except SafetensorError:
        return None
    groups: dict[str, list[Floats]] = {}
    for name in sorted(tensors, key=lambda name: int(name.rpartition(".")[2])):
        groups.setdefault(name.rpartition(".")[0], []).append(tensors[name])
    return groups, json.loads(header["history"])
