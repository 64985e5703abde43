"""A gpu worker for every device of the machine, one process each."""

import sys
from pathlib import Path

from schemas.errors import UsageError
from schemas.settings import Settings
from workers.processes import ChildSpec
from workers.supervisor import Supervisor, settings_env

ALL = "all"
GRACE_S = 10.0


def device_specs(settings: Settings, devices: list[str]) -> list[ChildSpec]:
    """Return the command for each device; the n-th serves its metrics n ports further up."""
    specs = []
    for number, device in enumerate(devices):
        own = {"AFIN_DEVICE": device, "PYTHONUNBUFFERED": "1"}
        if settings.metrics_port:
            own["AFIN_METRICS_PORT"] = str(settings.metrics_port + number)
        specs.append(
            ChildSpec(
                name=f"gpu-{device.replace(':', '-')}",
                argv=(sys.executable, "-m", "workers", "gpu"),
                env=settings_env(settings) | own,
                grace_s=GRACE_S,
            )
        )
    return specs


def run_on_all_devices(settings: Settings, logs: Path) -> int:
    """Keep one gpu worker running on every device until asked to stop; return the exit code.

    Raises:
        WorkersError: a worker dies again and again.
    """
    from pipelines.vision.devices import list_devices

    specs = device_specs(settings, list_devices())
    with Supervisor(specs, logs=logs, say=_say) as supervisor:
        supervisor.wait()
    return 0


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


def check_device(kind: str, device: str) -> None:
    """Make sure that a kind of worker can be put on a device.

    Raises:
        UsageError: it uses none, or only one.
    """
    if kind not in {"gpu", "train"} or (device == ALL and kind != "gpu"):
        raise UsageError(f"A {kind} worker does not run on {device}: leave out --device.")
