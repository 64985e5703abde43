"""Events of the platform and the answers to it: what may be posted here, and what is sent back."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, TypeAdapter

from schemas.base import Frozen

EVENT_VERSION = 1
"""Rises when an event that was valid no longer is, or means something else."""

MAX_COUNT = 2**31 - 1
_YEARS = range(1970, 3000)


def _clean(value: object) -> object:
    # No database takes NUL in a text.
    return value.replace("\0", "") if isinstance(value, str) else value


def _lower(name: str) -> str:
    return name.lower()


def _plausible(moment: datetime) -> datetime:
    if moment.year not in _YEARS:
        raise ValueError("the year has to lie between 1970 and 2999")
    return moment


Username = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9._]{0,29}[A-Za-z0-9_]$", description="1-30 letters, digits, dots, _"
    ),
    AfterValidator(_lower),
]
PhotoUrl = Annotated[str, Field(pattern=r"^https?://[^\x00-\x20\x7f]+$", max_length=2048)]
Text = Annotated[str, BeforeValidator(_clean)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Moment = Annotated[AwareDatetime, AfterValidator(_plausible)]


class EventType(StrEnum):
    """What the platform may tell us."""

    CREATED = "influencer.created"
    UPDATED = "influencer.updated"
    POSTED = "post.created"
    DELETED = "influencer.deleted"


class EventPost(Frozen):
    """A post with the addresses of its photos, which are fetched at once."""

    id: Annotated[Text, Field(min_length=1, max_length=200)]
    caption: Annotated[Text, Field(max_length=20_000)] = ""
    photos: Annotated[tuple[PhotoUrl, ...], Field(max_length=50)] = ()
    posted_at: Moment | None = None
    likes: Count | None = None
    comments: Count | None = None


class AccountData(Frozen):
    """An account; without ``posts`` they are fetched from Instagram."""

    username: Username
    followers: Count | None = None
    posts: Annotated[tuple[EventPost, ...], Field(max_length=1000)] | None = None


class PostData(Frozen):
    """An account's new post."""

    username: Username
    post: EventPost


class NameData(Frozen):
    """An account by its name."""

    username: Username


class _Envelope(Frozen):
    version: Literal[1] = 1
    timestamp: Moment | None = Field(None, description="when it happened")


class InfluencerCreated(_Envelope):
    """An account has joined: classify it now."""

    type: Literal["influencer.created"]
    data: AccountData


class InfluencerUpdated(_Envelope):
    """An account has changed: take in what came with it and classify it again."""

    type: Literal["influencer.updated"]
    data: AccountData


class PostCreated(_Envelope):
    """An account has a new post: classify the account again."""

    type: Literal["post.created"]
    data: PostData


class InfluencerDeleted(_Envelope):
    """An account has left: erase its posts, verdicts, vectors, and photos nobody else uses."""

    type: Literal["influencer.deleted"]
    data: NameData


Event = Annotated[
    InfluencerCreated | InfluencerUpdated | PostCreated | InfluencerDeleted,
    Field(discriminator="type"),
]
EVENTS: TypeAdapter[Event] = TypeAdapter(Event)
"""Reads an event from parsed JSON."""


class EventState(StrEnum):
    """How far an event is; ``dead`` means that it was tried too often."""

    RECEIVED = "received"
    FETCHING = "fetching"
    CLASSIFYING = "classifying"
    DONE = "done"
    DEAD = "dead"


class EventStatus(Frozen):
    """An event as its sender may see it."""

    id: str
    webhook_id: str
    type: EventType
    username: str
    state: EventState
    attempts: int
    received_at: datetime
    handled_at: datetime | None
    problem: str | None


class AnswerType(StrEnum):
    """What we tell the platform."""

    CONCLUDED = "verdict.concluded"
    FAILED = "verdict.failed"
    ERASED = "influencer.erased"


class DeliveryState(StrEnum):
    """How far an answer is; ``dead`` means that its receiver took it at no try."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class Delivery(Frozen):
    """An answer as listed."""

    id: int
    webhook_id: str
    sender: str
    type: AnswerType
    username: str
    state: DeliveryState
    attempts: int
    next_at: datetime
    problem: str | None
    created_at: datetime
    delivered_at: datetime | None


def event_schema() -> dict[str, Any]:
    """Return the JSON schema of the events that may be posted, as published."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"afin-events-v{EVENT_VERSION}",
        "title": f"Events that afin takes, version {EVENT_VERSION}",
        **EVENTS.json_schema(),
    }
