"""Files that an input names: looked up only inside the folder the input lies in."""

import os
from pathlib import Path, PureWindowsPath

from schemas.errors import PhotoError

PHOTO_SUFFIXES = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff",
        ".heic", ".heif", ".avif",
    }
)  # fmt: skip
"""Endings under which photos are kept; whether a file really is one shows when it is decoded."""


def has_photo_name(name: str) -> bool:
    """Tell whether a file's name ends like a photo's."""
    return Path(name).suffix.lower() in PHOTO_SUFFIXES


def resolve_inside(folder: Path, relative: str) -> Path | None:
    """Return the real, absolute path of ``relative``, or None if it leads out of ``folder``.

    Links are followed first, so a link inside the folder that points outside is refused as well.
    Backslashes count as slashes: tables made on Windows have them.
    """
    if PureWindowsPath(relative).drive or PureWindowsPath(relative).root:
        return None
    try:
        root = os.path.realpath(folder)
        real = Path(os.path.realpath(Path(root, relative.replace("\\", "/"))))
    except (OSError, ValueError):  # ValueError: a NUL or a lone surrogate in the name
        return None
    return real if real.is_relative_to(root) else None


def find_file(folder: Path, relative: str) -> Path:
    """Return the real path of a file that an input in ``folder`` names.

    Raises:
        PhotoError: ``outside-folder`` or ``missing-file``.
    """
    path = resolve_inside(folder, relative)
    if path is None:
        raise PhotoError(
            "outside-folder",
            f"{shorten(relative)} leads out of the folder {folder.name!r}; "
            "move the photo into it and name it relative to it.",
        )
    try:
        there = path.is_file()
    except OSError:  # a name too long for the file system
        there = False
    if not there:
        raise PhotoError("missing-file", f"There is no file {shorten(relative)}.")
    return path


def shorten(text: str, limit: int = 80) -> str:
    """Quote ``text`` for a message, cut to ``limit`` characters."""
    return repr(text if len(text) <= limit else f"{text[: limit - 1]}…")
