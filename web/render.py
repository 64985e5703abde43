"""Templates: one environment, filters for figures, and each page in its reader's language."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from aiohttp import web
from jinja2 import (
    Environment,
    PackageLoader,
    StrictUndefined,
    pass_context,
    select_autoescape,
)

from schemas.categories import read_categories
from schemas.users import Role
from web.site import CSRF, USER, site_of
from web.statics import static_address
from web.words import Language, choose_language, translator

LEAST_ZIPPED = 500
"""Bytes from which on zipping an answer saves more than it takes."""

ZIPPED_AT_ONCE = 200_000
"""Bytes up to which zipping takes less than handing it to another thread and waiting."""

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
        # They change with the program only; else each use of each looks at its file.
        auto_reload=False,
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
        category=category_namer(language),
        theme=theme_of(request),
        csrf=request.get(CSRF, ""),
        user=user,
        can_review=user is not None and user.role.covers(Role.REVIEWER),
        can_operate=user is not None and user.role.covers(Role.OPERATOR),
        sign_in=site.sign_in,
        flower_url=site.flower_url,
        path=request.path,
        here=values.pop("here", request.path_qs),
        **values,
    )
    response = web.Response(
        text=text, status=status, content_type="text/html", zlib_executor_size=ZIPPED_AT_ONCE
    )
    response.headers["Cache-Control"] = "no-store"
    if len(text) >= LEAST_ZIPPED:
        response.enable_compression()
    return response


def theme_of(request: web.Request) -> str:
    """Return what the reader chose, or nothing: then the system's theme counts."""
    chosen = request.cookies.get("theme", "")
    return chosen if chosen in THEMES else ""


def percent(value: float | None, digits: int = 0) -> str:
    """Return 0.123 as 12 %."""
    return MISSING if value is None else f"{100 * value:.{digits}f}\N{NO-BREAK SPACE}%"


@pass_context
def compact(page: Mapping[str, Any], value: float | None) -> str:
    """Return 12345 as 12.3 k, in Spanish as 12,3 mil."""
    if value is None:
        return MISSING
    spanish = page.get("language") == "es"
    for size, unit in ((1e6, "M"), (1e3, "mil" if spanish else "k")):
        if abs(value) >= size:
            scaled = value / size
            figure = f"{scaled:.1f}".removesuffix(".0") if scaled < 100 else f"{scaled:.0f}"  # noqa: PLR2004
            figure = figure.replace(".", ",") if spanish else figure
            return f"{figure}\N{NO-BREAK SPACE}{unit}"
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


@cache
def category_namer(language: Language) -> Any:
    """Return the function that names a category in a language."""
    known = read_categories().categories

    def name(slug: str | None) -> str:
        if slug is None or slug not in known:
            return slug or translator(language)("unknown")
        return known[slug].spanish if language == "es" else known[slug].english

    return name
