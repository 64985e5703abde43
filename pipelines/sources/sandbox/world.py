"""What all servers of one sandbox share: contents, plan, counts, clock, and where each lives."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web

from pipelines.sources.samples.accounts import PlannedAccount, plan_accounts
from pipelines.sources.samples.canvas import seed_random
from pipelines.sources.sandbox.chance import draw
from pipelines.sources.sandbox.ledger import Ledger
from pipelines.sources.sandbox.library import PhotoLibrary
from pipelines.sources.sandbox.misbehaviours import Server
from pipelines.sources.sandbox.plan import SandboxContent, SandboxPlan

Clock = Callable[[], float]
"""Seconds since 1970, as time.time gives them."""

KIND = web.RequestKey("kind", str)
"""The kind of answer that a handler gives, for the ledger."""

TOKENS = re.compile(r"(?<=[?&])access_token=[^&]*&?")


@dataclass
class World:
    """Shared by the servers of one sandbox; ``bases`` are their addresses, without a final /."""

    content: SandboxContent
    plan: SandboxPlan
    clock: Clock
    bases: dict[Server, str]
    dead_base: str
    trap_base: str
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        """Plan the accounts, and open the photos.

        Raises:
            UsageError: the folder of photos holds none.
        """
        content = self.content
        self.library = PhotoLibrary(content.seed, content.photos_dir)
        self.accounts: tuple[PlannedAccount, ...] = tuple(
            plan_accounts(
                seed_random(f"{content.seed}/sandbox/accounts"),
                content.account_topics,
                content.accounts,
                content.account_posts,
            )
        )
        # By the hour: two sandboxes started together tell the same times.
        self.started = datetime.fromtimestamp(self.clock() // 3600 * 3600, UTC)

    def draw(self, *names: object) -> float:
        """A number from 0 to 1 that a name always gets with this seed."""
        return draw(self.content.seed, *names)


def name_target(request: web.BaseRequest) -> str:
    """Path and query of a request without any token, as they are counted."""
    return TOKENS.sub("", request.raw_path).rstrip("?&")
