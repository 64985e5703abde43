"""Every error afin raises on purpose; each message tells its reader what to do next."""

from datetime import datetime
from typing import ClassVar


class AfinError(Exception):
    """Root of all errors raised on purpose; the command line prints it as one sentence."""

    exit_code: ClassVar[int] = 1


class UsageError(AfinError):
    """The caller asked for something that cannot mean anything (a wrong name, option or file)."""

    exit_code: ClassVar[int] = 2


class NotFoundError(AfinError):
    """The named account, bundle, run or file does not exist."""


class SourceError(AfinError):
    """A file or folder handed to an import cannot be read as what it claims to be."""


class PhotoError(AfinError):
    """A photo cannot be used.

    ``reason`` is a short stable slug (``truncated``, ``not-an-image``, ``too-many-pixels``, …)
    that is stored beside the photo and counted in reports.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class FetchError(AfinError):
    """A photo's address did not give a usable photo; ``reason`` is a short stable slug."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class CatchError(AfinError):
    """A fetched photo could not be kept, or the process that fetches has ended: fetch it again."""


class SourceBlockedError(AfinError):
    """A source refuses us, and will until a person has seen to it: stop asking it.

    ``credential`` names the setting to look at (``AFIN_PEXELS_KEY``), never its value; None where
    no credential is the cause.
    """

    def __init__(self, message: str, credential: str | None = None) -> None:
        super().__init__(message)
        self.credential = credential


class BudgetError(AfinError):
    """What a source allows is spent; from ``free_at`` (with its zone) on it may be asked again."""

    def __init__(self, message: str, free_at: datetime) -> None:
        super().__init__(message)
        self.free_at = free_at


class SignatureError(AfinError):
    """A webhook is not signed by anyone we know, or too old; nothing of it was looked at."""


class WeightsError(AfinError):
    """The weights of a backbone cannot be had on this machine."""


class BundleError(AfinError):
    """A bundle is incomplete, altered, or of a format this version cannot read."""


class TrainingError(AfinError):
    """Training cannot start or go on with the data there is."""


class BrokerError(AfinError):
    """The message broker cannot be started or reached."""


class WorkersError(AfinError):
    """No worker answers on a queue that a command needs."""


class DatabaseError(AfinError):
    """The database cannot be reached, or holds a schema newer than this version."""


class LostDatabaseError(DatabaseError):
    """The database does not answer now; once it does again, work goes on."""


class BlobError(AfinError):
    """The blob store cannot be reached or used."""


class LostBlobError(BlobError):
    """The blob store answers, but no longer has what was kept there."""
