"""Reviews, runs and models over the API."""

from sqlalchemy import Connection

from schemas.errors import NotFoundError
from schemas.maps import MapState, PostMap
from schemas.users import Role
from storage.bundles import find_bundle, list_bundles, promote_bundle
from storage.maps import read_map
from storage.reviews import Review, decide, list_reviews
from storage.run_views import ProblemGroup, RunView, group_problems, view_run, view_runs
from storage.thresholds import (
    Comparison,
    Preview,
    compare_bundles,
    count_in_force,
    preview_threshold,
)
from tasks.maps import start_map
from tasks.start import start_classification
from web.api import models
from web.api.operation import Answer, Call, Operation
from web.pages.review import Task, next_task
from web.pages.runs import change_run
from web.site import site_of, user_of

RECENT = 100


def operations() -> list[Operation]:
    """Return the operations on reviews, runs and models."""
    reviews, runs, bundles = ("reviews",), ("runs",), ("models",)
    reviewer, operator = Role.REVIEWER, Role.OPERATOR
    return [
        Operation("GET", "/me", "Say who asks.", me, models.Me, tags=("me",)),
        Operation(
            "GET", "/reviews", "List the labels made last.", list_labels, list[Review], tags=reviews
        ),
        Operation(
            "GET",
            "/reviews/next",
            "Get the post to settle next; null: none is left.",
            next_,
            Task | None,
            query=models.NextQuery,
            role=reviewer,
            tags=reviews,
        ),
        Operation(
            "POST",
            "/reviews",
            "Settle a post: accept, correct or skip.",
            settle,
            models.ReviewFate,
            body=models.NewReview,
            role=reviewer,
            status=201,
            tags=reviews,
        ),
        Operation(
            "GET",
            "/runs",
            "List runs, newest first.",
            list_runs,
            list[RunView],
            query=models.RunsQuery,
            tags=runs,
        ),
        Operation(
            "POST",
            "/runs",
            "Classify accounts.",
            start,
            models.StartedRun,
            body=models.Classify,
            role=operator,
            status=202,
            tags=runs,
        ),
        Operation("GET", "/runs/{id}", "Get how far a run is.", run, RunView, tags=runs),
        Operation(
            "GET",
            "/runs/{id}/problems",
            "Get why accounts of a run failed.",
            problems,
            list[ProblemGroup],
            tags=runs,
        ),
        *(
            Operation(
                "POST",
                f"/runs/{{id}}/{what}",
                summary,
                _changer(what),
                RunView,
                role=operator,
                tags=runs,
            )
            for what, summary in (
                ("pause", "Stop feeding a run."),
                ("resume", "Go on with a paused run."),
                ("cancel", "End a run; what is concluded stays."),
                ("retry", "Try a run's failed accounts again."),
            )
        ),
        Operation(
            "GET",
            "/models",
            "List bundles, newest first.",
            list_models,
            list[models.Bundle],
            tags=bundles,
        ),
        Operation(
            "GET",
            "/models/compare",
            "Compare two bundles' verdicts.",
            compare,
            Comparison,
            query=models.CompareQuery,
            tags=bundles,
        ),
        Operation(
            "GET",
            "/models/{id}/threshold",
            "See what a threshold would change.",
            preview,
            Preview,
            query=models.ThresholdQuery,
            tags=bundles,
        ),
        Operation(
            "GET",
            "/models/{id}/map",
            "Get posts laid out in the plane, as last made.",
            show_map,
            PostMap,
            query=models.MapQuery,
            tags=bundles,
        ),
        Operation(
            "POST",
            "/models/{id}/map",
            "Ask a worker for a map.",
            ask_map,
            MapState,
            body=models.NewMap,
            role=operator,
            status=202,
            tags=bundles,
        ),
        Operation(
            "POST",
            "/models/{id}/promote",
            "Let a bundle judge from now on.",
            promote,
            list[models.Bundle],
            role=operator,
            tags=bundles,
        ),
    ]


async def me(call: Call) -> models.Me:
    """Return who asks."""
    user = user_of(call.request)
    return models.Me(name=user.name, role=user.role)


async def list_labels(call: Call) -> list[Review]:
    """Return the labels made last."""
    return await site_of(call.request).read(list_reviews, limit=RECENT)


async def next_(call: Call) -> Task | None:
    """Return the post to settle next."""
    name, disputed = user_of(call.request).name, call.query.first == "disputed"
    return await site_of(call.request).read(next_task, name, disputed_first=disputed)


async def settle(call: Call) -> models.ReviewFate:
    """Keep a decision."""
    body = call.body
    fate = await site_of(call.request).write(
        decide,
        body.post,
        reviewer=user_of(call.request).name,
        decision=body.decision,
        categories=body.categories,
    )
    return models.ReviewFate(fate=fate)


async def list_runs(call: Call) -> list[RunView]:
    """Return runs."""
    query = call.query
    return await site_of(call.request).read(view_runs, before=query.before, limit=query.limit)


async def start(call: Call) -> models.StartedRun:
    """Start classifying."""
    site, names = site_of(call.request), call.body.usernames
    return models.StartedRun(run=await site.call(start_classification, site.resources, names))


async def run(call: Call) -> RunView:
    """Return how far a run is."""
    return await site_of(call.request).read(view_run, call.number("id"))


async def problems(call: Call) -> list[ProblemGroup]:
    """Return why accounts of a run failed."""

    def read(connection: Connection) -> list[ProblemGroup]:
        return group_problems(connection, view_run(connection, call.number("id")).run.id)

    return await site_of(call.request).read(read)


async def list_models(call: Call) -> list[models.Bundle]:
    """Return all bundles."""
    return await site_of(call.request).read(_bundles)


async def compare(call: Call) -> Comparison:
    """Return how two bundles' verdicts differ."""
    query = call.query
    return await site_of(call.request).read(compare_bundles, query.first, query.second)


async def preview(call: Call) -> Preview:
    """Return what a threshold would change."""
    query, bundle_id = call.query, call.path("id")
    return await site_of(call.request).read(
        preview_threshold, bundle_id, query.category, query.threshold
    )


async def show_map(call: Call) -> PostMap:
    """Return a map.

    Raises:
        NotFoundError: nobody has made it yet.
    """

    def read(connection: Connection) -> PostMap:
        info = find_bundle(connection, call.path("id"))
        found = read_map(connection, info.id, call.query.view)
        if found is None:
            raise NotFoundError(
                f"Nobody has made this map of {info.id} yet: ask for it with POST, or with "
                f"'afin map --bundle {info.id} --by {call.query.view}'."
            )
        return found

    return await site_of(call.request).read(read)


async def ask_map(call: Call) -> MapState:
    """Ask for a map."""
    site, body = site_of(call.request), call.body
    return await site.call(start_map, site.resources, call.path("id"), body.view, body.posts)


async def promote(call: Call) -> list[models.Bundle]:
    """Let a bundle judge."""

    def write(connection: Connection) -> list[models.Bundle]:
        promote_bundle(connection, find_bundle(connection, call.path("id")).id)
        return _bundles(connection)

    return await site_of(call.request).write(write)


def _changer(what: str) -> Answer:
    async def change(call: Call) -> RunView:
        await change_run(site_of(call.request), call.number("id"), what)
        return await run(call)

    return change


def _bundles(connection: Connection) -> list[models.Bundle]:
    in_force = count_in_force(connection)
    return [
        models.Bundle(
            id=info.id,
            state=info.state,
            categories=info.manifest.classes,
            backbone=info.manifest.backbone.name,
            created_at=info.manifest.created_at,
            in_force=in_force.get(info.id, 0),
            metrics=info.manifest.metrics,
        )
        for info in list_bundles(connection)
    ]
