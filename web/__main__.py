"""What the supervisor starts: ``python -m web``, with less to import than the command."""

import sys

from schemas.errors import AfinError
from schemas.settings import load_settings
from web.server import run_web


def main() -> int:
    """Serve the pages until asked to stop; return the exit code."""
    try:
        return run_web(load_settings())
    except AfinError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
