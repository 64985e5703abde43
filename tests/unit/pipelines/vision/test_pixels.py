"""The fast decoder gives what Pillow gives, and leaves to Pillow what it is not sure of."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipelines.vision.decode import PhotoLimits, PhotoTransform, decode_photo
from pipelines.vision.pixels import read_jpeg, resize_and_crop
from tests.unit.pipelines.vision import drawing

LIMITS = PhotoLimits(max_bytes=10_000_000, max_pixels=20_000_000)
TRANSFORM = PhotoTransform(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def pillow_pixels(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_jpeg_has_the_pixels_that_pillow_sees(options: dict[str, int]) -> None:
    data = drawing.save(drawing.textured((301, 203)), "JPEG", quality=90, **options)
    pixels = read_jpeg(data, 301, 203)
    assert pixels is not None
    assert np.abs(pixels.astype(int) - pillow_pixels(data)).mean() < 0.5


def test_a_jpeg_of_another_size_than_its_header_was_read_to_have_is_left_to_pillow() -> None:
    data = drawing.save(drawing.plain(size=(60, 40)), "JPEG")
    assert read_jpeg(data, 40, 60) is None


def test_a_jpeg_that_the_decoder_remarks_on_is_left_to_pillow() -> None:
    data = bytearray(drawing.save(drawing.textured((160, 120)), "JPEG"))
    data[-40:-38] = b"\xff\xd3"  # a restart marker where none belongs
    assert read_jpeg(bytes(data), 160, 120) is None
    assert decode_photo(bytes(data), TRANSFORM, LIMITS).shape == (224, 224, 3)


def test_resizing_follows_pillows_to_the_last_bit_or_two() -> None:
    pixels = np.asarray(drawing.textured((640, 480)))
    side = Image.fromarray(pixels).resize((341, 256), Image.Resampling.BICUBIC)
    expected = np.asarray(side.crop((58, 16, 282, 240))).astype(int)
    actual = resize_and_crop(pixels.copy(), TRANSFORM)
    assert np.abs(actual - expected).max() <= 2


def test_memory_is_asked_for_before_a_photo_is_decoded() -> None:
    asked: list[int] = []
    data = drawing.save(drawing.plain(size=(300, 200)), "JPEG")
    decode_photo(data, TRANSFORM, LIMITS, admit=asked.append)
    assert asked == [4 * 300 * 200]
