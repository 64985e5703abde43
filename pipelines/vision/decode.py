"""From a photo's bytes to the backbone's input, or to the reason why it cannot be one."""

import io
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile
from pydantic import Field

from pipelines.vision.phash import dhash
from pipelines.vision.pixels import read_jpeg, resize_and_crop, turn_upright
from pipelines.vision.quick import read_plain_pixels, read_plain_size
from pipelines.vision.signatures import (
    is_cut_short,
    is_unsupported_image,
    sniff_format,
    webp_size,
)
from schemas.base import Frozen
from schemas.errors import PhotoError

MIN_SIDE = 8
"""Photos with a shorter side, in pixels, are tracking pixels and spacers, not photos."""

HASHED_SIDE = 512
"""Longer photos, in pixels, are shrunk before their perceptual hash is made."""

LEAST_HASHED_SIDE = 96
"""Shorter sides, in pixels, are not left by shrinking: hashes would depend on the photo's size."""

# Imported by hand: Image.open would import every plugin it has on the first WebP.
_PLUGINS = (
    JpegImageFile.format,
    PngImageFile.format,
    WebPImageFile.format,
    GifImageFile.format,
    BmpImageFile.format,
    TiffImageFile.format,
)
_MODES_8_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr")
_GREY = "L"
_MODES_16_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
_ORIENTATION_TAG = 0x0112
_LAST_ORIENTATION = 8
_FIRST_SIDEWAYS = 5  # EXIF orientations from here on swap width and height
_BYTES_A_PIXEL = 4  # what Pillow takes; libjpeg-turbo takes three
_TILE_WIDTH_TAG, _TILE_LENGTH_TAG = 322, 323

# Pillow's own limit is one number for the whole process; ours is an argument, checked per photo.
Image.MAX_IMAGE_PIXELS = None
# Remarks about odd metadata, one a photo; catch_warnings around a call would race with threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class PhotoLimits(Frozen):
    """What a photo may cost: file size in bytes and picture size in pixels."""

    max_bytes: int = Field(ge=1)
    max_pixels: int = Field(ge=1)


class PhotoTransform(Frozen):
    """How a photo becomes a backbone's input.

    The short side is resized to ``round(size / crop)`` pixels and the central ``size`` x ``size``
    pixels are kept. ``mean`` and ``std`` are those of RGB values scaled to 0..1; the backbone
    applies them. ``colours`` that a JPEG stores coarser than its brightness are interpolated, or
    repeated, which is all that nvJPEG does.
    """

    size: int = Field(224, ge=1)
    crop: float = Field(0.875, gt=0, le=1)
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    colours: Literal["smooth", "repeated"] = "smooth"


class PhotoInfo(Frozen):
    """What a photo is: pixels as seen once rotated upright, and a format slug such as ``jpeg``.

    ``phash`` is its perceptual hash (64 bits, unsigned), None where no pixel was looked at.
    """

    width: int
    height: int
    format: str
    phash: int | None = None


def inspect_photo(data: bytes, limits: PhotoLimits) -> PhotoInfo:
    """Check that a photo decodes to its very end, so that later steps can rely on it.

    A large JPEG is decoded at down to an eighth of its size, and in grey: every byte is still
    read, most of the inverse DCT is saved.

    Raises:
        PhotoError: the photo cannot be used; ``reason`` says why.
    """
    plain = _inspect_plain(data, limits)
    if plain is not None:
        return plain
    with _open_photo(data, limits) as photo:
        width, height = photo.size
        if isinstance(photo, JpegImageFile):
            shrink = max(min(width, height) // LEAST_HASHED_SIDE, 1)
            photo.draft(_GREY, (width // shrink, height // shrink))
        photo.load()
        if _orientation(photo) >= _FIRST_SIDEWAYS:
            width, height = height, width
        return PhotoInfo(
            width=width, height=height, format=_name_format(photo), phash=_hash_upright(photo)
        )


def read_header(data: bytes, limits: PhotoLimits) -> PhotoInfo:
    """Read what a photo says of itself without decoding it, and look whether its end is there.

    Raises:
        PhotoError: the header or the end tell that it cannot be used; ``reason`` says why.
    """
    size = _read_plain_size(data, limits)
    if size is not None:
        _check_end(data)
        return PhotoInfo(width=size[0], height=size[1], format="jpeg")
    with _open_photo(data, limits) as photo:
        _check_end(data)
        width, height = photo.size
        if _orientation(photo) >= _FIRST_SIDEWAYS:
            width, height = height, width
        return PhotoInfo(width=width, height=height, format=_name_format(photo))


def read_stored(data: bytes, limits: PhotoLimits) -> tuple[int, int, int]:
    """Read (width, height) in pixels as a photo is stored, and its EXIF orientation from 1 to 8.

    Raises:
        PhotoError: the header tells that it cannot be used; ``reason`` says why.
    """
    size = _read_plain_size(data, limits)
    if size is not None:
        return (*size, 1)
    with _open_photo(data, limits) as photo:
        return (*photo.size, _orientation(photo))


def _check_end(data: bytes) -> None:
    if is_cut_short(data):
        raise PhotoError("truncated", "The photo's end is missing: fetch or copy it again.")


def _read_plain_size(data: bytes, limits: PhotoLimits) -> tuple[int, int] | None:
    """Read the size of a JPEG that needs no Pillow; None for any other photo.

    Raises:
        PhotoError: it is too large or too small.
    """
    _check_bytes(data, limits)
    size = read_plain_size(data)
    if size is not None:
        _check_pixels(*size, limits)
        _check_sides(*size)
    return size


def _inspect_plain(data: bytes, limits: PhotoLimits) -> PhotoInfo | None:
    """Decode a JPEG that needs no Pillow, shrunk as ``inspect_photo`` says; else None."""
    size = _read_plain_size(data, limits)
    if size is None:
        return None
    # Longer ones are shrunk once more before they are hashed.
    pixels = read_plain_pixels(
        data, *size, least_side=LEAST_HASHED_SIDE, longest_side=2 * HASHED_SIDE - 1
    )
    if pixels is None:
        return None
    return PhotoInfo(width=size[0], height=size[1], format="jpeg", phash=dhash(pixels))


def decode_photo(
    data: bytes,
    transform: PhotoTransform,
    limits: PhotoLimits,
    *,
    admit: Callable[[int], None] = lambda _size_bytes: None,
) -> NDArray[np.uint8]:
    """Decode a photo into a backbone's input: ``(size, size, 3) uint8``, RGB, upright.

    Transparent parts become white, an animation its first frame. ``admit`` is called with the
    memory in bytes that the whole picture will take, before any of it is allocated; it may wait.

    Raises:
        PhotoError: the photo cannot be used; ``reason`` says why.
    """
    with _open_photo(data, limits) as photo:
        admit(_BYTES_A_PIXEL * photo.width * photo.height)
        pixels = None
        quick = isinstance(photo, JpegImageFile) and photo.mode == "RGB"
        repeated = transform.colours == "repeated"
        if quick:
            pixels = read_jpeg(data, *photo.size, repeated=repeated)
        if pixels is None:
            photo.load()
            if quick and repeated:
                # Pillow, which found no defect, knows interpolated colours only.
                pixels = read_jpeg(data, *photo.size, repeated=True, strict=False)
        if pixels is None:
            pixels = np.array(_to_rgb(photo))
        orientation = _orientation(photo)
    return resize_and_crop(turn_upright(pixels, orientation), transform)


def _name_format(photo: ImageFile) -> str:
    # Pillow has a name of its own for JPEGs with more than one picture.
    return "jpeg" if isinstance(photo, JpegImageFile) else str(photo.format).lower()


def _hash_upright(photo: ImageFile) -> int:
    """Hash a loaded photo as a person sees it, at a size at which that costs little."""
    image = photo if photo.mode == _GREY and "transparency" not in photo.info else _to_rgb(photo)
    factor = max(image.size) // HASHED_SIDE
    small = image.reduce(factor) if factor > 1 else image
    return dhash(turn_upright(np.asarray(small), _orientation(photo)))


@contextmanager
def _open_photo(data: bytes, limits: PhotoLimits) -> Iterator[ImageFile]:
    """Open a photo whose header is within the limits; turn whatever goes wrong into PhotoError."""
    _check_bytes(data, limits)
    try:
        with Image.open(io.BytesIO(data), formats=_PLUGINS) as photo:
            _check_header(photo, limits)
            yield photo
    except PhotoError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError("too-many-pixels", f"The photo has too many pixels: {error}") from error
    except Exception as error:
        # Decoders fail on hostile bytes with any exception at all, from KeyError to RuntimeError.
        raise _explain(data, error) from error


def _check_bytes(data: bytes, limits: PhotoLimits) -> None:
    """Refuse what need not even be opened."""
    if not data:
        raise PhotoError("empty", "The file is empty: fetch or copy it again.")
    if len(data) > limits.max_bytes:
        raise PhotoError(
            "too-many-bytes",
            f"The file has {len(data):,} bytes; AFIN_MAX_PHOTO_BYTES allows {limits.max_bytes:,}.",
        )
    if sniff_format(data) == "webp":
        # WebP's decoder allocates its canvas when it is opened.
        _check_pixels(*webp_size(data), limits)


def _check_header(photo: ImageFile, limits: PhotoLimits) -> None:
    """Refuse by the header alone, before any pixel is decoded."""
    width, height = photo.size
    _check_pixels(width, height, limits)
    if isinstance(photo, TiffImageFile):
        # A small picture may claim to be stored in huge tiles, which are allocated whole.
        tags = photo.tag_v2
        _check_pixels(tags.get(_TILE_WIDTH_TAG, 0), tags.get(_TILE_LENGTH_TAG, 0), limits)
    _check_sides(width, height)
    if photo.mode not in _MODES_8_BIT + _MODES_16_BIT:
        raise PhotoError(
            "unsupported-format",
            f"Photos with samples of kind {photo.mode} cannot be shown: save it with 8 bits.",
        )


def _check_sides(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise PhotoError(
            "too-small", f"The photo is {width} x {height} pixels; {MIN_SIDE} a side are needed."
        )


def _check_pixels(width: int, height: int, limits: PhotoLimits) -> None:
    if width * height > limits.max_pixels:
        raise PhotoError(
            "too-many-pixels",
            f"The photo claims {width} x {height} pixels; AFIN_MAX_PHOTO_PIXELS allows "
            f"{limits.max_pixels:,}.",
        )


def _explain(data: bytes, error: Exception) -> PhotoError:
    """Say why bytes could not be decoded, from what they look like and the decoder's words."""
    if sniff_format(data) is None:
        if is_unsupported_image(data):
            return PhotoError(
                "unsupported-format", "Save the photo as JPEG, PNG, WebP, GIF, BMP or TIFF."
            )
        return PhotoError("not-an-image", "The file does not hold a photo: fetch it again.")
    if is_cut_short(data) or "truncated" in str(error):
        return PhotoError("truncated", "The photo's end is missing: fetch or copy it again.")
    return PhotoError("broken", f"The photo cannot be decoded ({error}): fetch or copy it again.")


def _orientation(photo: ImageFile) -> int:
    """Read the EXIF orientation, 1 (upright) where there is none or it is unreadable.

    To be called after ``load``: TIFF is turned upright, and its tag dropped, while loading.
    """
    try:
        value = photo.getexif().get(_ORIENTATION_TAG, 1)
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error):
        return 1
    return value if isinstance(value, int) and 1 <= value <= _LAST_ORIENTATION else 1


def _to_rgb(photo: Image.Image) -> Image.Image:
    """Bring any supported mode to RGB, on white where it is transparent."""
    if photo.mode in _MODES_16_BIT:
        return _from_16_bit(photo)
    if photo.has_transparency_data:
        rgba = photo.convert("RGBA")
        canvas = Image.new("RGB", rgba.size, "white")
        canvas.paste(rgba, mask=rgba)
        return canvas
    return photo.convert("RGB")


def _from_16_bit(photo: Image.Image) -> Image.Image:
    """Keep the high byte of 16-bit grey, as libpng does for 16-bit colour; Pillow would clip."""
    samples = np.asarray(photo).astype(np.uint16)
    grey = (samples >> 8).astype(np.uint8)
    transparent = photo.info.get("transparency")
    if isinstance(transparent, int):
        grey[samples == transparent] = 255
    return Image.fromarray(grey).convert("RGB")
