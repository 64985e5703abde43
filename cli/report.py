"""afin report: one page on a bundle, to be opened anywhere and read by anyone."""

from pathlib import Path
from typing import Annotated

import typer

from cli.output import JsonFlag, note, print_json
from cli.progress import metering
from pipelines.evaluation.exports import to_csv, to_json
from pipelines.evaluation.maps import MAX_POINTS
from pipelines.evaluation.report import (
    collect_drawings,
    render_html,
    sort_evaluations,
    write_headline,
)
from schemas.errors import UsageError
from storage.bundles import find_bundle, report_key
from tasks.context import context
from tasks.reports import build_report, draw_maps


def report(
    bundle: Annotated[
        str | None,
        typer.Argument(help="Its id or the beginning of it; else the active one."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="The page; a .json and a .csv of the same name stand beside it.")
    ] = Path("report.html"),
    points: Annotated[
        int, typer.Option(min=0, help="At most so many vectors in each t-SNE map; 0: no maps.")
    ] = MAX_POINTS,
    figures: Annotated[
        Path | None, typer.Option(help="Also write every figure as an SVG file into this folder.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Score a bundle on every labelled set and write a self-contained HTML page about it.

    The bundle's page among the models shows the newest one too.
    """
    resources = context()
    if out.suffix.lower() in {".json", ".csv"}:
        raise UsageError(f"{out} names the figures beside the page: give --out a name in .html.")
    with resources.database.read() as connection:
        info = find_bundle(connection, bundle)
    with metering("Reporting") as meter:
        found = build_report(
            resources,
            info,
            tell=lambda what: meter.show(0, None, what),
            on_step=lambda done, total: meter.show(done, total, "Computing missing vectors"),
        )
        maps = draw_maps(
            resources, info, points=points, tell=lambda what: meter.show(0, None, what)
        )
    written = {
        out: render_html(found, maps),
        out.with_suffix(".json"): to_json(found),
        out.with_suffix(".csv"): to_csv(found),
    }
    if figures is not None:
        written |= {
            figures / f"{each.name}.svg": each.svg for each in collect_drawings(found, maps)
        }
    for path, text in written.items():
        _write(path, text)
    # The model's page shows it too.
    resources.blobs.write(report_key(info.id), written[out].encode())
    if as_json:
        print_json({"bundle": info.id, "written": [str(path) for path in written]})
    else:
        note(write_headline(sort_evaluations(found.evaluations)))
        note(f"Written: {', '.join(str(path) for path in list(written)[:3])}.")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({error.strerror}): name another file with --out."
        ) from error
