"""The life of a run: a bulk classification, a training, or a crawl."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from schemas.base import Frozen


class RunKind(StrEnum):
    """What a run does."""

    CLASSIFY = "classify"
    TRAIN = "train"
    CRAWL = "crawl"


class RunState(StrEnum):
    """Where a run stands; the last three are final."""

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen to the run by itself."""
        return self in {RunState.DONE, RunState.FAILED, RunState.CANCELLED}


class MemberState(StrEnum):
    """Where one account stands within a run; ``dead`` means every attempt failed."""

    PENDING = "pending"
    IN_FLIGHT = "in_flight"
    DONE = "done"
    DEAD = "dead"


class PostScope(Frozen):
    """Which of an account's posts count: the newest ``last`` of those not older than ``since``.

    Posts without a date are the oldest among the newest, and never too old.
    """

    last: int | None = None
    since: datetime | None = None


EVERY_POST = PostScope()


class Run(Frozen):
    """A run as stored; ``generation`` rises when it is cancelled, so that old messages end."""

    id: int
    kind: RunKind
    state: RunState
    generation: int
    bundle_id: str | None
    params: dict[str, Any]
    error: str | None
    created_at: datetime
    finished_at: datetime | None

    @property
    def scope(self) -> PostScope:
        """Which posts count, as it was when the run began."""
        return PostScope.model_validate(self.params.get("scope", {}))

    @property
    def urgent(self) -> bool:
        """Whether it goes before bulk work."""
        return bool(self.params.get("urgent"))


class Progress(Frozen):
    """How far a run is: ``done`` of ``total`` steps, of which ``failed`` ended without success."""

    state: RunState
    total: int
    done: int
    failed: int
    stage: str
    error: str | None = None
