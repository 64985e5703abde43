"""Local stand-ins of the three sources, true to their formats and able to misbehave like them."""

from pipelines.sources.sandbox.misbehaviours import Misbehaviour, Server
from pipelines.sources.sandbox.plan import (
    INSTAGRAM_TOKEN,
    INSTAGRAM_USER_ID,
    PEXELS_KEY,
    SandboxContent,
    SandboxPlan,
    parse_plan,
)
from pipelines.sources.sandbox.server import Sandbox

__all__ = [
    "INSTAGRAM_TOKEN",
    "INSTAGRAM_USER_ID",
    "PEXELS_KEY",
    "Misbehaviour",
    "Sandbox",
    "SandboxContent",
    "SandboxPlan",
    "Server",
    "parse_plan",
]
