"""What a file is, read from its first and last bytes without decoding anything."""

_STARTS = {
    b"\xff\xd8\xff": "jpeg",
    b"\x89PNG\r\n\x1a\n": "png",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II\0*": "tiff",
    b"MM*\0": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
}
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_FRAMES_IN_ONE_PASS = frozenset((0xC0, 0xC1))
_SCAN, _FILL, _BITS = 0xDA, 0xFF, 8
_BMP_HEADER_SIZES = frozenset((12, 16, 40, 52, 56, 64, 108, 124))

_UNSUPPORTED_STARTS = (
    b"8BPS",  # Photoshop
    b"\0\0\0\x0cjP  ",  # JPEG 2000
    b"\xff\x4f\xff\x51",  # JPEG 2000 code stream
    b"\0\0\0\x0cJXL ",  # JPEG XL
    b"\xff\x0a",  # JPEG XL code stream
    b"\0\0\1\0",  # Windows icon
    b"v/1\1",  # OpenEXR
    b"qoif",
    b"DDS ",
    b"P4\n",
    b"P5\n",
    b"P6\n",
)
_UNSUPPORTED_BRANDS = frozenset(
    (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
)


def sniff_format(data: bytes) -> str | None:
    """Name the supported format that a file claims to be, or None."""
    for start, name in _STARTS.items():
        if data.startswith(start):
            return name
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith(b"BM") and _u32(data, 14) in _BMP_HEADER_SIZES:
        return "bmp"
    return None


def is_unsupported_image(data: bytes) -> bool:
    """Tell an image of a kind that is not decoded here (HEIC, AVIF, PSD, …) from no image."""
    if data[4:8] == b"ftyp":
        return data[8:12] in _UNSUPPORTED_BRANDS
    return data.startswith(_UNSUPPORTED_STARTS)


def is_cut_short(data: bytes) -> bool:
    """Tell whether a file lacks the end that its format asks for; False where that is unknown."""
    # Interrupted downloads are often padded with zeros to the announced length.
    content = data.rstrip(b"\0")
    match sniff_format(data):
        case "jpeg":
            return not content.endswith(b"\xff\xd9")
        case "png":
            return b"IEND" not in content[-64:]
        case "gif":
            return not content.endswith(b";")
        case "webp":
            return _u32(data, 4) + 8 > len(data)
        case "bmp":
            return _u32(data, 2) > len(data)
        case _:
            return False


def is_baseline_jpeg(data: bytes) -> bool:
    """Tell a JPEG stored in one pass of 8-bit samples, as hardware decodes it, from all else.

    Source: ITU-T T.81, B.1.1.3 and B.2.2: the frame header is SOF0 or SOF1.
    """
    at = 2
    while data.startswith(b"\xff\xd8") and data[at : at + 1] == b"\xff" and at + 4 < len(data):
        marker = data[at + 1]
        if marker in _FRAMES:
            return marker in _FRAMES_IN_ONE_PASS and data[at + 4] == _BITS
        if marker == _SCAN:
            break
        # A marker may be preceded by any number of fill bytes.
        at += 1 if marker == _FILL else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def webp_size(data: bytes) -> tuple[int, int]:
    """Read a WebP's canvas, (width, height) in pixels, or (0, 0) where the header has none.

    Source: RFC 9649, sections 2.5 to 2.7, and RFC 6386, section 9.1.
    """
    header = data[:30].ljust(30, b"\0")
    match header[12:16]:
        case b"VP8X":
            return (
                int.from_bytes(header[24:27], "little") + 1,
                int.from_bytes(header[27:30], "little") + 1,
            )
        case b"VP8L":
            bits = _u32(header, 21)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            sides = _u32(header, 26)
            return sides & 0x3FFF, sides >> 16 & 0x3FFF
        case _:
            return 0, 0


def _u32(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "little")
