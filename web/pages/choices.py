"""What a reader chooses: language and theme, kept in cookies of their own."""

from aiohttp import web

from web.render import THEMES
from web.security import open_to_all
from web.site import site_of
from web.words import CATALOGUES

YEAR_S = 365 * 24 * 3600


def routes() -> list[web.AbstractRouteDef]:
    """Return the addresses of choices."""
    return [web.post("/choices", choose)]


@open_to_all
async def choose(request: web.Request) -> web.StreamResponse:
    """Keep a choice and go back to where it was made."""
    form = await request.post()
    response = web.HTTPSeeOther(_back(request))
    secure = site_of(request).secure
    for name, known in (("language", list(CATALOGUES)), ("theme", ["", *THEMES])):
        value = form.get(name)
        if value in known:
            response.set_cookie(
                name, str(value), max_age=YEAR_S, path="/", samesite="Lax", secure=secure
            )
    raise response


def _back(request: web.Request) -> str:
    """Return the page the choice was made on, if it is one of ours."""
    where = str(request.query.get("to", "/"))
    return where if where.startswith("/") and not where.startswith(("//", "/\\")) else "/"
