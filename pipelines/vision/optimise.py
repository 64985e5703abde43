"""What moves a network's weights: optimiser, learning rate, mixed precision, random numbers."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import numpy as np

from schemas.finetuning import FineTuning

if TYPE_CHECKING:
    import torch

Tensors = dict[str, "torch.Tensor"]


def learning_rate(hyper: FineTuning, epochs: float) -> float:
    """Return the rate after so many epochs; steps fall at whole epochs, a cosine all the time.

    Cosine: Loshchilov and Hutter 2016, "SGDR", without restarts.
    """
    if epochs < hyper.warmup_epochs:
        # Never 0: the very first step should teach something.
        return hyper.rate * max(epochs / hyper.warmup_epochs, 0.01)
    if hyper.schedule == "step":
        falls = int(epochs) // hyper.step_epochs
        return float(hyper.rate * hyper.step_factor**falls)
    length = max(hyper.epochs - hyper.warmup_epochs, 1e-9)
    return hyper.rate * (1 + math.cos(math.pi * (epochs - hyper.warmup_epochs) / length)) / 2


def make_optimizer(model: "torch.nn.Module", hyper: FineTuning) -> "torch.optim.Optimizer":
    """Return an optimiser of the parameters that are trained."""
    import torch

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if hyper.optimizer == "adamw":
        return torch.optim.AdamW(trained, lr=hyper.rate, weight_decay=hyper.weight_decay)
    return torch.optim.SGD(
        trained, lr=hyper.rate, momentum=hyper.momentum, weight_decay=hyper.weight_decay
    )


def export_optimizer(model: "torch.nn.Module", optimizer: "torch.optim.Optimizer") -> Tensors:
    """Return what the optimiser remembers of each parameter, by the parameter's name."""
    return {
        f"{name}/{kind}": value
        for name, parameter in model.named_parameters()
        for kind, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }


def import_optimizer(
    model: "torch.nn.Module", optimizer: "torch.optim.Optimizer", saved: Tensors
) -> None:
    """Give an optimiser back what ``export_optimizer`` returned."""
    import torch

    for name, parameter in model.named_parameters():
        for key, value in saved.items():
            owner, _slash, kind = key.rpartition("/")
            if owner != name:
                continue
            # AdamW counts its steps on the CPU, whatever the device.
            place = value if kind == "step" else value.to(parameter.device)
            if place.shape == parameter.shape and place.ndim == 4:  # noqa: PLR2004 - a convolution
                place = place.contiguous(memory_format=torch.channels_last)
            optimizer.state[parameter][kind] = place


def autocast(hyper: FineTuning, device: str) -> AbstractContextManager[object]:
    """Return the block in which the network computes at the precision asked for.

    bf16 has the range of fp32, so that no loss needs to be scaled.
    """
    import torch

    cuda = device.startswith("cuda")
    half = hyper.precision == "bf16" or (
        hyper.precision == "auto" and cuda and torch.cuda.is_bf16_supported()
    )
    return torch.autocast("cuda" if cuda else "cpu", torch.bfloat16, enabled=half)


@contextmanager
def seeded(device: str, *numbers: int) -> Iterator[None]:
    """Run a block with torch's random numbers begun anew; the caller's stay as they were.

    An epoch's depend on seed and epoch alone, so that a resumed training meets the same ones.
    """
    import torch

    devices = [torch.device(device).index or 0] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))
        yield
