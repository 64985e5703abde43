"""The afin command's entry: one place where errors become sentences and exit codes."""

import json
import os
import sys
from collections.abc import Callable

from schemas.errors import AfinError
from schemas.settings import load_settings

INTERRUPTED = 130
"""What shells expect of a program ended by Ctrl-C."""


def main() -> None:
    """Run the command line; exit codes: 0 done, 1 the work failed, 2 wrong use."""
    try:
        # Before anything that reads settings while it is imported.
        load_settings()
        sys.exit(_run())
    except AfinError as error:
        sys.exit(_tell(str(error), error.exit_code))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has seen enough, as head does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _run() -> int:
    import typer
    from sqlalchemy.exc import SQLAlchemyError

    from cli.commands import app

    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        return _tell("Stopped.", 1)
    except typer.TyperException as error:
        # Only the subclasses know which option or argument they are about.
        explain: Callable[[], str] = getattr(error, "format_message", error.__str__)
        wrong = explain().rstrip(".")
        return _tell(f"{wrong}. 'afin --help' lists what can be asked.", error.exit_code)
    except SQLAlchemyError as error:
        first = str(error).splitlines()[0]
        return _tell(f"The database failed: {first}. 'afin doctor' says more.", 1)
    return code if isinstance(code, int) else 0


def _tell(message: str, code: int) -> int:
    """Say what went wrong on stderr and, with --json, in the one document on stdout."""
    sys.stderr.write(message + "\n")
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps({"error": message}, ensure_ascii=False) + "\n")
    return code


if __name__ == "__main__":
    main()
