"""Models: bundles, their figures, what a threshold would change, promotion and the way back."""

from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from schemas.bundles import BundleInfo, BundleState
from schemas.errors import LostBlobError, NotFoundError, UsageError
from schemas.users import Role
from storage.bundles import find_bundle, list_bundles, promote_bundle, report_key
from storage.thresholds import (
    compare_bundles,
    count_in_force,
    is_in_force,
    preview_threshold,
)
from web.render import MISSING, render
from web.security import needs
from web.site import Site, site_of

REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""A report carries its own style and figures; it runs nothing and asks for nothing."""


def routes() -> list[web.AbstractRouteDef]:
    """Return the addresses of these pages."""
    return [
        web.get("/models", show_all),
        web.get("/models/compare", compare),
        web.get("/models/{id:[0-9a-zA-Z-]{1,40}}", show),
        web.get("/models/{id:[0-9a-zA-Z-]{1,40}}/threshold", preview),
        web.get("/models/{id:[0-9a-zA-Z-]{1,40}}/report", report),
        web.post("/models/{id:[0-9a-zA-Z-]{1,40}}/promote", promote),
    ]


async def show_all(request: web.Request) -> web.StreamResponse:
    """Show all bundles; of the one that judges, what other thresholds would change."""
    site = site_of(request)
    bundles = await site.read(list_bundles)
    in_force = await site.read(count_in_force)
    active = next((one for one in bundles if one.state is BundleState.ACTIVE), None)
    first = await _first_preview(site, active)
    return render(
        request,
        "models.html",
        bundles=bundles,
        in_force=in_force,
        active=active,
        back=back_to(bundles),
        preview=first,
    )


async def show(request: web.Request) -> web.StreamResponse:
    """Show all that a bundle says of itself."""
    site = site_of(request)
    info = await site.read(find_bundle, request.match_info["id"])
    figures = list(flatten(info.manifest.model_dump(mode="json", exclude={"files"})))
    has_report = await site.call(_has_report, site, info.id)
    preview = await _first_preview(site, info)
    return render(
        request, "model.html", info=info, figures=figures, preview=preview, has_report=has_report
    )


async def preview(request: web.Request) -> web.StreamResponse:
    """Show what a threshold would change, as its slider is moved."""
    found = await site_of(request).read(
        preview_threshold,
        request.match_info["id"],
        request.query.get("category", ""),
        read_threshold(request.query.get("threshold", "")),
    )
    return render(request, "_threshold.html", preview=found)


async def compare(request: web.Request) -> web.StreamResponse:
    """Show how the verdicts of two bundles differ."""
    chosen = request.query.getall("bundle", [])
    if len(chosen) != 2:  # noqa: PLR2004
        raise UsageError("Choose two bundles to compare.")
    site = site_of(request)
    found = await site.read(compare_bundles, *chosen)
    infos = [await site.read(find_bundle, one) for one in chosen]
    sides = [dict(flatten(one.manifest.metrics)) for one in infos]
    names = sorted(set(sides[0]) | set(sides[1]))
    rows = [(name, sides[0].get(name, MISSING), sides[1].get(name, MISSING)) for name in names]
    return render(request, "compare.html", found=found, infos=infos, rows=rows)


@needs(Role.OPERATOR)
async def promote(request: web.Request) -> web.StreamResponse:
    """Let a bundle judge from now on."""
    await site_of(request).write(promote_bundle, request.match_info["id"])
    raise web.HTTPSeeOther("/models")


async def report(request: web.Request) -> web.StreamResponse:
    """Send a bundle's report, shut in: it runs no script and reads nothing else."""
    site = site_of(request)
    info = await site.read(find_bundle, request.match_info["id"])
    try:
        data = await site.call(site.resources.blobs.read, report_key(info.id))
    except LostBlobError:
        raise NotFoundError(
            f"{info.id} has no report yet: 'afin report {info.id}' writes it."
        ) from None
    response = web.Response(body=data, content_type="text/html", charset="utf-8")
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    response.headers["Cache-Control"] = "no-store"
    response.enable_compression()
    return response


def back_to(bundles: list[BundleInfo]) -> BundleInfo | None:
    """Return the newest bundle that once judged and no longer does."""
    return next((one for one in bundles if one.state is BundleState.RETIRED), None)


def read_threshold(text: str) -> float:
    """Return a threshold from an address.

    Raises:
        UsageError: it is no number.
    """
    try:
        return float(text)
    except ValueError:
        raise UsageError("A threshold is a number between 0 and 1.") from None


def flatten(fields: dict[str, Any], prefix: str = "") -> Any:
    """Give nested figures one name each; long lists are told by their length."""
    for name, value in fields.items():
        full = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from flatten(value, f"{full}.")
        elif isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
            yield full, f"{len(value)} rows"
        elif isinstance(value, list):
            yield full, ", ".join(map(str, value))
        elif isinstance(value, float):
            yield full, f"{value:.4g}"
        else:
            yield full, str(value)


async def _first_preview(site: Site, info: BundleInfo | None) -> Any:
    if info is None:
        return None

    def read(connection: Connection) -> Any:
        if not is_in_force(connection, info.id):
            return None
        category = info.manifest.classes[0]
        present = info.manifest.share_thresholds[category]
        return preview_threshold(connection, info.id, category, present)

    return await site.read(read)


def _has_report(site: Site, bundle_id: str) -> bool:
    return site.resources.blobs.exists(report_key(bundle_id))
