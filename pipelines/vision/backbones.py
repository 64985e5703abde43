"""The networks that turn photos into vectors: which there are, and one ready to embed."""

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.vision.architectures import build_network, describe_network, fill_network
from pipelines.vision.decode import PhotoTransform
from pipelines.vision.weights import find_weights, hash_file
from schemas.base import Frozen
from schemas.bundles import BackboneRef, TunedWeights
from schemas.errors import UsageError, WeightsError

if TYPE_CHECKING:
    import torch

Weights = Literal["pretrained", "random"]

ENGINE = "torch-fp32"
"""Part of every backbone's hash: whatever in the engine changes numbers changes this name."""


class BackboneSpec(Frozen):
    """A backbone that could be loaded: all that the hash of its vectors depends on.

    ``weights_file`` is None for random weights, which ``seed`` then stands for.
    """

    ref: BackboneRef
    transform: PhotoTransform
    weights_file: Path | None
    seed: int


class Backbone:
    """A network on a device, without its classifier: photos in, vectors out.

    Not for several threads at once; the batcher gives it one.
    """

    def __init__(self, spec: BackboneSpec, model: "torch.nn.Module", device: str) -> None:
        self.ref = spec.ref
        self.transform = spec.transform
        self.device = device
        self._model: torch.nn.Module | None = model

    def embed(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed photos, ``(n, size, size, 3) uint8``, as ``(n, width) float32``.

        Raises:
            UsageError: the array has another shape or type, or the backbone is closed.
        """
        import torch

        if self._model is None:
            raise UsageError(f"The backbone {self.ref.name} is closed: load it again.")
        side = self.transform.size
        if batch.dtype != np.uint8 or batch.shape != (len(batch), side, side, 3):
            raise UsageError(
                f"{self.ref.name} embeds (n, {side}, {side}, 3) uint8, "
                f"not {batch.shape} {batch.dtype}."
            )
        if len(batch) == 0:
            return np.empty((0, self.ref.width), dtype=np.float32)
        # TF32 is on by default in cuDNN and would give vectors that differ by device.
        exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
        with torch.inference_mode(), exact:
            vectors: NDArray[np.float32] = self._model(self._normalise(batch)).cpu().numpy()
        return vectors

    def _normalise(self, batch: NDArray[np.uint8]) -> "torch.Tensor":
        """Move photos to the device as ``(n, 3, size, size) float32``, in channels-last order."""
        import torch

        owned = np.require(batch, requirements=["C", "W"])
        # A photo's bytes are channels-last already, so permuting them copies nothing.
        pixels = torch.from_numpy(owned).to(self.device).permute(0, 3, 1, 2).float()
        shape = (1, 3, 1, 1)
        mean = torch.tensor(self.transform.mean, device=self.device).view(shape) * 255
        std = torch.tensor(self.transform.std, device=self.device).view(shape) * 255
        return pixels.sub_(mean).div_(std)

    def close(self) -> None:
        """Release the network and the device memory it took."""
        import torch

        self._model = None
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()


def resolve_backbone(
    name: str,
    *,
    weights_dir: Path,
    weights: Weights = "pretrained",
    seed: int = 0,
    tuned: tuple[TunedWeights, Path] | None = None,
) -> BackboneSpec:
    """Say which vectors a backbone gives, without loading it (or torch, for the built-in ones).

    Missing weights are downloaded, for their content is part of the hash. ``tuned`` are fine-tuned
    weights and where their file lies: they take the place of the published ones.

    Raises:
        UsageError: there is no such backbone.
        WeightsError: its weights cannot be had on this machine.
    """
    transform, width = describe_network(name)
    if tuned is not None:
        path: Path | None = tuned[1]
        _check_tuned(*tuned)
        transform = transform.model_copy(update={"size": tuned[0].input_size})
    else:
        path = find_weights(name, weights_dir) if weights == "pretrained" else None
    identity = {
        "architecture": name,
        "weights": f"random:{seed}" if path is None else hash_file(path),
        "transform": transform.model_dump(mode="json"),
        "engine": ENGINE,
    }
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:16]
    ref = BackboneRef(name=name, hash=digest, width=width, tuned=tuned[0] if tuned else None)
    return BackboneSpec(ref=ref, transform=transform, weights_file=path, seed=seed)


def load_backbone(
    name: str,
    *,
    device: str = "auto",
    weights_dir: Path,
    weights: Weights = "pretrained",
    seed: int = 0,
    tuned: tuple[TunedWeights, Path] | None = None,
) -> Backbone:
    """Load a backbone onto a device, ready to embed; random weights only where asked for.

    Raises:
        UsageError: there is no such backbone or device.
        WeightsError: its weights cannot be had on this machine, or do not fit.
    """
    import torch

    chosen = pick_device(device)
    spec = resolve_backbone(name, weights_dir=weights_dir, weights=weights, seed=seed, tuned=tuned)
    model = build_network(name, seed)
    if spec.weights_file is not None:
        fill_network(model, name, spec.weights_file)
    model.eval().requires_grad_(requires_grad=False)
    model.to(device=chosen, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Backbone(spec, model, chosen)


def _check_tuned(tuned: TunedWeights, path: Path) -> None:
    if hash_file(path) != tuned.sha256:
        raise WeightsError(
            f"The fine-tuned weights {path} are damaged or altered: delete the file, so that it is "
            "fetched again, or restore it in the blob store."
        )


def pick_device(wanted: str) -> str:
    """Turn ``auto`` into the first GPU or the CPU, and check any other choice.

    Raises:
        UsageError: the device is unknown, or not in this machine.
    """
    import torch

    if wanted == "cpu":
        return wanted
    if not re.fullmatch(r"auto|cuda(:\d+)?", wanted):
        raise UsageError(f"Unknown device {wanted!r}: use auto, cpu, cuda or cuda:1 (AFIN_DEVICE).")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        return "cuda" if count else "cpu"
    if int(wanted.partition(":")[2] or 0) >= count:
        raise UsageError(
            f"There is no device {wanted} in this machine (GPUs that can be used: {count}): "
            "use auto or cpu (AFIN_DEVICE)."
        )
    return wanted
