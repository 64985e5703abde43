"""The main job on real photos and captions, through the commands as their users type them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

AFIN = str(Path(sys.executable).with_name("afin"))
CATEGORIES = "aire-libre,animal,comida,deporte,moda,musica,viajes"
START_S = 240

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AFIN_")}
    data_dir = str(tmp_path_factory.mktemp("real") / "data")
    return kept | {"AFIN_DATA_DIR": data_dir, "AFIN_WORKERS_WAIT_S": str(START_S)}


@pytest.fixture(scope="module")
def run(environment: dict[str, str]) -> Iterator[Run]:
    """Runs a command while ``afin up`` runs beside it, and returns its one JSON document."""

    def call(*arguments: str) -> Any:
        done = subprocess.run(
            [AFIN, *arguments, "--json"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    with subprocess.Popen(
        [AFIN, "up"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as up:
        try:
            wait_for_broker(Path(environment["AFIN_DATA_DIR"]), up)
            yield call
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(timeout=60)


def wait_for_broker(data_dir: Path, up: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while not (data_dir / "broker" / "broker.json").exists():
        assert up.poll() is None, "'afin up' ended early."
        assert time.monotonic() < end, "'afin up' did not start its broker."
        time.sleep(0.1)


def test_eighty_real_accounts_get_verdicts_worth_having(shared_data: Path, run: Run) -> None:
    photos = run("import", "photos", str(shared_data / "PHOTOS.tsv"), "--source", "dev")
    assert (photos["photos"], photos["problems"]) == (4264, {})
    accounts = run("import", "accounts", str(shared_data / "influencers.jsonl"))
    assert (accounts["accounts"], accounts["posts"], accounts["problems"]) == (80, 944, {})

    bundle = run("train", "--categories", CATEGORIES, "--backbone", "efficientnet_lite0")
    assert bundle["state"] == "active"
    assert bundle["reject_class"]

    classified = run("reclassify", "--all", "--wait")
    assert (classified["state"], classified["failed"]) == ("done", {})
    exported = run("verdicts", "export", "--format", "json")
    assert len(exported) == len({one["username"] for one in exported}) == 80
    assert exported == classified["verdicts"]

    scores = run("evaluate")
    assert scores["items"] == 80
    assert scores["hamming"] <= scores["hamming_of_nothing"] / 2
    assert scores["micro"]["precision"] >= scores["micro"]["recall"]
