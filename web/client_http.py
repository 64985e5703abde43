"""How the client talks: one connection kept open, retries, known answers, errors as types."""

import gzip
import http.client
import json
import random
import time
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit

from schemas.errors import AfinError, UsageError

LOOPBACK = ("127.0.0.1", "::1", "localhost")
ANSWERS_KEPT = 200
MOST_BYTES = 256 * 2**20
"""Of one answer, unpacked; a list of accounts has a few hundred kilobytes."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
RETRIED = (429, 503)
ERRORS_FROM = 400


class ApiError(AfinError):
    """The server refused or failed; ``status`` is HTTP's, ``detail`` what the server says."""

    hint: ClassVar[str] = ""

    def __init__(self, status: int, detail: str, retry_after_s: float | None = None) -> None:
        said = detail.strip().rstrip(".")
        super().__init__(f"{said or 'The server said no more'} ({status}).{self.hint}")
        self.status = status
        self.detail = detail
        self.retry_after_s = retry_after_s


class WrongRequestError(ApiError):
    """What was asked for cannot mean anything (400, 413, 415, 422)."""


class SignInError(ApiError):
    """No token was sent, or one that the server does not know (401)."""

    hint = " Give a token: 'afin users token NAME' makes one."


class ForbiddenError(ApiError):
    """The token's user may not do this (403)."""

    hint = (
        " Changes need a token whose user has the role: 'afin users add NAME --role operator', "
        "then 'afin users token NAME'."
    )


class MissingError(ApiError):
    """There is no such account, run, bundle or event, or nothing is known of it yet (404)."""


class ConflictError(ApiError):
    """It cannot be done as things stand (409)."""


class BusyError(ApiError):
    """The server asks to wait for longer than the client's patience (429, 503)."""

    hint = " Ask again later, or give the client more patience_s."


class ServerError(ApiError):
    """The server failed (5xx); its log says more."""

    hint = " The log of the web process says more."


class UnreachableError(AfinError):
    """Nobody answers under the address, or not in time."""


KINDS: dict[int, type[ApiError]] = {
    400: WrongRequestError,
    401: SignInError,
    403: ForbiddenError,
    404: MissingError,
    409: ConflictError,
    413: WrongRequestError,
    415: WrongRequestError,
    422: WrongRequestError,
    429: BusyError,
    503: BusyError,
}


@dataclass(frozen=True)
class Reply:
    """An answer as it came, unpacked."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """Asks one server; not for several threads at once: give each thread its own."""

    def __init__(
        self, url: str, *, token: str | None, timeout_s: float, patience_s: float, allow_http: bool
    ) -> None:
        """Remember where to ask; nothing is asked yet.

        Raises:
            UsageError: the address is none, or would carry the token unprotected.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f"{url!r} is no address: use https://host, or http://127.0.0.1:PORT.")
        here = parts.hostname in LOOPBACK
        if token and parts.scheme == "http" and not here and not allow_http:
            raise UsageError(
                f"The token would go to {parts.hostname} unprotected: use https, or say "
                "allow_http=True within a network of your own."
            )
        self._where = parts
        self._base = parts.path.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._connection: http.client.HTTPConnection | None = None
        self._known: OrderedDict[str, tuple[str, Any]] = OrderedDict()

    def get(self, path: str) -> Any:
        """Return the JSON under a path; what did not change since is not sent again."""
        known = self._known.get(path)
        reply = self.ask("GET", path, headers={"If-None-Match": known[0]} if known else {})
        if reply.status == 304 and known:  # noqa: PLR2004 - not modified
            self._known.move_to_end(path)
            return known[1]
        found = _parse(reply.body)
        tag = reply.headers.get("etag")
        if tag:
            self._known[path] = (tag, found)
            self._known.move_to_end(path)
            while len(self._known) > ANSWERS_KEPT:
                self._known.popitem(last=False)
        return found

    def send(self, method: str, path: str, document: Any = None) -> Any:
        """Send a change and return the JSON that answers it."""
        body = None if document is None else json.dumps(document).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        return _parse(self.ask(method, path, body=body, headers=headers).body)

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
        with_token: bool = True,
    ) -> Reply:
        """Ask once, and again where the server is busy or, if it can do no harm, unreachable.

        Raises:
            ApiError: the server refuses; the subclass says how.
            UnreachableError: nobody answers.
        """
        harmless = method in {"GET", "PUT", "DELETE"} if repeatable is None else repeatable
        deadline = time.monotonic() + self._patience_s
        attempt = 0
        if not harmless:
            # A kept connection may be closed under our hands, and nobody could say what was done.
            self.close()
        while True:
            problem: AfinError
            wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt) * random.uniform(0.75, 1.25)  # noqa: S311 - spreads retries
            try:
                reply = self._once(method, path, body, headers or {}, with_token=with_token)
            except (OSError, http.client.HTTPException, zlib.error) as error:
                self.close()
                problem = UnreachableError(
                    f"{self._where.scheme}://{self._where.netloc} does not answer "
                    f"({error or type(error).__name__}): does 'afin up' or 'afin web' run there?"
                )
                if not harmless or attempt:
                    raise problem from error
                # A kept connection that the server has closed meanwhile: at once, on a new one.
                wait_s = 0.0
            else:
                if reply.status < ERRORS_FROM:
                    return reply
                problem = _to_error(reply)
                told = problem.retry_after_s is not None
                # A change that failed for want of workers, say, is not tried for a minute unasked.
                if reply.status not in RETRIED or not (told or harmless):
                    raise problem
                wait_s = wait_s if problem.retry_after_s is None else problem.retry_after_s
            if time.monotonic() + wait_s > deadline:
                raise problem
            time.sleep(wait_s)
            attempt += 1

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _once(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        with_token: bool,
    ) -> Reply:
        if self._connection is None:
            secure = self._where.scheme == "https"
            kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            self._connection = kind(
                self._where.hostname or "", self._where.port, timeout=self._timeout_s
            )
        sent = {"Accept": "application/json", "Accept-Encoding": "gzip", **headers}
        if self._token and with_token:
            sent["Authorization"] = f"Bearer {self._token}"
        self._connection.request(method, self._base + path, body=body, headers=sent)
        answer = self._connection.getresponse()
        raw = answer.read()
        found = {name.lower(): value for name, value in answer.getheaders()}
        if found.get("content-encoding") == "gzip":
            raw = _unpack(raw)
        if 300 <= answer.status < ERRORS_FROM and answer.status != 304:  # noqa: PLR2004 - not modified
            raise UnreachableError(
                f"{self._where.netloc} sends us on to {found.get('location', 'elsewhere')}: give "
                "the address of afin's own pages."
            )
        return Reply(answer.status, found, raw)


def _unpack(raw: bytes) -> bytes:
    unpacked = zlib.decompressobj(16 + zlib.MAX_WBITS)
    data = unpacked.decompress(raw, MOST_BYTES)
    if unpacked.unconsumed_tail:
        raise gzip.BadGzipFile("the answer is larger than any of ours")
    return data


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise UnreachableError(
            "What answers there is not afin: it sent no JSON. Check the address."
        ) from None


def _to_error(reply: Reply) -> ApiError:
    """Read a problem document (RFC 9457), or what stands in front of the server said instead."""
    try:
        document = json.loads(reply.body)
    except ValueError:
        document = {}
    detail = ""
    if isinstance(document, dict):
        detail = str(document.get("detail") or document.get("error") or document.get("title") or "")
    kind = KINDS.get(reply.status)
    if kind is None:
        kind = ServerError if reply.status >= 500 else ApiError  # noqa: PLR2004 - HTTP's classes
    text = detail or reply.body[:200].decode("utf-8", "replace")
    return kind(reply.status, text, _read_wait(reply.headers.get("retry-after")))


def _read_wait(text: str | None) -> float | None:
    """Return how long to wait: seconds, or until a moment (RFC 9110)."""
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max((zoned - datetime.now(UTC)).total_seconds(), 0.0)
