"""Photos that look the same have hashes that differ in a few bits, others do not."""

import io
from pathlib import Path

import pytest
from PIL import Image

from pipelines.vision.decode import PhotoLimits, inspect_photo

NEAR = 3
LIMITS = PhotoLimits(max_bytes=2**25, max_pixels=10**8)


def hash_of(image: Image.Image, quality: int = 95, orientation: int = 1) -> int:
    written = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(written, "JPEG", quality=quality, exif=exif)
    phash = inspect_photo(written.getvalue(), LIMITS).phash
    assert phash is not None
    return phash


def differ(one: int, other: int) -> int:
    return (one ^ other).bit_count()


@pytest.fixture
def real_photos(shared_data: Path) -> list[Image.Image]:
    paths = sorted((shared_data / "photos").glob("*/*.jpg"))[::140]
    return [Image.open(path).convert("RGB") for path in paths]


def draw_slope() -> Image.Image:
    return Image.linear_gradient("L").resize((640, 480)).convert("RGB")


def test_a_photo_encoded_again_keeps_its_hash(real_photos: list[Image.Image]) -> None:
    near = [differ(hash_of(one), hash_of(one, quality=60)) <= NEAR for one in real_photos]
    assert sum(near) >= 0.9 * len(near)


def test_a_photo_made_larger_keeps_its_hash(real_photos: list[Image.Image]) -> None:
    near = [
        differ(hash_of(one), hash_of(one.resize((one.width * 3, one.height * 3)))) <= NEAR
        for one in real_photos
    ]
    assert sum(near) >= 0.9 * len(near)


def test_different_photos_have_different_hashes(real_photos: list[Image.Image]) -> None:
    hashes = [hash_of(one) for one in real_photos]
    pairs = [(a, b) for place, a in enumerate(hashes) for b in hashes[place + 1 :]]
    assert sum(differ(a, b) <= NEAR for a, b in pairs) <= 0.01 * len(pairs)


def test_a_photo_is_hashed_as_it_is_seen() -> None:
    upright = draw_slope()
    # Orientation 8 is shown turned by 90 degrees counterclockwise.
    sideways = upright.transpose(Image.Transpose.ROTATE_270)
    assert differ(hash_of(upright), hash_of(sideways, orientation=8)) <= NEAR
    assert differ(hash_of(upright), hash_of(sideways)) > NEAR


def test_a_photo_turned_upside_down_is_another() -> None:
    slope = draw_slope().transpose(Image.Transpose.ROTATE_90)
    turned = slope.transpose(Image.Transpose.ROTATE_180)
    assert differ(hash_of(slope), hash_of(turned)) > NEAR
