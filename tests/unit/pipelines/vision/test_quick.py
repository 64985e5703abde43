"""Plain JPEGs looked at without Pillow, against what Pillow sees in them."""

import io
from random import Random

import pytest
from PIL import Image

from pipelines.sources.samples.writer import draw_photo
from pipelines.vision import decode
from pipelines.vision.decode import PhotoLimits, inspect_photo, read_header
from pipelines.vision.quick import read_plain_pixels, read_plain_size

LIMITS = PhotoLimits(max_bytes=2**24, max_pixels=2**24)
ROTATED = 6


def draw(size: tuple[int, int] = (640, 480), mode: str = "RGB", **options: object) -> bytes:
    drawn = draw_photo("comida", Random(3))  # noqa: S311 - the same photo every time
    with Image.open(io.BytesIO(drawn)) as photo:
        written = io.BytesIO()
        photo.convert(mode).resize(size).save(written, "JPEG", **options)
    return written.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    return draw(exif=exif)


def turned_by_xmp() -> bytes:
    return draw(
        xmp=b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    )


def test_xmp_turns_a_photo_as_exif_does() -> None:
    seen = inspect_photo(turned_by_xmp(), LIMITS)
    assert seen == inspect_photo(turned(), LIMITS)
    assert (seen.width, seen.height) == (480, 640)
    assert read_header(turned_by_xmp(), LIMITS).width == seen.width


def segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + (2 + len(payload)).to_bytes(2, "big") + payload


def test_a_thumbnail_before_xmp_hides_no_rotation() -> None:
    photo = turned_by_xmp()
    thumbnail = segment(0xE0, b"JFXX\0\x10\xff\xd8\xff\xda\0\0\xff\xd9")
    with_thumbnail = photo[:2] + thumbnail + photo[2:]
    assert read_plain_size(with_thumbnail) is None
    assert read_header(with_thumbnail, LIMITS).width == read_header(photo, LIMITS).width


def test_words_among_pixels_or_after_the_end_turn_nothing() -> None:
    assert read_plain_size(draw() + b"Exif\0\0 tiff:Orientation") == (640, 480)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0\xff\xff",
        b"\xff\xd8" + segment(0xE0, b"") * 100_000 + draw()[2:],
        b"\xff\xd8\xff" + draw()[2:],
    ],
    ids=["empty", "a start", "a segment without end", "too many segments", "a fill byte"],
)
def test_unusual_heads_are_left_to_pillow(body: bytes) -> None:
    assert read_plain_size(body) is None


PLAIN = {
    "small": draw((90, 120)),
    "usual": draw(),
    "large": draw((3000, 2000)),
    "narrow": draw((700, 40)),
    "progressive": draw(progressive=True),
    "full colour": draw(subsampling=0),
    "odd sides": draw((641, 479)),
}
OTHER = {
    "turned": turned(),
    "turned by XMP": turned_by_xmp(),
    "grey": draw(mode="L"),
    "print": draw(mode="CMYK"),
    "no photo": b"\xff\xd8\xff nothing else",
    "png": b"\x89PNG\r\n\x1a\n",
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_jpeg_is_seen_as_pillow_sees_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = PLAIN[name]
    quick = inspect_photo(photo, LIMITS), read_header(photo, LIMITS)
    assert read_plain_size(photo) == (quick[0].width, quick[0].height)
    monkeypatch.setattr(decode, "read_plain_size", lambda _data: None)
    assert (inspect_photo(photo, LIMITS), read_header(photo, LIMITS)) == quick


@pytest.mark.parametrize("name", OTHER)
def test_whatever_is_unusual_is_left_to_pillow(name: str) -> None:
    assert read_plain_size(OTHER[name]) is None


def test_a_turned_photo_keeps_its_sides_as_a_person_sees_them() -> None:
    info = read_header(turned(), LIMITS)
    assert (info.width, info.height) == (480, 640)


def test_pixels_of_a_photo_that_was_cut_short_are_not_read() -> None:
    photo = PLAIN["usual"]
    cut = photo[: len(photo) // 2]
    assert read_plain_size(cut) == (640, 480)
    assert read_plain_pixels(cut, 640, 480, least_side=96, longest_side=1023) is None


def test_what_would_be_left_too_long_is_not_decoded() -> None:
    assert read_plain_pixels(draw((3000, 100)), 3000, 100, least_side=96, longest_side=1023) is None
