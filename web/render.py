"""Templates: one environment, filters for figures, and each page in its reader's language."""

import hashlib
import math
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from schemas.categories import read_categories
from schemas.users import Role
from web.site import CSRF, USER, site_of
from web.words import Language, choose_language, translator

STATIC = Path(__file__).parent / "static"
THEMES = ("light", "dark")
MISSING = "-"
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


def make_templates() -> Environment:
    """Return the templates; a variable that was not given is an error, not a gap."""
    made = Environment(
        loader=PackageLoader("web"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": percent,
        "compact": compact,
        "duration": duration,
        "moment": moment,
    }
    made.globals |= {"static": static_address}
    return made


def render(
    request: web.Request, template: str, *, status: int = 200, **values: Any
) -> web.Response:
    """Answer with a page or a part of one, in the reader's language."""
    site = site_of(request)
    language = choose_language(request)
    user = request.get(USER)
    text = site.templates.get_template(template).render(
        t=translator(language),
        language=language,
        category=_category_namer(language),
        theme=theme_of(request),
        csrf=request.get(CSRF, ""),
        user=user,
        can_review=user is not None and user.role.covers(Role.REVIEWER),
        can_operate=user is not None and user.role.covers(Role.OPERATOR),
        sign_in=site.sign_in,
        flower_url=site.flower_url,
        path=request.path,
        **values,
    )
    response = web.Response(text=text, status=status, content_type="text/html")
    response.headers["Cache-Control"] = "no-store"
    response.enable_compression()
    return response


def theme_of(request: web.Request) -> str:
    """Return what the reader chose, or nothing: then the system's theme counts."""
    chosen = request.cookies.get("theme", "")
    return chosen if chosen in THEMES else ""


@cache
def static_address(name: str) -> str:
    """Return a file's address with its hash, so that browsers may keep it for ever."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def percent(value: float | None, digits: int = 0) -> str:
    """Return 0.123 as 12 %."""
    return MISSING if value is None else f"{100 * value:.{digits}f}\N{NO-BREAK SPACE}%"


def compact(value: float | None) -> str:
    """Return 12345 as 12.3 k."""
    if value is None:
        return MISSING
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            scaled = value / size
            return f"{scaled:.1f}{unit}" if scaled < 100 else f"{scaled:.0f}{unit}"  # noqa: PLR2004
    return f"{value:.0f}"


def duration(seconds: float | None) -> str:
    """Return 3700 as 1 h 2 min."""
    if seconds is None:
        return MISSING
    whole = math.ceil(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min"
    if whole < DAY_S:
        return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S} min"
    return f"{whole // DAY_S} d {whole % DAY_S // HOUR_S} h"


def moment(value: datetime) -> str:
    """Return a moment to the minute, in UTC."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"


def _category_namer(language: Language) -> Any:
    known = read_categories().categories

    def name(slug: str | None) -> str:
        if slug is None or slug not in known:
            return slug or translator(language)("unknown")
        return known[slug].spanish if language == "es" else known[slug].english

    return name
