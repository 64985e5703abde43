"""One process of the team that test_team starts through torch's launcher."""

import sys
from pathlib import Path

from pipelines.vision.finetune import Machine, fine_tune
from pipelines.vision.team import join_team
from tests.unit.pipelines.vision.coloured import CLASSES, coloured, quick, untrained

NETWORK = "test_convnext"
"""Without batch normalisation, which CPUs cannot spread over processes."""

PHOTOS = 31
CHANGES = ("input_size=64", "flip=true")


def main(checkpoint: Path) -> None:
    with join_team("cpu") as team:
        fine_tune(
            untrained(NETWORK),
            coloured(PHOTOS, broken=(5, 8)),
            classes=CLASSES,
            hyper=quick("thesis", *CHANGES),
            seed=3,
            machine=Machine(team),
            checkpoint=checkpoint,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
