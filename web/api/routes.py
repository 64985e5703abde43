"""All operations as routes, the OpenAPI document that their models write, and its page."""

import json
from functools import cache
from typing import Any

from aiohttp import web
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from schemas.base import Frozen
from schemas.users import Role
from web.api import accounts, doubts, work
from web.api.operation import Operation, tagged
from web.problems import API, JSON_TYPE
from web.render import render

REF = "#/components/schemas/{model}"


class Problem(Frozen):
    """An error, as RFC 9457 writes it; `detail` says what to do next."""

    type: str
    title: str
    status: int
    detail: str


class Shown(Frozen):
    """An operation as the readable page shows it."""

    verb: str
    path: str
    summary: str
    role: Role
    query: tuple[tuple[str, str], ...]
    body: tuple[tuple[str, str], ...]
    answer: str


@cache
def operations() -> tuple[Operation, ...]:
    """Return every operation there is."""
    return (*accounts.operations(), *work.operations(), *doubts.operations())


def routes() -> list[web.AbstractRouteDef]:
    """Return the routes of the API, its document and its page."""
    return [
        web.get(f"{API}/openapi.json", document),
        web.get("/api", page),
        *(operation.route() for operation in operations()),
    ]


async def document(request: web.Request) -> web.StreamResponse:
    """Send the OpenAPI document."""
    return tagged(request, _document())


async def page(request: web.Request) -> web.StreamResponse:
    """Show the API to people."""
    return render(
        request,
        "api.html",
        operations=[_show(one) for one in operations()],
        origin=request.url.origin(),
    )


@cache
def _document() -> bytes:
    return json.dumps(describe(), ensure_ascii=False).encode()


@cache
def describe() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of all operations."""
    paths: dict[str, dict[str, Any]] = {}
    definitions: dict[str, Any] = {}
    _top, shared = models_json_schema([(Problem, "serialization")], ref_template=REF)
    definitions |= shared.get("$defs", {})
    for one in operations():
        paths.setdefault(API + one.path, {})[one.verb.lower()] = _operation(one, definitions)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "afin",
            "version": "1",
            "description": "What influencers are about, and the posts that prove it.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(one: Operation, definitions: dict[str, Any]) -> dict[str, Any]:
    name = f"{one.verb.lower()}{one.path.replace('/', '_').replace('{', '').replace('}', '')}"
    answer = _schema(TypeAdapter(one.answer), "serialization", definitions)
    problem = {JSON_TYPE: {"schema": {"$ref": REF.format(model="Problem")}}}
    described: dict[str, Any] = {
        "operationId": name,
        "summary": one.summary,
        "tags": list(one.tags),
        "x-role": one.role,
        "parameters": [*_path_parameters(one), *_query_parameters(one)],
        "responses": {
            str(one.status): {
                "description": "As asked.",
                "content": {"application/json": {"schema": answer}},
            },
            "default": {"description": "What went wrong.", "content": problem},
        },
    }
    if one.body is not None:
        schema = _schema(TypeAdapter(one.body), "validation", definitions)
        content = {"application/json": {"schema": schema}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _schema(adapter: TypeAdapter[Any], mode: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    schema = adapter.json_schema(mode=mode, ref_template=REF)
    definitions |= schema.pop("$defs", {})
    return schema


def _path_parameters(one: Operation) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in one.path.split("/") if part.startswith("{")]
    number = one.path.startswith(("/runs/", "/campaigns/"))
    kind: dict[str, Any] = {"type": "integer", "minimum": 1} if number else {"type": "string"}
    return [{"name": name, "in": "path", "required": True, "schema": kind} for name in names]


def _query_parameters(one: Operation) -> list[dict[str, Any]]:
    if one.query is None:
        return []
    schema = one.query.model_json_schema()
    needed = set(schema.get("required", ()))
    return [
        {
            "name": name,
            "in": "query",
            "required": name in needed,
            "description": about.get("description", ""),
            "schema": {key: value for key, value in about.items() if key != "description"},
        }
        for name, about in schema["properties"].items()
    ]


def _show(one: Operation) -> Shown:
    return Shown(
        verb=one.verb,
        path=API + one.path,
        summary=one.summary,
        role=one.role,
        query=_fields(one.query),
        body=_fields(one.body),
        answer=getattr(one.answer, "__name__", "") if not _listed(one) else _listed(one),
    )


def _listed(one: Operation) -> str:
    inner = getattr(one.answer, "__args__", ())
    return f"[{inner[0].__name__}]" if inner else ""


def _fields(model: type[BaseModel] | None) -> tuple[tuple[str, str], ...]:
    if model is None:
        return ()
    return tuple((name, field.description or "") for name, field in model.model_fields.items())
