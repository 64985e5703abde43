"""Photos drawn for the tests, every awkward kind that sources have been seen to deliver."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

RED = (200, 30, 40)
SIZE = (60, 40)


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    """Encode an image."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def plain(colour: tuple[int, int, int] = RED, size: tuple[int, int] = SIZE) -> Image.Image:
    """Draw a photo of one colour, so that a decoder's colours can be checked."""
    return Image.new("RGB", size, colour)


def textured(size: tuple[int, int] = (300, 200), seed: int = 0) -> Image.Image:
    """Draw smooth noise, so that geometry and resampling can be checked."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def exif_rotated(orientation: int, kind: str = "JPEG") -> bytes:
    """Draw a red top-left quarter on white, stored as a camera held at that orientation would."""
    upright = Image.new("RGB", (80, 48), "white")
    upright.paste(RED, (0, 0, 40, 24))
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright if undo is None else upright.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(stored, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))


def cmyk_jpeg() -> bytes:
    """Encode red as an Adobe CMYK JPEG, whose samples are stored inverted."""
    return save(plain().convert("CMYK"), "JPEG", quality=95)


def ycck_jpeg() -> bytes:
    """Encode red as an Adobe YCCK JPEG: luma and chroma of inverted CMY, and inverted K."""
    inverted = Image.new("RGB", SIZE, tuple(255 - value for value in RED))
    y, cb, cr = inverted.convert("YCbCr").split()
    # Pillow inverts what it writes; the Adobe marker's last byte then names the transform.
    planes = [plane.point(lambda value: 255 - value) for plane in (y, cb, cr)]
    data = save(Image.merge("CMYK", [*planes, Image.new("L", SIZE, 0)]), "JPEG", quality=95)
    at = data.index(b"Adobe") + 11
    return data[:at] + b"\2" + data[at + 1 :]


def grey_16_bit_png(value: int = 0x8000) -> bytes:
    """Encode 16-bit grey; clipping to 8 bits would make it white."""
    return save(Image.fromarray(np.full(SIZE[::-1], value, dtype=np.uint16)), "PNG")


def half_transparent(mode: str, kind: str) -> bytes:
    """Encode a photo whose left half is transparent and whose right half is red (or grey)."""
    image = plain().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, SIZE[0] // 2, SIZE[1]))
    if mode == "P":
        palette = plain().quantize(2)
        palette.putpalette([0, 0, 0, *RED])
        pixels = np.ones(SIZE[::-1], dtype=np.uint8)
        pixels[:, : SIZE[0] // 2] = 0
        palette.frombytes(pixels.tobytes())
        return save(palette, kind, transparency=0)
    options = {"lossless": True} if kind == "WEBP" else {}
    return save(image.convert(mode), kind, **options)


def animated(kind: str) -> bytes:
    """Encode an animation whose first frame is red and whose others are not."""
    others = [plain((0, 0, 255)), plain((0, 255, 0))]
    return save(plain(), kind, save_all=True, append_images=others, duration=100)


def png_chunk(name: bytes, body: bytes) -> bytes:
    """Frame a PNG chunk."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_bomb(width: int = 50_000, height: int = 50_000) -> bytes:
    """Make a small PNG whose header claims billions of pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(bytes(100_000)))
        + png_chunk(b"IEND", b"")
    )


def webp_bomb() -> bytes:
    """Make a WebP whose extended header claims a canvas of 60,000 x 60,000."""
    side = (60_000 - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + side + side
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff_tile_bomb() -> bytes:
    """Make a 16 x 16 TIFF stored in one deflated tile of 65,536 x 65,536."""
    entries = [
        (256, 3, 1, 16),
        (257, 3, 1, 16),
        (258, 3, 1, 8),
        (259, 3, 1, 8),
        (262, 3, 1, 1),
        (277, 3, 1, 1),
        (322, 4, 1, 65_536),
        (323, 4, 1, 65_536),
        (324, 4, 1, 8),
        (325, 4, 1, 8),
    ]
    ifd = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", *entry) for entry in entries
    )
    return b"II*\0" + struct.pack("<I", 8) + ifd + bytes(4)


SOUND: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: save(textured(), "JPEG"),
    "progressive jpeg": lambda: save(textured(), "JPEG", progressive=True),
    "grey jpeg": lambda: save(textured().convert("L"), "JPEG"),
    "cmyk jpeg": cmyk_jpeg,
    "ycck jpeg": ycck_jpeg,
    "rotated jpeg": lambda: exif_rotated(6),
    "png": lambda: save(textured(), "PNG"),
    "16-bit png": grey_16_bit_png,
    "palette png": lambda: half_transparent("P", "PNG"),
    "grey-alpha png": lambda: half_transparent("LA", "PNG"),
    "1-bit png": lambda: save(textured().convert("1"), "PNG"),
    "webp": lambda: save(textured(), "WEBP"),
    "animated webp": lambda: animated("WEBP"),
    "gif": lambda: save(textured().quantize(64), "GIF"),
    "animated gif": lambda: animated("GIF"),
    "bmp": lambda: save(textured((50, 40)), "BMP"),
    "tiff": lambda: save(textured(), "TIFF", compression="tiff_lzw"),
    "jpeg in tiff": lambda: save(textured(), "TIFF", compression="jpeg"),
    "raw tiff": lambda: save(textured((50, 40)), "TIFF"),
}
"""Photos that must decode, by kind."""
