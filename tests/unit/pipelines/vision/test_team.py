"""Two processes started by torch's own launcher learn what one process learns."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.vision.checkpoint import read_history
from pipelines.vision.finetune import FineTuned, Machine, Watch, fine_tune
from tests.unit.pipelines.vision.coloured import CLASSES, coloured, quick, untrained
from tests.unit.pipelines.vision.team_member import CHANGES, NETWORK, PHOTOS

ROOT = Path(__file__).parents[4]


def train(checkpoint: Path | None = None, watch: Watch | None = None) -> FineTuned:
    return fine_tune(
        untrained(NETWORK),
        coloured(PHOTOS, broken=(5, 8)),
        classes=CLASSES,
        hyper=quick("thesis", *CHANGES),
        seed=3,
        machine=Machine(),
        checkpoint=checkpoint,
        watch=watch,
    )


@pytest.fixture(scope="module")
def team_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("team") / "checkpoint"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launcher, "-m", "tests.unit.pipelines.vision.team_member", str(path)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return path


def test_a_team_has_the_curves_of_a_single_process(team_checkpoint: Path) -> None:
    for one, other in zip(train().history, read_history(team_checkpoint), strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-4)
        assert one.valid_loss == pytest.approx(other.valid_loss, rel=1e-4)
        assert one.train_precision == other.train_precision
        assert one.valid_precision == other.valid_precision


def test_a_team_has_the_gradients_of_a_single_process(team_checkpoint: Path) -> None:
    def refuse() -> None:
        raise AssertionError("Nothing was left to be trained.")

    # All epochs are in the checkpoint: what comes back are the team's weights.
    theirs = train(team_checkpoint, Watch(before_step=refuse))
    alone = train()
    for name, array in alone.body.items():
        np.testing.assert_allclose(theirs.body[name], array, atol=2e-5)
    np.testing.assert_allclose(theirs.weight, alone.weight, atol=2e-5)


def test_a_photo_that_one_member_could_not_read_is_known_to_all(team_checkpoint: Path) -> None:
    assert train(team_checkpoint).unusable == (5, 8)
