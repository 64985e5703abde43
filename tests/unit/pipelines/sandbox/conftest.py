"""The sandbox's fixtures, and the real answers that it is held against."""

from pathlib import Path

import pytest

from pipelines.sources.sandbox import Server
from pipelines.sources.sandbox.world import World
from tests.sandbox import SMALL, WELL_BEHAVED, TurnableClock, clock, sandbox

__all__ = ["clock", "formats", "sandbox", "world"]

FORMATS = Path(__file__).parents[4] / "../shared/formats"


@pytest.fixture
def formats() -> Path:
    """The folder of real answers; tests are skipped aloud where it is missing."""
    if not FORMATS.is_dir():
        pytest.skip("The excerpts of real answers (../shared/formats) are not on this machine.")
    return FORMATS.resolve()


@pytest.fixture
def world(clock: TurnableClock) -> World:
    """What the servers of a sandbox share, without servers."""
    bases = {server: f"http://127.0.0.1:{port}" for port, server in enumerate(Server, 8001)}
    return World(
        content=SMALL,
        plan=WELL_BEHAVED,
        clock=clock,
        bases=bases,
        dead_base="http://127.0.0.1:8000",
        trap_base="http://127.0.0.1:7999",
    )
