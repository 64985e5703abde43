"""The networks that turn photos into vectors: which there are, and one ready to embed."""

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.vision.architectures import build_network, describe_network, fill_network
from pipelines.vision.decode import PhotoTransform
from pipelines.vision.decoder_proof import open_decoder
from pipelines.vision.devices import count_gpus
from pipelines.vision.engines import NUMERICS, Batch, Embed, build_engine, pick_engine
from pipelines.vision.nvjpeg import DeviceDecoder
from pipelines.vision.pixels import PREPROCESSING
from pipelines.vision.weights import find_weights, hash_file
from schemas.base import Frozen
from schemas.bundles import BackboneRef, TunedWeights
from schemas.errors import UsageError, WeightsError

Weights = Literal["pretrained", "random"]
Colours = Literal["smooth", "repeated"]


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

    Several threads may embed with it at once.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        embed: Embed,
        device: str,
        engine: str,
        decoder: DeviceDecoder | None = None,
    ) -> None:
        self.ref = spec.ref
        self.transform = spec.transform
        self.device = device
        self.engine = engine
        self.decoder = decoder
        self._embed: Embed | None = embed

    def embed(self, batch: Batch) -> NDArray[np.float32]:
        """Embed photos, ``(n, size, size, 3) uint8``, as ``(n, width) float32``.

        A tensor must lie on the backbone's device, with nothing still being written to it.

        Raises:
            UsageError: the array has another shape or type, or the backbone is closed.
        """
        embed = self._embed
        if embed is None:
            raise UsageError(f"The backbone {self.ref.name} is closed: load it again.")
        side = self.transform.size
        whole = str(batch.dtype) in {"uint8", "torch.uint8"}
        if not whole or tuple(batch.shape) != (len(batch), side, side, 3):
            raise UsageError(
                f"{self.ref.name} embeds (n, {side}, {side}, 3) uint8, "
                f"not {batch.shape} {batch.dtype}."
            )
        if len(batch) == 0:
            return np.empty((0, self.ref.width), dtype=np.float32)
        return embed(batch)

    def close(self) -> None:
        """Release the network and the device memory it took."""
        self._embed = None
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()


def resolve_backbone(
    name: str,
    *,
    weights_dir: Path,
    weights: Weights = "pretrained",
    seed: int = 0,
    tuned: tuple[TunedWeights, Path] | None = None,
    engine: str = "torch",
    colours: Colours = "smooth",
) -> BackboneSpec:
    """Say which vectors a backbone gives, without loading it (or torch, for the built-in ones).

    Missing weights are downloaded, for their content is part of the hash. ``tuned`` are fine-tuned
    weights and where their file lies: they take the place of the published ones.

    Raises:
        UsageError: there is no such backbone or engine.
        WeightsError: its weights cannot be had on this machine.
    """
    if engine not in NUMERICS:
        raise UsageError(f"Unknown engine {engine!r}: use one of {', '.join(NUMERICS)}.")
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
        "transform": transform.model_dump(mode="json", exclude={"colours"}),
        "preprocessing": PREPROCESSING[colours],
        "engine": NUMERICS[engine],
    }
    transform = transform.model_copy(update={"colours": colours})
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
    engine: str = "torch",
    decoder: Literal["auto", "cpu"] = "cpu",
    expected: BackboneRef | None = None,
) -> Backbone:
    """Load a backbone onto a device, ready to embed; random weights only where asked for.

    Where vectors of a certain hash are ``expected``, an engine that computes them is taken,
    whichever was asked for. With the ``decoder`` auto a GPU decodes the photos of new models too,
    and of those that were trained so, if it proves itself.

    Raises:
        UsageError: there is no such backbone, device or engine.
        WeightsError: its weights cannot be had on this machine, do not fit, or are not those
            expected.
    """
    chosen = pick_device(device)

    def resolve(engine: str, colours: Colours) -> BackboneSpec:
        return resolve_backbone(
            name,
            weights_dir=weights_dir,
            weights=weights,
            seed=seed,
            tuned=tuned,
            engine=engine,
            colours=colours,
        )

    numerics, colours = (None, None) if expected is None else _find_numbers(expected, resolve)
    picked = pick_engine(name, engine, chosen, numerics)
    spec = resolve(picked, colours or "smooth")
    model = build_network(name, seed)
    if spec.weights_file is not None:
        fill_network(model, name, spec.weights_file)
    model.eval().requires_grad_(requires_grad=False)
    embed = build_engine(picked, model, spec.transform, chosen)
    found = None
    if chosen != "cpu" and decoder == "auto" and colours != "smooth":
        repeated = resolve(picked, "repeated")
        found = open_decoder(repeated.transform, chosen, embed, threads=os.cpu_count() or 1)
        spec = spec if found is None else repeated
    return Backbone(spec, embed, chosen, picked, found)


def _find_numbers(
    expected: BackboneRef, resolve: Callable[[str, Colours], BackboneSpec]
) -> tuple[str, Colours]:
    """Tell from its hash with which kind of numbers and of pixels a backbone was computed."""
    ways: tuple[Colours, ...] = ("smooth", "repeated")
    for colours in ways:
        for engine, numerics in NUMERICS.items():
            if resolve(engine, colours).ref == expected:
                return numerics, colours
    here = resolve("torch", "smooth").ref
    raise WeightsError(
        f"The weights of {expected.name} on this machine ({here.hash}) are not "
        f"those the bundle was trained with ({expected.hash}): put the same weight file "
        "into AFIN_WEIGHTS_DIR, or train a new bundle."
    )


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
    if wanted == "cpu":
        return wanted
    if not re.fullmatch(r"auto|cuda(:\d+)?", wanted):
        raise UsageError(f"Unknown device {wanted!r}: use auto, cpu, cuda or cuda:1 (AFIN_DEVICE).")
    count = count_gpus()
    if wanted == "auto":
        return "cuda" if count else "cpu"
    if int(wanted.partition(":")[2] or 0) >= count:
        raise UsageError(
            f"There is no device {wanted} in this machine (GPUs that can be used: {count}): "
            "use auto or cpu (AFIN_DEVICE)."
        )
    return wanted
