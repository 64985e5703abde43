"""The JSON that download tools save beside photos, read within bounds."""

import lzma
from dataclasses import dataclass
from pathlib import Path

from pipelines.sources.paths import resolve_inside
from pipelines.sources.records import parse_json

MAX_METADATA_BYTES = 16 * 2**20
"""One post's metadata, unpacked; real ones have some ten kilobytes."""

_MAX_XZ_MEMORY_BYTES = 128 * 2**20  # xz -9 needs 65 MiB


@dataclass(frozen=True)
class DumpPost:
    """A post as a tool saved it: its owner as far as known, and the values of ``build_post``."""

    owner: object
    name: str
    raw: dict[str, object]


@dataclass(frozen=True)
class DumpProfile:
    """What a tool saved about an account itself."""

    username: object
    followers: object


def read_metadata(folder: Path, name: str) -> object:
    """Read a ``.json`` or ``.json.xz`` file of at most ``MAX_METADATA_BYTES`` in ``folder``.

    Raises:
        ValueError: it cannot be read, is larger, is no JSON, or a link that leads out.
    """
    path = resolve_inside(folder, name)
    if path is None or not path.is_file():
        raise ValueError("it is no file of this folder")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_METADATA_BYTES + 1)
        if name.endswith(".xz"):
            unpacker = lzma.LZMADecompressor(memlimit=_MAX_XZ_MEMORY_BYTES)
            data = unpacker.decompress(data, MAX_METADATA_BYTES + 1)
            if not unpacker.eof and len(data) <= MAX_METADATA_BYTES:
                raise ValueError("the xz file is cut off")
    except (OSError, lzma.LZMAError, EOFError) as error:
        raise ValueError(str(error)) from error
    if len(data) > MAX_METADATA_BYTES:
        raise ValueError(f"more than {MAX_METADATA_BYTES // 2**20} MiB")
    return parse_json(data.decode("utf-8-sig", "replace"))


def dig(value: object, *keys: str | int) -> object:
    """Follow keys and indexes into parsed JSON; None where one of them is not there."""
    for key in keys:
        if isinstance(value, dict) and isinstance(key, str):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and len(value) > key:
            value = value[key]
        else:
            return None
    return value


def first_of(*values: object) -> object:
    """Return the first value that is there."""
    return next((value for value in values if value is not None), None)


def unhide(count: object) -> object:
    """Return a count, or None for the -1 by which Instagram says that it is hidden."""
    return None if count == -1 else count
