"""What keeps chords honest: header tasks that never fail, problems noted where they belong."""

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

from schemas.errors import AfinError, LostDatabaseError
from storage.members import note_problem
from tasks.context import Context

log = logging.getLogger(__name__)

Params = ParamSpec("Params")


def never_failing(task: Callable[Params, str]) -> Callable[Params, str]:
    """Turn any error of a header task into its status.

    A header that raises would leave its chord's body uncalled for good. The body looks into the
    database for what is missing, and the sweeper sends it out again.
    """

    @functools.wraps(task)
    def run(*args: Params.args, **kwargs: Params.kwargs) -> str:
        try:
            return task(*args, **kwargs)
        except AfinError as error:
            log.warning("%s%s: %s", task.__name__, args, error)
            return f"failed: {error}"
        except Exception as error:
            log.exception("%s%s failed", task.__name__, args)
            return f"failed: {type(error).__name__}"

    return run


def waiting_for_database(task: Callable[Params, str]) -> Callable[Params, str]:
    """Turn a database that does not answer into a status: the sweeper asks again in seconds."""

    @functools.wraps(task)
    def run(*args: Params.args, **kwargs: Params.kwargs) -> str:
        try:
            return task(*args, **kwargs)
        except LostDatabaseError as error:
            log.warning("%s waits: %s", task.__name__, error)
            return "no database"

    return run


@contextmanager
def noting_problems(resources: Context, run_id: int, influencer_id: int) -> Iterator[None]:
    """Write an error beside the member it hurt, for the run's report, and let it go on.

    One that is not ours is noted by its kind alone: its text is for the log. Noted, the account is
    tried again soon, and not only once everybody has lost patience.
    """
    try:
        yield
    except Exception as error:
        ours = isinstance(error, AfinError)
        known = str(error) if ours else f"A worker met a {type(error).__name__}; see its log."
        with resources.database.write() as connection:
            note_problem(connection, run_id, influencer_id, known)
        raise
