"""Doubted labels over the API: those that wait, and what somebody says of one."""

from typing import Literal

from pydantic import Field

from schemas.base import Frozen
from schemas.users import Role
from storage.doubts import Doubt, DoubtFate, list_doubts, settle_doubt
from web.api.models import PageQuery
from web.api.operation import Call, Operation
from web.cursor import read_share_cursor, write_cursor
from web.security import photo_address
from web.site import site_of, user_of

TAG = ("doubts",)


class DoubtedLabel(Doubt):
    """A doubted label with addresses of its photos, good for an hour for whoever has them."""

    photo_urls: tuple[str, ...]


class DoubtedLabels(Frozen):
    """A page of doubted labels; `next` is the cursor of the following one."""

    doubts: tuple[DoubtedLabel, ...]
    next: str | None


class DoubtDecision(Frozen):
    """What somebody says of a doubted label: right, wrong, or for somebody else to say."""

    decision: Literal["keep", "correct", "skip"]
    categories: tuple[str, ...] = Field(
        (), description="what is correct; empty: none of ours; of a photo the first one counts"
    )


class SettledDoubt(Frozen):
    """What becomes of a doubted label."""

    fate: DoubtFate


def operations() -> list[Operation]:
    """Return the operations on doubted labels."""
    reviewer = Role.REVIEWER
    return [
        Operation(
            "GET",
            "/doubts",
            "List doubted labels that wait for you, most doubtful first.",
            list_,
            DoubtedLabels,
            query=PageQuery,
            role=reviewer,
            tags=TAG,
        ),
        Operation(
            "POST",
            "/doubts/{id}",
            "Settle a doubted label: keep, correct or skip.",
            settle,
            SettledDoubt,
            body=DoubtDecision,
            role=reviewer,
            tags=TAG,
        ),
    ]


async def list_(call: Call) -> DoubtedLabels:
    """Return a page of what waits."""
    site = site_of(call.request)
    found, mark = await site.read(
        list_doubts,
        user_of(call.request).name,
        after=read_share_cursor(call.query.cursor),
        limit=call.query.limit,
    )
    return DoubtedLabels(
        doubts=tuple(
            DoubtedLabel(
                **dict(one), photo_urls=tuple(photo_address(site, sha256) for sha256 in one.photos)
            )
            for one in found
        ),
        next=write_cursor(mark),
    )


async def settle(call: Call) -> SettledDoubt:
    """Keep what somebody says."""
    said = call.body.decision
    fate = await site_of(call.request).write(
        settle_doubt,
        call.number("id"),
        reviewer=user_of(call.request).name,
        decision="accept" if said == "keep" else said,
        categories=call.body.categories,
    )
    return SettledDoubt(fate=fate)
