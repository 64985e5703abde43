"""Text files from anywhere: which encoding they are in, and lines of bounded length."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from schemas.errors import SourceError

_CHUNK_BYTES = 2**20
_HEAD_BYTES = 4096
_BINARY = bytes(set(range(32)) - set(b"\0\t\n\v\f\r\x1a\x1b"))


def open_text(path: Path, *, newline: str) -> IO[str]:
    """Open a text file in the encoding it was saved in; bytes that fit nowhere become U+FFFD.

    Raises:
        SourceError: the file cannot be read, is empty, or is not text.
    """
    if not path.is_file():
        raise SourceError(f"There is no file {path}: check its name and the folder you are in.")
    try:
        encoding = _detect_encoding(path)
        return path.open(encoding=encoding, errors="replace", newline=newline)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}.") from error


def read_lines(file: IO[str], limit: int) -> Iterator[str | None]:
    """Yield line after line; None stands for a line of more than ``limit`` characters."""
    while line := file.readline(limit + 1):
        if len(line) <= limit or line.endswith(("\n", "\r")):
            yield line
            continue
        while line and not line.endswith(("\n", "\r")):
            line = file.readline(_CHUNK_BYTES)
        yield None


def _detect_encoding(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head.strip():
        raise SourceError(f"{path} is empty: check that it was saved or copied completely.")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if bare := _detect_bare_utf16(head):
        return bare
    _refuse_binary(path, head)
    return "utf-8" if _is_mostly_utf8(path) else "cp1252"


def _detect_bare_utf16(head: bytes) -> str | None:
    """Recognise UTF-16 without a mark: in mostly Latin text every other byte is NUL."""
    even, odd = head[0::2], head[1::2]
    if odd and odd.count(0) > 0.6 * len(odd) and not even.count(0):
        return "utf-16-le"
    if even and even.count(0) > 0.6 * len(even) and not odd.count(0):
        return "utf-16-be"
    return None


def _refuse_binary(path: Path, head: bytes) -> None:
    if head.startswith(b"PK\x03\x04"):
        raise SourceError(
            f"{path} is a zip archive or an Excel workbook: unpack it, or save the sheet as CSV."
        )
    strange = len(head) - len(head.translate(None, delete=_BINARY))
    if strange > 0.1 * len(head) or head.count(0) > 0.3 * len(head):
        raise SourceError(f"{path} is not a text file: save it as CSV, TSV or JSON lines.")


def _is_mostly_utf8(path: Path) -> bool:
    """Tell UTF-8 with a few damaged bytes (one bad row) from an eight-bit encoding."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    damaged = sound = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            text = decoder.decode(chunk)
            if not text.isascii():
                bad = text.count("\ufffd")
                damaged += bad
                sound += len(text) - len(text.encode("ascii", "ignore")) - bad
    damaged += len(decoder.decode(b"", final=True))
    return not damaged or sound > damaged
