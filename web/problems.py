"""How errors are told: problem+json to programs (RFC 9457), a page or a note to people."""

import json
from http import HTTPStatus

from aiohttp import web

from web.render import render
from web.site import USER

API = "/api/v1"
JSON_TYPE = "application/problem+json"


def answer_problem(request: web.Request, status: int, detail: str) -> web.Response:
    """Say what went wrong and what to do next, in the form that whoever asked reads."""
    if request.path.startswith((API, "/photos/", "/metrics")):
        return problem_json(status, detail)
    if request.headers.get("HX-Request"):
        response = render(request, "_note.html", status=status, detail=detail)
        # Shown where people look, whatever part of the page had asked.
        response.headers["HX-Retarget"] = "#notes"
        response.headers["HX-Reswap"] = "innerHTML"
        return response
    known = request.get(USER) is not None
    return render(request, "error.html", status=status, code=status, detail=detail, known=known)


def problem_json(status: int, detail: str) -> web.Response:
    """Return an error as RFC 9457 wants it."""
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    return web.Response(
        text=json.dumps(body, ensure_ascii=False),
        status=status,
        content_type=JSON_TYPE,
        headers=headers,
    )
