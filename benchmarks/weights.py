"""Weights for measuring speed where the real ones cannot be had: random, and only here."""

from pathlib import Path

from pipelines.vision.architectures import build_network

RANDOM = {"resnet34": "resnet34.tv_in1k", "resnet18": "resnet18.tv_in1k"}
"""timm's name of the same network, whose weight file may be put down without a known hash."""


def write_random_weights(folder: Path, name: str) -> str:
    """Write a file of random weights for a backbone; return the name that finds it.

    The product itself never draws weights: it is only handed this file, in a folder that is gone
    when the benchmark ends.
    """
    from safetensors.torch import save_file  # imports torch

    known = RANDOM.get(name, name)
    folder.mkdir(parents=True, exist_ok=True)
    state = build_network(known, 0).state_dict()
    save_file(
        {key: value.contiguous() for key, value in state.items()}, folder / f"{known}.safetensors"
    )
    return known
