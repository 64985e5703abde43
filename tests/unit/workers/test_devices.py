"""One gpu worker for each device."""

from pathlib import Path

import pytest

from schemas.errors import UsageError
from schemas.settings import Settings
from workers.devices import check_device, device_specs


def test_every_device_gets_a_process_and_a_metrics_port_of_its_own(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, metrics_port=9100)
    specs = device_specs(settings, ["cuda:0", "cuda:1"])
    assert [spec.name for spec in specs] == ["gpu-cuda-0", "gpu-cuda-1"]
    assert [spec.env["AFIN_DEVICE"] for spec in specs] == ["cuda:0", "cuda:1"]
    assert [spec.env["AFIN_METRICS_PORT"] for spec in specs] == ["9100", "9101"]
    assert all(spec.env["AFIN_DATA_DIR"] == str(tmp_path) for spec in specs)


def test_metrics_stay_off_unless_asked_for() -> None:
    (spec,) = device_specs(Settings(), ["cpu"])
    assert "AFIN_METRICS_PORT" not in spec.env


@pytest.mark.parametrize(("kind", "device"), [("cpu", "cuda"), ("train", "all"), ("web", "cpu")])
def test_a_worker_that_computes_on_no_device_takes_none(kind: str, device: str) -> None:
    with pytest.raises(UsageError, match="leave out --device"):
        check_device(kind, device)
