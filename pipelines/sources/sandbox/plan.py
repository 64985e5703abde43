"""What a sandbox holds and how it misbehaves: two frozen, typed plans, and their short notation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from pipelines.sources.sandbox.misbehaviours import (
    DEAD,
    LASTING,
    LISTED,
    PASSING,
    Misbehaviour,
    Server,
    find_default_scope,
    find_scope,
)
from schemas.base import Frozen
from schemas.categories import known_categories, parse_category_set
from schemas.errors import UsageError

PEXELS_KEY = "sandbox-key"
"""The one key that the sandbox's Pexels takes."""

INSTAGRAM_TOKEN = "sandbox-token"  # noqa: S105 - opens nothing but the sandbox
"""The one token that the sandbox's Instagram takes."""

INSTAGRAM_USER_ID = "17841400000000001"
"""The one account that may ask the sandbox's Instagram."""

MOST = 10_000
Shares = Mapping[Misbehaviour, float]


def split_dead(share: float) -> dict[Misbehaviour, float]:
    """Spread a share of dead links over what links usually die of."""
    return {misbehaviour: share * part for misbehaviour, part in DEAD.items()}


class SandboxContent(Frozen):
    """What there is to crawl; the same content has the same bytes wherever it is served."""

    seed: int = Field(7, description="the same seed draws the same photos, captions and faults")
    photos_dir: Path | None = Field(None, description="a folder per category; else all is drawn")
    photos_per_term: int = Field(90, ge=0, le=MOST, description="Pexels photos a search term")
    urls_per_synset: int = Field(40, ge=0, le=MOST, description="addresses a synset")
    posts_per_tag: int = Field(60, ge=0, le=MOST, description="recent posts a tag, and as many top")
    noise_share: float = Field(0.1, ge=0, le=1, description="tagged posts about something else")
    twin_share: float = Field(0.03, ge=0, le=1, description="ImageNet photos listed twice")
    accounts: int = Field(24, ge=0, le=500, description="influencers with posts of their own")
    account_posts: tuple[int, int] = Field((4, 14), description="least and most posts of each")
    account_topics: tuple[str, ...] = Field(
        default_factory=known_categories, min_length=1, description="categories they are about"
    )

    @field_validator("account_topics")
    @classmethod
    def _check_topics(cls, topics: tuple[str, ...]) -> tuple[str, ...]:
        return parse_category_set(",".join(topics))


class SandboxPlan(Frozen):
    """How the servers behave; it can be changed while they run."""

    misbehaviours: Mapping[Server, Shares] = Field(
        default={Server.IMAGENET_PHOTOS: split_dead(0.3)},
        description="by server, the shares (0-1) of addresses or requests that go wrong",
    )
    latency_s: float = Field(0.0, ge=0, description="waited before every answer")
    slow_s: float = Field(10.0, ge=0, description="waited before a slow answer")
    drip_s: float = Field(1.0, ge=0, description="between two bytes of a drip")
    retry_after: str = Field(
        "1",
        pattern=r"^([0-9]{1,9}|date|absurd|garbage|absent)$",
        description="of a 429 or 503: a number of seconds, date, absurd, garbage or absent",
    )
    redirects: int = Field(25, ge=1, description="hops of a redirect-chain")
    pexels_layout: Literal["2020", "next"] = Field("next", description="of the search pages")
    pexels_hourly: int = Field(200, ge=0, description="API requests an hour")
    pexels_monthly: int = Field(20_000, ge=0, description="API requests in 30 days")
    tag_budget: int = Field(30, ge=0, description="distinct tags in 7 days")
    graph_calls: int = Field(0, ge=0, description="Instagram requests an hour; 0: no limit")
    graph_code: int = Field(4, description="the code of a graph-error")
    media_ttl_s: float = Field(259_200.0, description="how long an Instagram address lives")
    repeat_cursor: bool = Field(False, description="`after` is the same string on every page")

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        for server, shares in self.misbehaviours.items():
            for misbehaviour, share in shares.items():
                if server not in find_scope(misbehaviour):
                    raise ValueError(f"{server} cannot do {misbehaviour}")
                if not 0 <= share <= 1:
                    raise ValueError(f"{server}.{misbehaviour} is a share from 0 to 1")
            for family in (PASSING, LASTING, LISTED):
                if sum(share for name, share in shares.items() if name in family) > 1 + 1e-9:
                    raise ValueError(f"the shares of {server} add up to more than 1")
        return self

    def shares(self, server: Server) -> Shares:
        """What goes wrong at a server."""
        return self.misbehaviours.get(server, {})

    def change(self, **fields: object) -> "SandboxPlan":
        """A plan that differs in some fields.

        Raises:
            UsageError: a field or value means nothing.
        """
        kept = {name: getattr(self, name) for name in type(self).model_fields}
        try:
            return SandboxPlan.model_validate(kept | fields)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UsageError(
                f"No such behaviour: {where} {first['msg']}.".replace("  ", " ")
            ) from None

    def misbehave(self, server: Server, shares: Shares) -> "SandboxPlan":
        """A plan in which the misbehaviours of one server are just these.

        Raises:
            UsageError: the server cannot do that, or not that often.
        """
        return self.change(misbehaviours={**self.misbehaviours, server: dict(shares)})


def parse_plan(text: str, base: SandboxPlan | None = None) -> SandboxPlan:
    """Change a plan by its short notation: ``pexels.throttle=0.2,dead=0.3,retry-after=date``.

    An item is ``[server.]misbehaviour[=share]`` or ``setting=value``; ``dead`` stands for the usual
    ways in which links die, ``none`` for no misbehaviour at all. A misbehaviour without a server is
    said of the photo servers, or of the one that it can be said of; without a share it is 1.

    Raises:
        UsageError: an item means nothing.
    """
    plan = base or SandboxPlan()
    for item in (part.strip() for part in text.split(",")):
        if not item:
            continue
        name, equals, value = (part.strip() for part in item.partition("="))
        setting = name.replace("-", "_")
        if name == "none":
            plan = plan.change(misbehaviours={})
        elif setting in SandboxPlan.model_fields and setting != "misbehaviours":
            if not equals:
                raise UsageError(f"{name} needs a value: {name}=…")
            plan = plan.change(**{setting: value})
        else:
            plan = _set_share(plan, name, _parse_share(item, value) if equals else 1.0)
    return plan


def _parse_share(item: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise UsageError(f"{item}: {value!r} is no share from 0 to 1.") from None


def _set_share(plan: SandboxPlan, name: str, share: float) -> SandboxPlan:
    where, dot, what = name.rpartition(".")
    settings = [field.replace("_", "-") for field in SandboxPlan.model_fields][1:]
    try:
        named = (Server(where),) if dot else None
        changes = split_dead(share) if what == "dead" else {Misbehaviour(what): share}
    except ValueError:
        raise UsageError(
            f"{name!r} is no misbehaviour: write [server.]name=share, with a server of "
            f"{', '.join(Server)} and a name of dead, {', '.join(Misbehaviour)}; or a setting: "
            f"{'=…, '.join(settings)}=…."
        ) from None
    for server in tuple(Server):
        fitting = {
            misbehaviour: part
            for misbehaviour, part in changes.items()
            if server in (named or _default_servers(what, misbehaviour))
            and (what != "dead" or server in find_scope(misbehaviour))
        }
        if fitting:
            plan = plan.misbehave(server, {**plan.shares(server), **fitting})
    return plan


def _default_servers(what: str, misbehaviour: Misbehaviour) -> tuple[Server, ...]:
    # Dead links are ImageNet's; the other two sources list what they have.
    return (Server.IMAGENET_PHOTOS,) if what == "dead" else find_default_scope(misbehaviour)
