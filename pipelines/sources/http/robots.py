"""What a host asks of robots: robots.txt (RFC 9309) and X-Robots-Tag, read and remembered."""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from urllib.parse import quote

MAX_ROBOTS_BYTES = 512 * 1024
FRESH_S = 24 * 3600.0
TROUBLE_S = 300.0
UNREACHABLE_S = 60.0
MAX_ORIGINS = 4096

REFUSALS = frozenset({"noai", "noimageai"})
# Directives of X-Robots-Tag that look like the name of a robot because a colon follows them.
_WITH_VALUE = frozenset(
    {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
)
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one robots.txt that concern one robot, as (allowed, pattern)."""

    rules: tuple[tuple[bool, str], ...] = ()

    def allow(self, path: str) -> bool:
        """Whether ``path`` (with its query, percent-encoded) may be fetched.

        The longest matching pattern decides; of two as long, the one that allows (RFC 9309 §2.2.2).
        """
        if not self.rules:
            return True
        decisive = max(
            ((len(pattern), allowed) for allowed, pattern in self.rules if _matches(pattern, path)),
            default=(0, True),
        )
        return decisive[1]


ALLOW_ALL = Rules()
DENY_ALL = Rules(((False, "/"),))


def robot_token(user_agent: str) -> str:
    """The name by which robots.txt knows a user agent: ``afin`` for ``afin/0.1 (…)``."""
    match = _TOKEN.match(user_agent)
    return match.group().lower() if match else "*"


def parse_robots(text: str, token: str) -> Rules:
    """Pick the rules of a robots.txt for the robot ``token``, or else those for all robots."""
    found: dict[str, list[tuple[bool, str]]] = {}
    agents: list[str] = []
    in_rules = False
    for line in text.removeprefix("\ufeff").splitlines():
        key, colon, value = line.partition("#")[0].partition(":")
        key, value = key.strip().lower(), value.strip()
        if not colon:
            continue
        if key == "user-agent":
            agents = [*([] if in_rules else agents), "*" if value == "*" else robot_token(value)]
            in_rules = False
            for agent in agents:
                found.setdefault(agent, [])
        elif key in ("allow", "disallow"):
            in_rules = True
            if value:
                for agent in agents:
                    found[agent].append((key == "allow", _normalise(value)))
    return Rules(tuple(found.get(token, found.get("*", []))))


def _normalise(pattern: str) -> str:
    pattern = quote(pattern, safe="%/*$?&=+,;:@!~'()[]", errors="replace")
    return re.sub(r"%[0-9a-fA-F]{2}", lambda match: match.group().upper(), pattern)


def _matches(pattern: str, path: str) -> bool:
    """Match with ``*`` and a final ``$``; by pieces, since a regular expression could explode."""
    ends = pattern.endswith("$")
    first, *rest = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    if not rest:
        return not ends or path == first
    position = len(first)
    for piece in rest[:-1] if ends else rest:
        position = path.find(piece, position)
        if position < 0:
            return False
        position += len(piece)
    return not ends or (path.endswith(rest[-1]) and len(path) - len(rest[-1]) >= position)


def refuses_ai(values: Iterable[str], token: str) -> bool:
    """Whether X-Robots-Tag headers say ``noai`` or ``noimageai``, to all robots or to ``token``."""
    for value in values:
        concerned = True
        for part in value.split(","):
            name, colon, rest = (piece.strip().lower() for piece in part.partition(":"))
            if not colon:
                directive = name
            elif name in _WITH_VALUE or not _TOKEN.fullmatch(name):
                continue
            else:
                concerned, directive = name in (token, "*"), rest
            if concerned and directive in REFUSALS:
                return True
    return False


Load = Callable[[], Awaitable[tuple[Rules, float]]]


class RobotsCache:
    """The rules of the origins asked lately; each is loaded once, however many wait for it."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[float, Rules]] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Rules]] = {}

    def known(self, origin: str) -> Rules | None:
        """The rules of ``origin``, if they are known and still hold."""
        until, rules = self._known.get(origin, (0.0, ALLOW_ALL))
        return rules if until > time.monotonic() else None

    async def rules(self, origin: str, load: Load) -> Rules:
        """The rules of ``origin``; ``load`` gives them and how many seconds they hold."""
        rules = self.known(origin)
        if rules is not None:
            return rules
        task = self._loading.get(origin)
        if task is None:
            task = self._loading[origin] = asyncio.create_task(self._load(origin, load))
            task.add_done_callback(lambda _: self._loading.pop(origin, None))
        # Shielded: others may wait for the same rules when this one is given up.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """End what is still loading."""
        tasks = list(self._loading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _load(self, origin: str, load: Load) -> Rules:
        rules, holds_s = await load()
        self._known[origin] = (time.monotonic() + holds_s, rules)
        self._known.move_to_end(origin)
        if len(self._known) > MAX_ORIGINS:
            self._known.popitem(last=False)
        return rules
