"""The devices of this machine: which there are, and what they compute fast."""

import math
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

_CPU_FLAGS = Path("/proc/cpuinfo")

_BF16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})

_LEAST_GAIN = 1.3
"""So many times as fast a convolution has to be in bfloat16: what else there is gains nothing."""

_TURNS = 5


def count_gpus() -> int:
    """Count the GPUs that torch can use."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def list_devices() -> list[str]:
    """Name every device worth a process of its own: all GPUs, or the CPU where there are none."""
    return [f"cuda:{number}" for number in range(count_gpus())] or ["cpu"]


def has_fast_bf16(device: str) -> bool:
    """Tell whether bfloat16 is computed by the device itself, and faster than float32.

    A CPU that has instructions for it shows that by a trial: AVX-512's alone made ResNet-34 twice
    as fast on one processor, and slower on another.
    """
    if device.startswith("cuda"):
        import torch

        major, _minor = torch.cuda.get_device_capability(device)
        return major >= 8  # noqa: PLR2004  # Ampere, the first with bf16
    return not _BF16_FLAGS.isdisjoint(_cpu_flags()) and _cpu_gain() >= _LEAST_GAIN


def device_memory_bytes(device: str) -> int:
    """Return the memory that torch holds on a GPU; 0 for the CPU."""
    if not device.startswith("cuda"):
        return 0
    import torch

    return int(torch.cuda.memory_reserved(device))


class Streams:
    """A CUDA stream for each thread, so that one's copies run beside another's compute."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._own = threading.local()

    def enter(self) -> AbstractContextManager[Any]:
        """Put what is done inside on the calling thread's stream; on the CPU there is none."""
        if self._device == "cpu":
            return nullcontext()
        import torch

        if not hasattr(self._own, "stream"):
            self._own.stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        return torch.cuda.stream(self._own.stream)


@cache
def _cpu_gain() -> float:
    """How many times as fast the CPU computes a convolution of ResNet in bfloat16: 50 ms."""
    import torch

    best = {torch.float32: math.inf, torch.bfloat16: math.inf}
    with torch.inference_mode():
        photos, filters = torch.ones(4, 64, 56, 56), torch.ones(64, 64, 3, 3)
        for turn in range(1 + _TURNS):
            for kind, fastest_s in best.items():
                ours = photos.to(kind, memory_format=torch.channels_last)
                theirs = filters.to(kind, memory_format=torch.channels_last)
                started = time.perf_counter()
                torch.nn.functional.conv2d(ours, theirs, padding=1)
                if turn:  # In the first one its code is made.
                    best[kind] = min(fastest_s, time.perf_counter() - started)
    return best[torch.float32] / best[torch.bfloat16]


@cache
def _cpu_flags() -> frozenset[str]:
    """Read the processor's features; none where the system does not list them."""
    try:
        text = _CPU_FLAGS.read_text("utf-8")
    except OSError:
        return frozenset()
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return frozenset(line.partition(":")[2].split())
