"""Who uses the pages, and what each may do."""

from enum import StrEnum

from schemas.base import Frozen


class Role(StrEnum):
    """What a user may do; each role may also do what those before it may."""

    VIEWER = "viewer"
    REVIEWER = "reviewer"
    OPERATOR = "operator"

    def covers(self, needed: "Role") -> bool:
        """Whether this role may do what ``needed`` may."""
        ranked = list(Role)
        return ranked.index(self) >= ranked.index(needed)


class User(Frozen):
    """A person, or a program with a token of theirs; id 0 is whoever sits at this machine."""

    id: int
    name: str
    role: Role


LOCAL = User(id=0, name="local", role=Role.OPERATOR)
"""Everybody, where sign-in is off: only ever on loopback."""
