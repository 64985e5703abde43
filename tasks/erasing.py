"""Erasing accounts: rows in one transaction, then the bytes of photos that nobody else uses."""

import logging

from sqlalchemy import Connection

from schemas.errors import BlobError, NotFoundError
from storage.accounts import delete_account
from storage.inbox import forget_events
from storage.outbox import forget_answers
from storage.photos import doomed_photos, release_doomed_photo
from tasks.context import Context

log = logging.getLogger(__name__)

EVERY_EVENT = 2**63 - 1
"""Before this, in ``forget_events``."""


def erase_rows(connection: Connection, username: str, *, before: int = EVERY_EVENT) -> bool:
    """Erase everything known of an account; return whether there was one.

    Its posts, verdicts, vectors, labels and photos' rows go, what was told to whom, and what its
    events numbered less than ``before`` held. The bytes follow with ``erase_doomed``.
    """
    known = True
    try:
        delete_account(connection, username)
    except NotFoundError:
        known = False
    # After the account: whoever concludes it meanwhile holds the account first, then its events.
    forget_events(connection, username, before=before)
    forget_answers(connection, username)
    return known


def erase_doomed(resources: Context) -> int:
    """Erase the bytes of doomed photos; one that cannot be erased now is tried again later."""
    with resources.database.read() as connection:
        doomed = doomed_photos(connection)
    erased = 0
    for sha256 in doomed:
        try:
            with resources.database.write() as connection:
                if release_doomed_photo(connection, sha256):
                    resources.blobs.delete_photo(sha256)
                    erased += 1
        except BlobError as error:
            log.warning("photo %s could not be erased: %s", sha256, error)
    return erased
