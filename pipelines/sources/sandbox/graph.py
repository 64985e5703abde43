"""The notation of the Graph API: fields with modifiers and subfields, errors, usage headers."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipelines.sources.sandbox.chance import draw_between
from schemas.errors import AfinError

DEEPEST = 6
_NAME = re.compile(r"[a-z_]+")
_MODIFIER = re.compile(r"\.([a-z_]+)\(([^()]*)\)")


@dataclass(frozen=True)
class Field:
    """One wanted field: ``media.after(CURSOR){id,caption}`` has a modifier and two subfields."""

    name: str
    modifiers: Mapping[str, str] = field(default_factory=dict)
    fields: tuple["Field", ...] = ()


class GraphError(AfinError):
    """An error as the Graph API puts it."""

    def __init__(
        self, code: int, message: str, *, subcode: int | None = None, title: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.subcode = subcode
        self.title = title

    def describe(self, place: str) -> dict[str, object]:
        """The body of the answer; ``place`` only makes the trace id."""
        error: dict[str, object] = {
            "message": str(self),
            "type": "OAuthException",
            "code": self.code,
        }
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.title:
            error |= {"is_transient": False, "error_user_title": self.title}
        error["fbtrace_id"] = f"A{draw_between(10**20, 10**21 - 1, self.code, place):021d}"
        return {"error": error}


MESSAGES = {
    4: "(#4) Application request limit reached",
    17: "(#17) User request limit reached",
    18: "(#18) Maximum number of hashtags reached",
    32: "(#32) Page request limit reached",
    100: "(#100) Object does not exist, cannot be loaded due to missing permission or reviewable "
    "feature, or does not support this operation",
    104: "An access token is required to request this resource.",
    190: "Error validating access token: the session has been invalidated.",
    613: "(#613) Calls to this api have exceeded the rate limit.",
}


def make_error(code: int) -> GraphError:
    """The usual error of a code."""
    subcode, title = {190: (463, ""), 18: (2207034, "Too many hashtags")}.get(code, (None, ""))
    message = MESSAGES.get(code, f"(#{code}) An unknown error has occurred.")
    return GraphError(code, message, subcode=subcode, title=title)


def parse_fields(text: str) -> tuple[Field, ...]:
    """Read the parameter ``fields``.

    Raises:
        GraphError: it cannot be read (code 2500, as Facebook has it).
    """
    if not text:
        return ()
    fields, rest = _read_list(text, DEEPEST)
    if rest:
        raise _misread(rest)
    return fields


def _read_list(text: str, depth: int) -> tuple[tuple[Field, ...], str]:
    if not depth:
        raise GraphError(2500, "Syntax error: too many fields within fields")
    one, text = _read_field(text, depth)
    found = [one]
    while text.startswith(","):
        one, text = _read_field(text[1:], depth)
        found.append(one)
    return tuple(found), text


def _read_field(text: str, depth: int) -> tuple[Field, str]:
    name = _NAME.match(text)
    if name is None:
        raise _misread(text)
    text = text[name.end() :]
    modifiers = {}
    while (modifier := _MODIFIER.match(text)) is not None:
        modifiers[modifier[1]] = modifier[2]
        text = text[modifier.end() :]
    inner: tuple[Field, ...] = ()
    if text.startswith("{"):
        inner, text = _read_list(text[1:], depth - 1)
        if not text.startswith("}"):
            raise _misread(text)
        text = text[1:]
    return Field(name[0], modifiers, inner), text


def _misread(text: str) -> GraphError:
    return GraphError(2500, f"Syntax error at: {text[:40] or 'the end'}")


def pick(
    known: Mapping[str, object], wanted: tuple[Field, ...], *, allowed: frozenset[str]
) -> dict[str, object]:
    """The wanted fields of a node, and its id; what it has none of is left out.

    Raises:
        GraphError: a field that this kind of node never has.
    """
    picked: dict[str, object] = {}
    for one in wanted:
        if one.name not in allowed:
            raise GraphError(100, f"(#100) Tried accessing nonexisting field ({one.name})")
        if one.name not in known:
            continue
        value = known[one.name]
        if isinstance(value, list):
            inner = [pick(child, one.fields, allowed=allowed) for child in value]
            picked[one.name] = {"data": inner}
        else:
            picked[one.name] = value
    return picked | {"id": known["id"]}


def usage_headers(user_id: str, percent: int, wait_minutes: int) -> dict[str, str]:
    """X-App-Usage and X-Business-Use-Case-Usage: percentages, and minutes until access is back."""
    usage = {
        "call_count": percent,
        "total_cputime": percent * 2 // 3,
        "total_time": percent // 2,
    }
    use_case = {"type": "instagram", **usage, "estimated_time_to_regain_access": wait_minutes}
    return {
        "X-App-Usage": json.dumps(usage),
        "X-Business-Use-Case-Usage": json.dumps({user_id: [use_case]}),
    }
