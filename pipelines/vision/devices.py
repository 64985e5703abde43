"""The devices of this machine: which there are, and what they compute fast."""

import threading
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

_CPU_FLAGS = Path("/proc/cpuinfo")


def count_gpus() -> int:
    """Count the GPUs that torch can use."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def list_devices() -> list[str]:
    """Name every device worth a process of its own: all GPUs, or the CPU where there are none."""
    return [f"cuda:{number}" for number in range(count_gpus())] or ["cpu"]


def has_fast_bf16(device: str) -> bool:
    """Tell whether bfloat16 is computed by the device itself, and faster than float32.

    On CPUs that takes AMX: with AVX-512's bf16 instructions alone ResNet-34 was slower than in
    float32 (10.0 against 13.5 photos/s on one thread).
    """
    if device.startswith("cuda"):
        import torch

        major, _minor = torch.cuda.get_device_capability(device)
        return major >= 8  # noqa: PLR2004  # Ampere, the first with bf16
    return "amx_bf16" in _cpu_flags()


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
def _cpu_flags() -> frozenset[str]:
    """Read the processor's features; none where the system does not list them."""
    try:
        text = _CPU_FLAGS.read_text("utf-8")
    except OSError:
        return frozenset()
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return frozenset(line.partition(":")[2].split())
