"""What keeps chords honest: header tasks that never fail, problems noted where they belong."""

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

from celery.exceptions import Reject

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
        except Reject:
            raise  # no failure: the message goes back to its queue
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
def noting_problems(resources: Context, run_id: int, *influencer_ids: int) -> Iterator[None]:
    """Write an error beside the members it hurt, for the run's report, and let it go on.

    One that is not ours is noted by its kind alone: its text is for the log. Noted, the account is
    tried again soon, and not only once everybody has lost patience.
    """
    try:
        yield
    except Reject:
        raise
    except Exception as error:
        ours = isinstance(error, AfinError)
        known = str(error) if ours else f"A worker met a {type(error).__name__}; see its log."
        with resources.database.write() as connection:
            note_problem(connection, run_id, influencer_ids, known)
        raise


@contextmanager
def handing_back(stopped: Callable[[], bool]) -> Iterator[None]:
    """Give a message back to its queue where the worker ``stopped`` before it was worked off.

    Another worker then takes it at once, and nobody has to find out that it is missing.

    Raises:
        Reject: it goes back.
    """
    try:
        yield
    except AfinError as error:
        if not stopped():
            raise
        raise Reject(str(error), requeue=True) from error
