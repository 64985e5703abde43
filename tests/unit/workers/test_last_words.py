"""With JSON logs every line of a worker is JSON, to its end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.workers.proc import lines, until
from workers.broker import EmbeddedBroker

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("sent", "said"),
    [(signal.SIGTERM, "Warm shutdown (MainProcess)"), (signal.SIGINT, "initiate cold shutdown")],
)
def test_every_line_of_a_worker_is_json_to_its_end(
    tmp_path: Path, sent: signal.Signals, said: str
) -> None:
    log = tmp_path / "worker.log"
    with EmbeddedBroker.start(tmp_path) as broker, log.open("wb") as out:
        settings = {
            "AFIN_DATA_DIR": str(tmp_path),
            "AFIN_BROKER_URL": broker.url,
            "AFIN_LOG_FORMAT": "json",
        }
        with subprocess.Popen(
            [sys.executable, "-m", "cli.main", "worker", "scrape"],
            cwd=ROOT,
            env={**os.environ, **settings},
            stdout=out,
            stderr=out,
        ) as process:
            try:
                until(lambda: any("ready." in line for line in lines(log)), within_s=60)
                process.send_signal(sent)
                assert process.wait(30) == 0
            finally:
                process.kill()
    records = [json.loads(line) for line in lines(log)]
    assert all(one["process"] == "scrape" for one in records)
    assert any(said in one["message"] for one in records)
