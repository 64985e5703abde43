"""Runs: live progress, what went wrong, and what can be done about it."""

from aiohttp import web
from sqlalchemy import Connection

from schemas.errors import AfinError, UsageError
from schemas.runs import RunKind, RunState
from schemas.users import Role
from storage.run_views import (
    ProblemGroup,
    RunView,
    group_problems,
    retry_failed,
    running,
    view_run,
    view_runs,
)
from storage.runs import end_run, pause_run, resume_run
from storage.stages import Stage, read_stages
from tasks.app import app as celery
from tasks.app import require_broker
from tasks.start import start_classification
from web.render import render
from web.security import needs
from web.site import Site, site_of

PAGE = 30


def routes() -> list[web.AbstractRouteDef]:
    """Return the addresses of these pages."""
    return [
        web.get("/runs", show_all),
        web.post("/runs", reclassify),
        web.get(r"/runs/{id:\d{1,12}}", show),
        web.post(r"/runs/{id:\d{1,12}}/{what:pause|resume|cancel|retry}", act),
    ]


async def show_all(request: web.Request) -> web.StreamResponse:
    """Show runs, newest first; htmx asks again for the list while something moves."""
    before = request.query.get("before", "")
    found = await site_of(request).read(
        view_runs, before=int(before) if before.isdigit() else None, limit=PAGE + 1
    )
    template = "_runs.html" if request.headers.get("HX-Request") else "runs.html"
    return render(
        request,
        template,
        runs=found[:PAGE],
        older=found[PAGE - 1].run.id if len(found) > PAGE else None,
        moving=running(found) and not before,
    )


async def show(request: web.Request) -> web.StreamResponse:
    """Show one run; htmx asks again for its progress while it moves."""
    run_id = int(request.match_info["id"])
    view, stages, problems = await site_of(request).read(_read, run_id)
    template = "_run.html" if request.headers.get("HX-Request") else "run.html"
    return render(
        request,
        template,
        view=view,
        stages=stages,
        problems=problems,
    )


@needs(Role.OPERATOR)
async def reclassify(request: web.Request) -> web.StreamResponse:
    """Start classifying all accounts again."""
    site = site_of(request)
    run_id = await site.call(start_classification, site.resources, None)
    raise web.HTTPSeeOther(f"/runs/{run_id}")


@needs(Role.OPERATOR)
async def act(request: web.Request) -> web.StreamResponse:
    """Pause, resume or cancel a run, or try its failed accounts again."""
    run_id, what = int(request.match_info["id"]), request.match_info["what"]
    await change_run(site_of(request), run_id, what)
    raise web.HTTPSeeOther(f"/runs/{run_id}")


async def change_run(site: Site, run_id: int, what: str) -> None:
    """Do to a run what was asked.

    Raises:
        NotFoundError: there is no such run.
        UsageError: it is in no state for that.
    """
    kind = await site.write(_change, run_id, what)
    if what in {"resume", "retry"}:
        try:
            await site.call(_wake, site, run_id, kind)
        except (AfinError, OSError):
            # The sweeper looks for runs that wait, as soon as there are workers.
            return


def _change(connection: Connection, run_id: int, what: str) -> RunKind:
    view = view_run(connection, run_id)
    if what == "retry":
        retry_failed(connection, run_id)
        return view.run.kind
    done = {
        "pause": lambda: pause_run(connection, run_id),
        "resume": lambda: resume_run(connection, run_id),
        "cancel": lambda: end_run(connection, run_id, RunState.CANCELLED),
    }[what]()
    if not done:
        raise UsageError(f"Run {run_id} is {view.run.state}: it cannot be changed like that.")
    return view.run.kind


def _wake(site: Site, run_id: int, kind: RunKind) -> None:
    from kombu.exceptions import OperationalError

    require_broker(site.resources.settings)
    try:
        celery.send_task("train.advance" if kind is RunKind.TRAIN else "runs.feed", (run_id,))
    except OperationalError as error:
        raise AfinError(f"The broker cannot be reached: {error}.") from error


def _read(
    connection: Connection, run_id: int
) -> tuple[RunView, dict[str, Stage], list[ProblemGroup]]:
    view = view_run(connection, run_id)
    return view, read_stages(connection, run_id), group_problems(connection, run_id)
