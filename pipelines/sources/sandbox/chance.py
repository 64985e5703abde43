"""Chances that depend on names alone: the same name has the same luck in every process."""

import hashlib
from collections.abc import Collection, Mapping

from pipelines.sources.sandbox.misbehaviours import Misbehaviour


def draw(*names: object) -> float:
    """A number from 0 to 1 (not included), spread evenly over names."""
    text = "\x1f".join(str(name) for name in names)
    digest = hashlib.blake2b(text.encode(), digest_size=7).digest()
    return int.from_bytes(digest) / 2**56


def draw_between(low: int, high: int, *names: object) -> int:
    """A whole number from ``low`` to ``high``, both included."""
    return low + int(draw(*names) * (high - low + 1))


def draw_misbehaviour(
    shares: Mapping[Misbehaviour, float], among: Collection[Misbehaviour], *names: object
) -> Misbehaviour | None:
    """What goes wrong with a name, if anything; only what is ``among`` is considered."""
    left = draw(*names)
    for misbehaviour in Misbehaviour:
        share = shares.get(misbehaviour, 0.0)
        if misbehaviour in among and share > 0:
            if left < share:
                return misbehaviour
            left -= share
    return None
