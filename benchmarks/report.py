"""How a benchmark reports: ratios of interleaved pairs, and one JSON line at the end."""

import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any


def note(message: str) -> None:
    """Say something while measuring, on stderr."""
    sys.stderr.write(message + "\n")


def compare(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return the ratio of each pair: our throughput over theirs, measured next to each other."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]


def print_result(
    bench: str, ratios: Mapping[str, Sequence[float]], figures: Mapping[str, Any]
) -> None:
    """Print a table of the ratios, and as the last line everything as one JSON document.

    A ratio is the median of its pairs; ``figures`` also get the least and the greatest of them.
    """
    for name, pairs in ratios.items():
        low, middle, high = min(pairs), statistics.median(pairs), max(pairs)
        print(f"{name:>16}  {middle:.2f}  ({low:.2f} to {high:.2f} in {len(pairs)} pairs)")
    document = {
        "bench": bench,
        "ratios": {name: round(statistics.median(pairs), 3) for name, pairs in ratios.items()},
        "figures": {
            **figures,
            "pairs": {name: [round(pair, 3) for pair in pairs] for name, pairs in ratios.items()},
        },
        "machine": describe_machine(),
    }
    print(json.dumps(document))


def busy_s() -> float:
    """Return the CPU seconds that all programs of this machine have used so far."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    _user, _nice, _system, idle, waiting, *_ = fields
    return (sum(fields) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def describe_machine() -> str:
    """Return what figures depend on: cores, processor, GPU, and the versions that matter."""
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores ({_processor()}), {_gpu()}, "
        f"Python {platform.python_version()}, torch {version('torch')}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
