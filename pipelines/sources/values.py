"""Single values as files hold them: user names, counts, dates, categories, text."""

import re
from datetime import UTC, datetime

from pipelines.sources.paths import shorten
from schemas.categories import OTRA, known_categories
from schemas.posts import Problem

MAX_NAME_CHARS = 200
"""Ids of posts and names of labellers; Instagram's ids have about twenty characters."""

MAX_COUNT = 2**31 - 1
"""More followers, likes or comments than Instagram ever had; fits any database's integer."""

_USERNAME = re.compile(r"(?=.*[A-Za-z0-9_])[A-Za-z0-9._]{1,30}", re.ASCII)
_THOUSANDS = re.compile(r"\d{1,3}(?:([.,])\d{3})(?:\1\d{3})*", re.ASCII)
_DAY_FIRST = re.compile(
    r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})(?:[ T,]+(\d{1,2}):(\d\d)(?::(\d\d))?)?", re.ASCII
)
_MAX_NUMERIC_ID = 2**127
_MAX_DIGITS = 20
_YEARS = range(1970, 3000)
_EPOCH_S = range(9, 12)
_EPOCH_MS = range(12, 14)


def clean_text(text: str) -> str:
    """Drop what no database takes: NUL characters and lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode("utf-8")


def make_problem(where: str, reason: str, detail: str) -> Problem:
    """Build a problem whose texts can be stored, whatever the names in the input are made of."""
    return Problem(where=clean_text(where), reason=reason, detail=clean_text(detail))


def parse_username(value: object) -> str:
    """Return an Instagram user name in lower case without ``@``.

    Raises:
        ValueError: it is not 1-30 of letters, digits, dot and underscore.
    """
    name = value.strip().removeprefix("@") if isinstance(value, str) else ""
    if not _USERNAME.fullmatch(name):
        given = shorten(value, 40) if isinstance(value, str) else repr(type(value).__name__)
        raise ValueError(f"{given} is no user name: 1-30 letters, digits, dots and underscores.")
    return name.lower()


def parse_name(value: object) -> str:
    """Return an id or a person's name, which may have been saved as a number.

    Raises:
        ValueError: it is none, or has more than ``MAX_NAME_CHARS`` characters.
    """
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MAX_NUMERIC_ID:
        value = str(value)
    name = clean_text(value).strip() if isinstance(value, str) else ""
    if not 0 < len(name) <= MAX_NAME_CHARS:
        raise ValueError(f"A name of 1-{MAX_NAME_CHARS} characters is needed here.")
    return name


def parse_count(value: object) -> int | None:
    """Return a count; None where there is none.

    Takes what tables hold: ``1234``, ``1234.0`` (pandas) and ``1.234`` or ``1,234`` (thousands).

    Raises:
        ValueError: it is no number, negative, or more than ``MAX_COUNT``.
    """
    if value is None or value == "":
        return None
    number = _read_number(value)
    if number is None or not 0 <= number <= MAX_COUNT:
        raise ValueError(f"{shorten(str(value)[:100], 40)} is no count from 0 to {MAX_COUNT:,}.")
    return int(number)


def _read_number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if value.is_integer() else None
    text = value.strip() if isinstance(value, str) else ""
    if _THOUSANDS.fullmatch(text):
        text = re.sub(r"[.,]", "", text)
    match = re.fullmatch(r"(-?\d+)(?:[.,]0{1,2})?", text, re.ASCII)
    return int(match[1]) if match and len(match[1]) <= _MAX_DIGITS else None


def parse_date(value: object) -> datetime | None:
    """Return a moment in UTC; None where there is none.

    Takes ISO 8601, seconds or milliseconds since 1970, and day/month/year; a moment without a
    zone is taken as UTC.

    Raises:
        ValueError: it is none of those, or lies outside the years 1970 to 2999.
    """
    if value is None or value == "":
        return None
    try:
        moment: datetime | None = _read_moment(value)
    except (ValueError, OverflowError, OSError):
        moment = None
    if moment is None or moment.year not in _YEARS:
        raise ValueError(
            f"{shorten(str(value)[:100], 40)} is no date: use 2026-01-31T12:00:00Z, 31/01/2026 or "
            "seconds since 1970."
        )
    return moment


def _read_moment(value: object) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = value.strip() if isinstance(value, str) else repr(value)
    if match := re.fullmatch(r"(\d+)(?:\.\d*)?", text, re.ASCII):
        if len(match[1]) in _EPOCH_S:
            return datetime.fromtimestamp(float(text), UTC)
        if len(match[1]) in _EPOCH_MS:
            return datetime.fromtimestamp(float(text) / 1000, UTC)
    if match := _DAY_FIRST.fullmatch(text):
        day, month, year, hour, minute, second = (int(part or 0) for part in match.groups())
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def normalise_category(name: str) -> str:
    """Bring a category's name to its slug's form: lower case, dashes for blanks, nothing else."""
    return re.sub(r"\s+", "-", name.strip().lower())


def sort_categories(value: object) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Split categories that came with the data into ours and unknown ones.

    Takes a list, or text separated by ``|``, ``;`` or ``,``. ``otra`` means none of ours. Ours are
    None where nothing was said, or only in categories that we do not know.

    Raises:
        ValueError: it is neither text nor a list of texts.
    """
    if value is None or value == "":
        return None, ()
    if isinstance(value, str):
        value = re.split(r"[|;,]", value)
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError("Categories have to be a list of names.")
    names = [normalise_category(name) for name in value if name.strip()]
    ours = tuple(dict.fromkeys(name for name in names if name in known_categories()))
    strange = tuple(dict.fromkeys(n for n in names if n not in {*known_categories(), OTRA}))
    return (None if strange and not ours else ours), strange
