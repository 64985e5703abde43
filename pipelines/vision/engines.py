"""How a network is computed: by torch or OpenVINO, in float32 or bfloat16.

Engines of one numerics give the same vectors up to the rounding that storing them costs; those of
different numerics may not be mixed, so the numerics are part of a backbone's hash.
"""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Union

import numpy as np
from numpy.typing import NDArray

from pipelines.vision.decode import PhotoTransform
from pipelines.vision.devices import Streams, has_fast_bf16
from schemas.errors import UsageError, WeightsError

if TYPE_CHECKING:
    import torch

Batch = Union[NDArray[np.uint8], "torch.Tensor"]
"""``(n, size, size, 3) uint8``; a tensor lies on the engine's device already, and is complete."""

Embed = Callable[[Batch], NDArray[np.float32]]
"""A batch in, ``(n, width) float32`` out."""

NUMERICS = {
    "torch": "fp32",
    "openvino": "fp32",
    "torch-bf16": "bf16",
    "openvino-bf16": "bf16",
}
"""The engines there are, and the kind of numbers each computes.

In bfloat16 torch and OpenVINO are closer to each other than to float32: the worst cosine of 128
real photos is 0.999998 between them, and 0.999993 to float32 (ResNet-34, random weights).
"""

AUTO = "auto"

BF16_HOLDERS = frozenset({"resnet18", "resnet34"})
"""Networks whose vectors in bfloat16 keep a cosine of 0.999 to those in float32.

EfficientNet-Lite0 does not: 0.9966 at worst, 0.9991 on average over 160 real photos, the same
with torch and OpenVINO.
"""
_FUSED_TOLERANCE = 1e-3
_LAUNCHING = threading.Lock()


def pick_engine(name: str, wanted: str, device: str, numerics: str | None = None) -> str:
    """Choose a backbone's engine on a device: the one wanted, or the fastest that is safe.

    ``numerics`` are those that the vectors at hand were computed with, and go first: an engine
    of other numbers gives way to one of these. ``auto`` takes bfloat16 only where the device is
    faster with it, and on a CPU OpenVINO where it is installed.

    Raises:
        UsageError: there is no such engine, or not for this device or backbone.
        WeightsError: the engine wanted is not installed.
    """
    if wanted != AUTO and wanted not in NUMERICS:
        names = ", ".join((AUTO, *NUMERICS))
        raise UsageError(f"Unknown engine {wanted!r}: use one of {names} (AFIN_ENGINE).")
    if wanted == AUTO:
        kind = numerics or ("bf16" if holds_bf16(name) and has_fast_bf16(device) else "fp32")
        engine = _fastest(kind, device)
    else:
        engine = wanted
    if numerics is not None and NUMERICS[engine] != numerics:
        engine = _fastest(numerics, device)
    if engine.endswith("bf16") and not holds_bf16(name):
        raise UsageError(
            f"{name} has not been shown to keep its vectors in bfloat16: set AFIN_ENGINE to auto "
            f"(bfloat16 is for {', '.join(sorted(BF16_HOLDERS))})."
        )
    if engine.startswith("openvino"):
        if device != "cpu":
            raise UsageError(f"OpenVINO computes on the CPU only, not on {device} (AFIN_ENGINE).")
        if not has_openvino():
            raise WeightsError(
                f"The engine {engine} is not installed: pip install 'afin[openvino]', or set "
                "AFIN_ENGINE to auto for new models."
            )
    return engine


def has_openvino() -> bool:
    """Tell whether OpenVINO is installed, without importing it."""
    return find_spec("openvino") is not None


def holds_bf16(name: str) -> bool:
    """Tell whether a backbone's vectors survive bfloat16."""
    return name.partition(".")[0] in BF16_HOLDERS


def _fastest(numerics: str, device: str) -> str:
    """The engine that computes such numbers fastest: OpenVINO on a CPU, where it is installed."""
    taken = "openvino" if device == "cpu" and has_openvino() else "torch"
    return taken if numerics == "fp32" else f"{taken}-{numerics}"


def build_engine(
    engine: str, model: "torch.nn.Module", transform: PhotoTransform, device: str
) -> Embed:
    """Make a network in evaluation mode ready to compute; it is consumed."""
    fused = fuse_batch_norms(model, transform.size)
    if engine.startswith("openvino"):
        return _build_openvino(fused, transform, bf16=engine.endswith("bf16"))
    return TorchEngine(fused, transform, device, bf16=engine.endswith("bf16"))


def fuse_batch_norms(model: "torch.nn.Module", side: int) -> "torch.nn.Module":
    """Fold each batch norm into the convolution before it, where that leaves the vectors alone.

    Which convolution a norm follows is guessed from the order of a block's parts, and the guess
    is then tried: a network that computes something else with it is returned as it was.
    """
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    fused = deepcopy(model)
    for block in fused.modules():
        for (name, part), (next_name, norm) in pairwise(list(block.named_children())):
            if not isinstance(part, torch.nn.Conv2d) or not isinstance(norm, torch.nn.BatchNorm2d):
                continue
            if part.out_channels != norm.num_features:
                continue
            setattr(block, name, fuse_conv_bn_eval(part, norm))
            # timm's norms carry the activation that follows them.
            setattr(block, next_name, getattr(norm, "act", torch.nn.Identity()))
    trial = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)) * 4 - 2
    with torch.inference_mode():
        before, after = model(trial), fused(trial)
    same = torch.allclose(before, after, rtol=_FUSED_TOLERANCE, atol=_FUSED_TOLERANCE)
    return fused if same else model


class TorchEngine:
    """torch on any device: channels-last, bfloat16 where asked for, copies beside the compute.

    Several threads may call it at once; on a GPU each has a stream of its own, so that one's
    photos travel while the other's are computed.
    """

    def __init__(
        self, model: "torch.nn.Module", transform: PhotoTransform, device: str, *, bf16: bool
    ) -> None:
        import torch

        model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._model = model
        self._device = device
        self._bf16 = bf16
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(transform.mean, device=device).view(shape) * 255
        self._std = torch.tensor(transform.std, device=device).view(shape) * 255
        self._streams = Streams(device)
        if device != "cpu":
            # The threads' streams do not wait for this one, on which all of it is still queued.
            torch.cuda.synchronize(device)

    def __call__(self, batch: Batch) -> NDArray[np.float32]:
        """Embed ``(n, size, size, 3) uint8`` as ``(n, width) float32``."""
        import torch

        kind = torch.device(self._device).type
        lower = torch.autocast(kind, torch.bfloat16, enabled=self._bf16)
        with torch.inference_mode(), self._streams.enter():
            prepared = self._prepare(batch)
            with self._exactly(), lower:
                vectors = self._model(prepared)
            # A copy to ordinary memory waits for this stream, so nothing is read too early.
            found: NDArray[np.float32] = vectors.float().cpu().numpy()
        return found

    @contextmanager
    def _exactly(self) -> Iterator[None]:
        """Keep cuDNN from TF32, on by default: vectors would differ by device.

        Its flags are the whole process's and are read when a kernel is launched: of two threads
        that set and restore them side by side, one would launch with the other's.
        """
        if self._device == "cpu":
            yield
            return
        import torch

        with (
            _LAUNCHING,
            torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
        ):
            yield

    def _prepare(self, batch: Batch) -> "torch.Tensor":
        """Move photos to the device as uint8, and normalise them there, in channels-last order."""
        import torch

        if isinstance(batch, torch.Tensor):
            pixels = batch
        else:
            pixels = torch.from_numpy(np.require(batch, requirements=["C", "W"]))
            if self._device != "cpu":
                # torch keeps pinned memory from being used again until its copy has ended.
                pixels = pixels.pin_memory().to(self._device, non_blocking=True)
        # A photo's bytes are channels-last already, so permuting them copies nothing.
        return pixels.permute(0, 3, 1, 2).float().sub_(self._mean).div_(self._std)


def _build_openvino(model: "torch.nn.Module", transform: PhotoTransform, *, bf16: bool) -> Embed:
    """Compile a network for the CPU; normalising becomes part of it, so that uint8 goes in."""
    import openvino
    import torch
    from openvino.preprocess import PrePostProcessor

    # OpenVINO's own way in; what it traces with is deprecated but works.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.jit")
    side = transform.size
    graph = openvino.convert_model(model, example_input=torch.zeros(2, 3, side, side))
    graph.reshape([-1, 3, side, side])
    steps = PrePostProcessor(graph)
    photo = steps.input()
    photo.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    photo.model().set_layout(openvino.Layout("NCHW"))
    mean, std = ([255 * part for part in parts] for parts in (transform.mean, transform.std))
    photo.preprocess().convert_element_type(openvino.Type.f32).mean(mean).scale(std)
    hints = {
        "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
    }
    compiled = openvino.Core().compile_model(steps.build(), "CPU", hints)
    own = threading.local()

    def embed(batch: Batch) -> NDArray[np.float32]:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        own.request.infer({0: np.require(batch, requirements=["C"])}, share_inputs=True)
        return np.array(own.request.get_output_tensor(0).data, dtype=np.float32)

    return embed
