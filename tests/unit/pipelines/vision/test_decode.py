import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipelines.vision.decode import (
    PhotoLimits,
    PhotoTransform,
    decode_photo,
    inspect_photo,
)
from schemas.errors import PhotoError
from tests.unit.pipelines.vision import drawing

LIMITS = PhotoLimits(max_bytes=10_000_000, max_pixels=20_000_000)
TRANSFORM = PhotoTransform(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
SAMPLES = {name: draw() for name, draw in drawing.SOUND.items()}
DATA = Path(__file__).parents[5] / "shared" / "data" / "photos"

# Mutated files make Pillow remark on their metadata; decode.py silences that, pytest restores it.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def decode(data: bytes, transform: PhotoTransform = TRANSFORM) -> NDArray[np.uint8]:
    return decode_photo(data, transform, LIMITS)


def refusal(data: bytes, limits: PhotoLimits = LIMITS) -> str:
    """Return the one reason for which both functions refuse a photo."""
    with pytest.raises(PhotoError) as inspected:
        inspect_photo(data, limits)
    with pytest.raises(PhotoError) as decoded:
        decode_photo(data, TRANSFORM, limits)
    assert inspected.value.reason == decoded.value.reason
    return decoded.value.reason


def colour_at(pixels: NDArray[np.uint8], x: float, y: float) -> tuple[int, int, int]:
    red, green, blue = pixels[int(y * pixels.shape[0]), int(x * pixels.shape[1])]
    return int(red), int(green), int(blue)


def is_near(colour: tuple[int, int, int], other: tuple[int, int, int], tolerance: int = 6) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(colour, other, strict=True))


@pytest.mark.parametrize("name", SAMPLES)
def test_every_supported_kind_decodes_to_the_same_shape(name: str) -> None:
    pixels = decode(SAMPLES[name])
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.owndata
    assert pixels.flags.writeable


@pytest.mark.parametrize("name", SAMPLES)
def test_every_supported_kind_passes_inspection(name: str) -> None:
    info = inspect_photo(SAMPLES[name], LIMITS)
    assert info.format == name.rsplit(maxsplit=1)[-1]


@pytest.mark.parametrize(
    "data",
    [
        drawing.save(drawing.plain(), "JPEG", quality=95),
        drawing.cmyk_jpeg(),
        drawing.ycck_jpeg(),
        drawing.save(drawing.plain().quantize(4), "PNG"),
        drawing.animated("GIF"),
        drawing.animated("WEBP"),
        drawing.save(drawing.plain(), "BMP"),
        drawing.save(drawing.plain(), "TIFF"),
    ],
    ids=["jpeg", "cmyk", "ycck", "palette", "gif", "webp", "bmp", "tiff"],
)
def test_red_is_red_in_every_colour_space(data: bytes) -> None:
    assert is_near(colour_at(decode(data), 0.5, 0.5), drawing.RED)


@pytest.mark.parametrize(("value", "grey"), [(0x8000, 128), (0x01FF, 1), (0xFFFF, 255)])
def test_sixteen_bits_are_scaled_down_and_not_clipped(value: int, grey: int) -> None:
    pixels = decode(drawing.grey_16_bit_png(value))
    assert np.unique(pixels).tolist() == [grey]


def test_sixteen_bit_tiff_of_either_byte_order_is_scaled_down() -> None:
    samples = np.full((20, 20), 0x4000, dtype=np.uint16)
    little = drawing.save(Image.fromarray(samples), "TIFF")
    big = drawing.save(Image.fromarray(samples.astype(">u2")), "TIFF")
    assert big[:2] == b"MM"
    assert np.unique(decode(little)).tolist() == np.unique(decode(big)).tolist() == [64]


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGBA", "PNG"), ("P", "PNG"), ("P", "GIF"), ("RGBA", "WEBP"), ("RGBA", "TIFF")],
)
def test_transparent_parts_become_white(mode: str, kind: str) -> None:
    pixels = decode(drawing.half_transparent(mode, kind))
    assert colour_at(pixels, 0.1, 0.5) == (255, 255, 255)
    assert is_near(colour_at(pixels, 0.9, 0.5), drawing.RED)


def test_transparent_grey_becomes_white() -> None:
    pixels = decode(drawing.half_transparent("LA", "PNG"))
    assert colour_at(pixels, 0.1, 0.5) == (255, 255, 255)
    assert colour_at(pixels, 0.9, 0.5)[0] < 128


def test_a_transparent_16_bit_value_becomes_white() -> None:
    samples = np.full((20, 20), 0x2000, dtype=np.uint16)
    samples[:, :10] = 0x1000
    data = drawing.save(Image.fromarray(samples), "PNG", transparency=0x1000)
    pixels = decode(data)
    assert colour_at(pixels, 0.1, 0.5) == (255, 255, 255)
    assert colour_at(pixels, 0.9, 0.5) == (32, 32, 32)


def test_one_bit_photos_are_black_and_white() -> None:
    image = Image.new("1", (40, 40), 1)
    image.paste(0, (0, 0, 20, 40))
    pixels = decode(drawing.save(image, "PNG"))
    assert colour_at(pixels, 0.1, 0.5) == (0, 0, 0)
    assert colour_at(pixels, 0.9, 0.5) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(orientation: int, kind: str) -> None:
    data = drawing.exif_rotated(orientation, kind)
    pixels = decode(data)
    corners = [colour_at(pixels, x, y) for y in (0.2, 0.8) for x in (0.2, 0.8)]
    assert [is_near(corner, drawing.RED, 25) for corner in corners] == [True, False, False, False]
    info = inspect_photo(data, LIMITS)
    assert (info.width, info.height, info.format) == (80, 48, kind.lower())


def test_a_photo_with_unreadable_exif_is_taken_as_upright() -> None:
    # Orientation with an offset beyond the block instead of a value.
    block = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x63\0\0\xff\xff\0\0\0\0"
    data = drawing.save(drawing.plain(), "JPEG", exif=block)
    info = inspect_photo(data, LIMITS)
    assert (info.width, info.height, info.format) == (60, 40, "jpeg")


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (256, 256), (97, 64), (31, 33)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_resizing_and_cropping_in_one_go_equals_one_after_the_other(
    size: tuple[int, int], interpolation: str
) -> None:
    image = drawing.textured(size)
    transform = TRANSFORM.model_copy(update={"interpolation": interpolation})
    width, height = size
    short = min(size)
    resized = image.resize(
        (
            256 if width == short else int(256 * width / height),
            256 if height == short else int(256 * height / width),
        ),
        Image.Resampling[interpolation.upper()],
    )
    left, top = (round((side - 224) / 2) for side in resized.size)
    expected = np.asarray(resized.crop((left, top, left + 224, top + 224)))
    actual = decode(drawing.save(image, "PNG"), transform)
    difference = np.abs(actual.astype(int) - expected.astype(int))
    assert difference.max() <= 3
    assert difference.mean() < 0.1


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((1024, 1024), dtype=np.uint8)
    stripes[:, ::2] = 255
    pixels = decode(drawing.save(Image.fromarray(stripes), "PNG"))
    assert pixels.std() < 2


def test_a_long_thin_panorama_needs_little_memory() -> None:
    pixels = decode(drawing.save(drawing.plain(size=(1_000_000, 8)), "PNG"))
    assert is_near(colour_at(pixels, 0.5, 0.5), drawing.RED)


def test_the_transform_sets_size_and_crop() -> None:
    image = Image.new("RGB", (100, 100), "white")
    image.paste(drawing.RED, (25, 25, 75, 75))
    whole = decode(drawing.save(image, "PNG"), TRANSFORM.model_copy(update={"crop": 1.0}))
    half = TRANSFORM.model_copy(update={"crop": 0.5, "size": 64})
    centre = decode(drawing.save(image, "PNG"), half)
    assert colour_at(whole, 0.05, 0.05) == (255, 255, 255)
    assert centre.shape == (64, 64, 3)
    assert is_near(colour_at(centre, 0.05, 0.05), drawing.RED)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>Log in</body></html>", "not-an-image"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"><circle r="9"/></svg>', "not-an-image"),
        (bytes(range(256)) * 9, "not-an-image"),
        (b"BM-like text is no bitmap, whatever its first letters", "not-an-image"),
        (b"\0\0\0\x20ftypisom" + bytes(100), "not-an-image"),
        (b"\0\0\0\x20ftypheic" + bytes(100), "unsupported-format"),
        (b"\0\0\0\x20ftypavif" + bytes(100), "unsupported-format"),
        (drawing.save(drawing.plain(), "ICO"), "unsupported-format"),
        (drawing.save(drawing.plain(), "PPM"), "unsupported-format"),
        (drawing.save(Image.new("F", (20, 20)), "TIFF"), "unsupported-format"),
        (drawing.save(drawing.plain(size=(7, 300)), "JPEG"), "too-small"),
        (drawing.png_bomb(), "too-many-pixels"),
        (drawing.webp_bomb(), "too-many-pixels"),
        (drawing.tiff_tile_bomb(), "too-many-pixels"),
        (drawing.png_bomb(100, 100).replace(b"IDAT", b"IdAT"), "broken"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[:12].hex(),
)
def test_what_is_no_usable_photo_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    assert refusal(data) == reason


def test_a_file_over_the_byte_limit_is_refused_unread() -> None:
    data = SAMPLES["jpeg"]
    at_limit = PhotoLimits(max_bytes=len(data), max_pixels=10**6)
    assert inspect_photo(data, at_limit).format == "jpeg"
    assert refusal(data + b"\0", at_limit) == "too-many-bytes"


def test_the_pixel_limit_is_exact_and_knows_no_other_ceiling() -> None:
    data = drawing.png_bomb(20_000, 10_000)
    assert refusal(data, PhotoLimits(max_bytes=10**6, max_pixels=2 * 10**8 - 1)) == (
        "too-many-pixels"
    )
    # Allowed pixels are decoded; this file then turns out to hold too few of them.
    assert refusal(data, PhotoLimits(max_bytes=10**6, max_pixels=2 * 10**8)) in {
        "truncated",
        "broken",
    }


@pytest.mark.parametrize(
    "name", ["jpeg", "progressive jpeg", "png", "webp", "gif", "bmp", "raw tiff"]
)
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_file_cut_short_is_refused_as_truncated(name: str, kept: float) -> None:
    data = SAMPLES[name]
    assert refusal(data[: int(len(data) * kept)]) == "truncated"


@pytest.mark.parametrize("name", ["jpeg", "progressive jpeg", "png"])
def test_a_download_padded_with_zeros_is_refused_as_truncated(name: str) -> None:
    data = SAMPLES[name]
    kept = len(data) // 2
    assert refusal(data[:kept] + bytes(len(data) - kept)) == "truncated"


def test_a_file_cut_within_its_header_is_refused_as_truncated() -> None:
    assert refusal(SAMPLES["jpeg"][:40]) == "truncated"


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(sorted(SAMPLES)),
    edits=st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=4)), max_size=6),
    kept=st.floats(0.2, 1.0),
    in_header=st.booleans(),
)
def test_damaged_photos_decode_or_are_refused_and_nothing_else(
    name: str, edits: list[tuple[int, bytes]], kept: float, in_header: bool
) -> None:
    data = bytearray(SAMPLES[name])
    for place, patch in edits:
        at = place % (min(len(data), 200) if in_header else len(data))
        data[at : at + len(patch)] = patch
    whole = bytes(data[: int(len(data) * kept)])
    with contextlib.suppress(PhotoError):
        assert decode(whole).shape == (224, 224, 3)
    with contextlib.suppress(PhotoError):
        assert inspect_photo(whole, LIMITS).width >= 8


@settings(max_examples=100, deadline=None)
@given(
    start=st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0"]),
    rest=st.binary(max_size=300),
)
def test_random_bytes_are_refused_and_nothing_else(start: bytes, rest: bytes) -> None:
    with pytest.raises(PhotoError):
        decode(start + rest)


def test_threads_decode_the_same_as_one() -> None:
    names = sorted(SAMPLES) * 3
    alone = {name: decode(SAMPLES[name]) for name in SAMPLES}
    barrier = threading.Barrier(4)

    def work(offset: int) -> list[bool]:
        barrier.wait()
        own = names[offset:] + names[:offset]
        return [bool((decode(SAMPLES[name]) == alone[name]).all()) for name in own]

    with ThreadPoolExecutor(4) as pool:
        assert all(all(same) for same in pool.map(work, range(4)))


def test_a_photo_with_two_pictures_counts_as_jpeg() -> None:
    data = drawing.save(drawing.plain(), "MPO", save_all=True, append_images=[drawing.plain()])
    assert inspect_photo(data, LIMITS).format == "jpeg"


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the shared photos beside the checkout")
def test_real_photos_decode_as_inspected() -> None:
    paths = sorted(DATA.rglob("*.jpg"))[::400]
    assert paths
    for path in paths:
        data = path.read_bytes()
        info = inspect_photo(data, LIMITS)
        with Image.open(path) as image:
            assert ImageOps.exif_transpose(image).size == (info.width, info.height)
        assert decode(data).std() > 1
