"""afin map: posts laid out in the plane, for the pages or as a file."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from cli.output import JsonFlag, note, print_json, print_table
from cli.progress import POLL_S, metering
from schemas.bundles import BundleInfo
from schemas.errors import AfinError, UsageError
from schemas.maps import DEFAULT_POSTS, MAX_POSTS, MIN_POSTS, MapGroup, MapState, PostMap, View
from storage.bundles import find_bundle
from storage.maps import read_map, read_map_state
from tasks.context import Context, context
from tasks.maps import make_map, start_map, views_of
from tasks.start import require_workers
from web.map_file import render_map_file
from web.words import CATALOGUES, Language

FORMS = (".html", ".json")


def map_posts(
    bundle: Annotated[
        str | None, typer.Option(help="Its id or the beginning of it; else the active one.")
    ] = None,
    by: Annotated[
        str, typer.Option(help="image, text or both: which vectors; else the bundle's first.")
    ] = "",
    posts: Annotated[
        int,
        typer.Option(min=MIN_POSTS, max=MAX_POSTS, help="At most so many, of each category alike."),
    ] = DEFAULT_POSTS,
    out: Annotated[
        Path | None,
        typer.Option(help="Also write it: .html (one file, with small photos) or .json."),
    ] = None,
    here: Annotated[
        bool, typer.Option("--here", help="Compute in this process: no worker is needed.")
    ] = False,
    language: Annotated[str, typer.Option(help="en or es, of the written page.")] = "en",
    as_json: JsonFlag = False,
) -> None:
    """Lay out the posts that a bundle judged by t-SNE, for the map among the pages."""
    if out is not None and out.suffix.lower() not in FORMS:
        raise UsageError(f"{out} is neither .html nor .json: give --out one of these endings.")
    if language not in CATALOGUES:
        raise UsageError(f"There are no pages in {language!r}: use {' or '.join(CATALOGUES)}.")
    resources = context()
    with resources.database.read() as connection:
        info = find_bundle(connection, bundle)
    view = _read_view(by, info)
    with metering("Map") as meter:
        if here:
            state = make_map(
                resources, info.id, view, posts, tell=lambda what: meter.show(0, None, what)
            )
        else:
            state = _wait(resources, info, view, posts)
    if out is not None:
        with resources.database.read() as connection:
            found = read_map(connection, info.id, view)
        if found is None:
            raise AfinError("The map was made anew meanwhile: ask again.")
        _write(out, _to_text(resources, found, out.suffix.lower(), language))
    _tell(state, out, as_json=as_json)


def _read_view(text: str, info: BundleInfo) -> View:
    views = views_of(info)
    for view in views:
        if text in {view, ""}:
            return view
    raise UsageError(f"{info.id} has no map by {text!r}: use {' or '.join(views)}.")


def _wait(resources: Context, info: BundleInfo, view: View, posts: int) -> MapState:
    require_workers(resources, ("cpu",))
    with resources.database.read() as connection:
        before = read_map_state(connection, info.id, view).made_at
    start_map(resources, info.id, view, posts)
    while True:
        with resources.database.read() as connection:
            state = read_map_state(connection, info.id, view)
        if state.asked_at is None:
            break
        time.sleep(POLL_S)
    if state.problem is not None or state.made_at == before:
        raise AfinError(state.problem or "The map was not made: look into the cpu worker's log.")
    return state


def _to_text(resources: Context, found: PostMap, form: str, language: str) -> str:
    if form == ".json":
        return json.dumps(found.model_dump(mode="json"), ensure_ascii=False) + "\n"
    chosen: Language = "es" if language == "es" else "en"
    return render_map_file(found, resources.blobs, resources.settings, chosen)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({error.strerror}): name another file with --out."
        ) from error


def _tell(state: MapState, out: Path | None, *, as_json: bool) -> None:
    if as_json:
        print_json({**state.model_dump(mode="json"), "written": None if out is None else str(out)})
        return
    print_table(
        ("category", "shown", "posts", "same beside it", "most beside it"), map(_row, state.groups)
    )
    note(
        f"{sum(group.shown for group in state.groups)} posts laid out in {state.seconds:.0f} s: "
        "the pages show them under Map." + (f" Written: {out}." if out else "")
    )


def _row(group: MapGroup) -> tuple[object, ...]:
    beside = f"{group.beside or 'unknown'} {group.beside_part:.0%}" if group.beside_part else ""
    return group.category or "unknown", group.shown, group.posts, f"{group.alike:.0%}", beside
