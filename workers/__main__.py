"""What the supervisor starts: ``python -m workers KIND``, with less to import than the command."""

import sys

from schemas.errors import AfinError
from schemas.settings import load_settings
from workers.flower import FLOWER, run_flower
from workers.kinds import run_worker


def main(name: str) -> int:
    """Run one worker, or Flower, until asked to stop; return the exit code."""
    try:
        settings = load_settings()
        return run_flower(settings) if name == FLOWER else run_worker(name, settings)
    except AfinError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2] or [""]))
