"""The afin command: every subcommand, and one place where errors become sentences."""

import json
import os
import sys

import typer
from click.exceptions import ClickException
from sqlalchemy.exc import SQLAlchemyError

from cli import accounts, demo, doctor, evaluate, imports, models, serve, verdicts
from cli.output import print_text, warn
from schemas.errors import AfinError

app = typer.Typer(
    name="afin",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Tells what an Instagram influencer is about, and shows the posts that prove it.",
)
app.command()(serve.up)
app.command()(serve.worker)
app.command()(serve.flower)
app.command()(doctor.doctor)
app.add_typer(imports.app, name="import")
app.add_typer(accounts.app, name="accounts")
app.command()(models.train)
app.add_typer(models.app, name="models")
app.command()(verdicts.classify)
app.command()(verdicts.reclassify)
app.add_typer(verdicts.app, name="verdicts")
app.command()(evaluate.evaluate)
app.command()(demo.demo)

INTERRUPTED = 130
"""What shells expect of a program ended by Ctrl-C."""


def main() -> None:
    """Run the command line; exit codes: 0 done, 1 the work failed, 2 wrong use."""
    try:
        code = app(standalone_mode=False)
    except ClickException as error:
        error.show()
        sys.exit(_tell(error.format_message(), error.exit_code))
    except typer.Abort:
        sys.exit(_tell("Stopped.", 1))
    except AfinError as error:
        warn(str(error))
        sys.exit(_tell(str(error), error.exit_code))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has seen enough, as head does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except SQLAlchemyError as error:
        message = f"The database failed: {str(error).splitlines()[0]}. 'afin doctor' says more."
        warn(message)
        sys.exit(_tell(message, 1))
    sys.exit(code if isinstance(code, int) else 0)


def _tell(message: str, code: int) -> int:
    """With --json, the one document on stdout says what went wrong."""
    if "--json" in sys.argv:
        print_text(json.dumps({"error": message}, ensure_ascii=False))
    return code


if __name__ == "__main__":
    main()
