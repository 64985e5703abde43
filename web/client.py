"""afin from Python: ``with Afin("http://127.0.0.1:8000") as afin: afin.verdict("maria")``.

Standard library and pydantic only; answers are the models of ``schemas``.
"""

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from pipelines.webhooks import parse_secrets, sign_headers
from schemas.answers import (
    AcceptedEvent,
    AccountDetail,
    AccountPost,
    ListedAccount,
    ListedBundle,
    Me,
    RunProblems,
    RunProgress,
    StartedRun,
    ThesisVerdict,
)
from schemas.errors import UsageError
from schemas.events import EventStatus, EventType
from schemas.maps import DEFAULT_POSTS, MapState, PostMap, View
from web.client_base import part, read
from web.client_campaigns import Campaigns
from web.client_doubts import Doubts
from web.client_http import (
    ApiError,
    BusyError,
    ConflictError,
    ForbiddenError,
    MissingError,
    ServerError,
    SignInError,
    UnreachableError,
    Wire,
    WrongRequestError,
)

__all__ = [
    "Afin",
    "ApiError",
    "BusyError",
    "ConflictError",
    "ForbiddenError",
    "MissingError",
    "ServerError",
    "SignInError",
    "UnreachableError",
    "WrongRequestError",
]

POLL_S = 2.0

Order = Literal["name", "share", "certain", "uncertain"]


class Afin(Campaigns, Doubts):
    """One server; for use in one thread at a time.

    ``timeout_s`` bounds each answer, ``patience_s`` all attempts at one question together: while
    the server says 429 or 503 it is asked again, when it says so.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_s: float = 30.0,
        patience_s: float = 60.0,
        allow_http: bool = False,
    ) -> None:
        """Remember the server; nothing is asked yet.

        Raises:
            UsageError: the address is none, or is plain http on another machine.
        """
        super().__init__(
            Wire(
                url,
                token=token,
                timeout_s=timeout_s,
                patience_s=patience_s,
                allow_http=allow_http,
            )
        )

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection; asking again opens another."""
        self._wire.close()

    def me(self) -> Me:
        """Return who the server takes us for."""
        return self._get(Me, "/me")

    def verdict(self, username: str) -> ThesisVerdict:
        """Return what an account is about, by method.

        Raises:
            MissingError: there is no such account, or it was not classified yet.
        """
        return self._get(ThesisVerdict, f"/accounts/{part(username)}/verdict")

    def account(self, username: str) -> AccountDetail:
        """Return an account with shares, intervals, certainty, and the analyst's word."""
        return self._get(AccountDetail, f"/accounts/{part(username)}")

    def posts(self, username: str) -> list[AccountPost]:
        """Return an account's posts with what image, text and both say of each."""
        return self._get(list[AccountPost], f"/accounts/{part(username)}/posts")

    def photo(self, sha256: str, *, small: bool = False) -> bytes:
        """Return a photo as it was kept, or as a small WebP."""
        path = f"/photos/{part(sha256)}" + ("/small" if small else "")
        return self._wire.ask("GET", path, headers={"Accept": "image/*"}).body

    def accounts(
        self,
        *,
        text: str = "",
        category: str = "",
        min_share: float = 0.0,
        min_certainty: float = 0.0,
        min_followers: int = 0,
        min_interactions: float = 0.0,
        min_posts: int = 0,
        order: Order | None = None,
    ) -> Iterator[ListedAccount]:
        """Go through all accounts that are wanted; pages are fetched as they are needed."""
        wanted = {
            "text": text,
            "category": category,
            "min_share": min_share,
            "min_certainty": min_certainty,
            "min_followers": min_followers,
            "min_interactions": min_interactions,
            "min_posts": min_posts,
            "order": order,
        }
        return self._accounts("/accounts", wanted)

    def override(
        self, username: str, categories: Sequence[str] | None, *, reason: str
    ) -> AccountDetail:
        """Say something else than the model, or (None) take the last word back."""
        said = None if categories is None else list(categories)
        document = {"categories": said, "reason": reason}
        return self._send(AccountDetail, "PUT", f"/accounts/{part(username)}/override", document)

    def classify(self, *usernames: str) -> int:
        """Classify these accounts ahead of bulk work, or without names all; return the run."""
        document = {"usernames": list(usernames) or None}
        return self._send(StartedRun, "POST", "/runs", document).run

    def runs(self) -> list[RunProgress]:
        """Return the newest runs."""
        return self._get(list[RunProgress], "/runs")

    def run(self, run: int) -> RunProgress:
        """Return how far a run is."""
        return self._get(RunProgress, f"/runs/{run}")

    def problems(self, run: int) -> list[RunProblems]:
        """Return why accounts of a run failed."""
        return self._get(list[RunProblems], f"/runs/{run}/problems")

    def watch(
        self, run: int, *, every_s: float = POLL_S, within_s: float | None = None
    ) -> Iterator[RunProgress]:
        """Yield how far a run is each time that changed, to its end.

        Raises:
            TimeoutError: it has not ended ``within_s``; it goes on.
        """
        deadline = None if within_s is None else time.monotonic() + within_s
        before: RunProgress | None = None
        while True:
            now = self.run(run)
            if now != before:
                yield now
            if now.run.state.final:
                return
            if deadline is not None and time.monotonic() + every_s > deadline:
                raise TimeoutError(f"Run {run} goes on: watch it again, or cancel it.")
            before = now
            time.sleep(every_s)

    def wait(
        self, run: int, *, every_s: float = POLL_S, within_s: float | None = None
    ) -> RunProgress:
        """Return how a run ended, once it has; see ``watch``."""
        *_before, last = self.watch(run, every_s=every_s, within_s=within_s)
        return last

    def steer(self, run: int, what: Literal["pause", "resume", "cancel", "retry"]) -> RunProgress:
        """Pause, resume or cancel a run, or try its failed accounts again."""
        return self._send(RunProgress, "POST", f"/runs/{run}/{what}")

    def models(self) -> list[ListedBundle]:
        """Return all bundles, newest first."""
        return self._get(list[ListedBundle], "/models")

    def promote(self, bundle_id: str) -> list[ListedBundle]:
        """Let a bundle judge from now on; return all bundles."""
        return self._send(list[ListedBundle], "POST", f"/models/{part(bundle_id)}/promote")

    def map(self, bundle_id: str, view: View = "image") -> PostMap:
        """Return a bundle's posts laid out in the plane, as last made."""
        return self._get(PostMap, f"/models/{part(bundle_id)}/map", {"view": view})

    def ask_for_map(
        self, bundle_id: str, view: View = "image", *, posts: int = DEFAULT_POSTS
    ) -> MapState:
        """Ask a worker for a map."""
        document = {"view": view, "posts": posts}
        return self._send(MapState, "POST", f"/models/{part(bundle_id)}/map", document)

    def send_event(
        self,
        kind: EventType | str,
        data: Mapping[str, Any],
        *,
        secret: str,
        webhook_id: str | None = None,
    ) -> AcceptedEvent:
        """Sign an event with the platform's secret and send it; safe to repeat under its id.

        Raises:
            UsageError: secret or kind are none.
        """
        if kind not in tuple(EventType):
            raise UsageError(f"No event is a {kind!r}: use one of {', '.join(EventType)}.")
        keys = [key for own in parse_secrets(secret).values() for key in own]
        name = webhook_id or f"evt_{uuid.uuid4().hex}"
        document = {"type": EventType(kind).value, "data": dict(data)}
        body = json.dumps(document, ensure_ascii=False).encode()
        headers = sign_headers(keys[:1], name, int(time.time()), body)
        reply = self._wire.ask(
            "POST", "/events", body=body, headers=headers, repeatable=True, with_token=False
        )
        return AcceptedEvent.model_validate_json(reply.body, extra="ignore")

    def event(self, event_id: str) -> EventStatus:
        """Return how far an event is, by the id it was accepted under."""
        return read(EventStatus, self._wire.get(f"/events/{part(event_id)}"))
