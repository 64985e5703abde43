"""Labelled photos: a folder per category, or a table that names file and category."""

import os
from collections.abc import Iterator
from pathlib import Path

from pipelines.sources.paths import find_file, has_photo_name, resolve_inside, shorten
from pipelines.sources.tables import Row, read_rows
from pipelines.sources.values import clean_text, make_problem, normalise_category
from schemas.categories import OTRA, known_categories
from schemas.errors import PhotoError, SourceError
from schemas.posts import LabelledPhoto, Problem

_NAMES = {
    "file": "file filename path photo image archivo fichero foto imagen ruta",
    "category": "category categoria label etiqueta clase",
    "split": "split particion conjunto",
    "caption": "caption text texto descripcion description leyenda",
    "credit": "credit credito creditos",
    "photographer": "photographer fotografo autor author",
    "licence": "licence license licencia",
}
COLUMNS = {name: column for column, names in _NAMES.items() for name in names.split()}


def read_labelled_photos(path: Path) -> Iterator[LabelledPhoto | Problem]:
    """Stream labelled photos from a folder with one folder a category, or from a table.

    A table needs the columns file (relative to the table) and category; split, caption, credit,
    photographer and licence are used where there are any, and an empty split means ``train``.
    Photos are named, not opened.

    Raises:
        SourceError: there is no such file or folder, or nothing in it says what is what.
    """
    if path.is_dir():
        yield from _read_folder(path)
        return
    for row in read_rows(path, COLUMNS, ["file", "category"]):
        yield row if isinstance(row, Problem) else _read_row(row, path.parent)


def _read_row(row: Row, folder: Path) -> LabelledPhoto | Problem:
    cells = {column: clean_text(cell).strip() for column, cell in row.cells.items()}
    category = normalise_category(cells["category"])
    if not _is_category(category):
        detail = _explain_unknown(cells["category"])
        return make_problem(where=row.where, reason="unknown-category", detail=detail)
    try:
        photo = find_file(folder, cells["file"])
    except PhotoError as error:
        return make_problem(where=row.where, reason=error.reason, detail=str(error))
    credit = (cells.get(column, "") for column in ("credit", "photographer", "licence"))
    return LabelledPhoto(
        path=photo,
        category=category,
        split=cells.get("split", "").lower() or "train",
        caption=cells.get("caption", ""),
        credit="; ".join(part for part in credit if part),
    )


def _read_folder(folder: Path) -> Iterator[LabelledPhoto | Problem]:
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise SourceError(f"{folder} cannot be read: {error.strerror}.") from error
    if not any(_is_category(normalise_category(entry.name)) for entry in entries):
        raise SourceError(
            f"{folder} has no folder named after a category ({', '.join(known_categories())}, "
            f"{OTRA}): sort the photos into such folders, or import a table."
        )
    for entry in entries:
        category = normalise_category(entry.name)
        if not entry.is_dir():
            yield _explain(folder, entry, "no-category", "The file lies in no category's folder.")
        elif not _is_category(category):
            detail = _explain_unknown(entry.name)
            yield _explain(folder, entry, "unknown-category", f"{detail} Its folder was left out.")
        else:
            yield from _read_category(folder, entry, category)


def _read_category(folder: Path, top: Path, category: str) -> Iterator[LabelledPhoto | Problem]:
    unreadable: list[OSError] = []
    for parent, folders, files in os.walk(top, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in [*links, *sorted(name for name in files if not name.startswith("."))]:
            path = Path(parent, name)
            if name not in links and not has_photo_name(name):
                detail = "Not named like a photo (.jpg, .png, …)."
                yield _explain(folder, path, "not-a-photo-name", detail)
            elif name not in links or not _leads_inside(folder, path):
                yield _read_file(folder, path, category)
    for error in unreadable:
        yield _explain(folder, Path(error.filename), "unreadable-folder", f"{error.strerror}.")


def _read_file(folder: Path, path: Path, category: str) -> LabelledPhoto | Problem:
    try:
        return LabelledPhoto(
            path=find_file(folder, str(path.relative_to(folder))), category=category
        )
    except PhotoError as error:
        return _explain(folder, path, error.reason, str(error))


def _leads_inside(folder: Path, link: Path) -> bool:
    """Tell whether a linked folder is one of ours, whose photos are read at their real place."""
    return resolve_inside(folder, str(link.relative_to(folder))) is not None


def _is_category(name: str) -> bool:
    return name == OTRA or name in known_categories()


def _explain_unknown(name: str) -> str:
    return f"{shorten(name, 40)} is not one of {', '.join(known_categories())}, {OTRA}."


def _explain(folder: Path, path: Path, reason: str, detail: str) -> Problem:
    return make_problem(f"{folder.name}/{path.relative_to(folder)}", reason, detail)
