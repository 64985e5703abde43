"""What can go wrong with an address, each with one stable reason and a message without secrets."""

import aiohttp

from schemas.errors import FetchError

_TRY_LATER = frozenset({408, 425})


class PassingError(FetchError):
    """A failure that another try may cure."""


class ThrottledError(PassingError):
    """The host asks for fewer requests; ``retry_after_s`` is its own word (capped), if given.

    ``asked`` is False where it said so of an earlier request and was not asked this time.
    """

    def __init__(self, message: str, retry_after_s: float | None, *, asked: bool = True) -> None:
        super().__init__("throttled", message)
        self.retry_after_s = retry_after_s
        self.asked = asked


def explain(error: Exception, name: str, cause: str) -> FetchError:
    """Put an error of the transport into our words; aiohttp's own would show the whole URL.

    ``cause`` is the reason of a deadline that passed: ``timeout`` or ``too-slow``.
    """
    if isinstance(error, FetchError):
        return error
    failure: FetchError
    match error:
        case TimeoutError() if cause == "too-slow":
            failure = FetchError("too-slow", f"{name} sends fewer bytes a second than the minimum.")
        case TimeoutError():
            failure = PassingError("timeout", f"{name} did not answer in time.")
        case aiohttp.InvalidURL():
            failure = FetchError("bad-url", f"{name} cannot be asked; correct or drop it.")
        case (
            aiohttp.ClientSSLError()
            | aiohttp.ClientConnectorSSLError()
            | aiohttp.ClientConnectorCertificateError()
        ):
            failure = FetchError("tls", f"{name} has no certificate or encryption to be trusted.")
        case aiohttp.ClientConnectorError():
            why = error.os_error.strerror or "no connection"
            failure = PassingError("refused", f"{name} cannot be reached: {why}.")
        case aiohttp.ClientResponseError():
            failure = FetchError("broken-answer", f"{name} does not answer in HTTP.")
        case _:
            failure = PassingError("broken-answer", f"{name} broke off amid its answer.")
    return failure


def refusal(status: int, name: str, retry_after_s: float | None) -> FetchError:
    """The error for a status that is neither a success nor a redirect."""
    if status in (429, 503):
        wait = "later" if retry_after_s is None else f"in {retry_after_s:.0f} s"
        return ThrottledError(f"{name} answered {status}; ask again {wait}.", retry_after_s)
    reason, message = f"http-{status}", f"{name} answered {status}."
    if status in _TRY_LATER or 500 <= status <= 599:  # noqa: PLR2004 (RFC 9110 §15.6)
        return PassingError(reason, message)
    return FetchError(reason, message)
