"""Photos that look alike get hashes that are alike."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pipelines.vision.phash import dhash, group_near
from tests.unit.pipelines.vision import drawing


def pixels(seed: int, size: tuple[int, int] = (320, 240)) -> NDArray[np.uint8]:
    photo = drawing.textured(seed=seed).convert("RGB").resize((12, 9), Image.Resampling.BOX)
    return np.asarray(photo.resize(size, Image.Resampling.BICUBIC))


def distance(one: int, other: int) -> int:
    return (one ^ other).bit_count()


def test_the_bits_say_where_brightness_falls() -> None:
    ramp = np.repeat(np.linspace(255, 0, 90, dtype=np.uint8)[None, :, None], 80, axis=0)
    assert dhash(np.repeat(ramp, 3, axis=2)) == 2**64 - 1
    assert dhash(np.repeat(ramp[:, ::-1], 3, axis=2)) == 0


def test_an_even_photo_says_nothing() -> None:
    assert dhash(np.full((50, 50, 3), 128, np.uint8)) == 0


@pytest.mark.parametrize("size", [(90, 70), (640, 480), (1000, 300)])
def test_another_size_is_nearly_the_same(size: tuple[int, int]) -> None:
    assert distance(dhash(pixels(1)), dhash(pixels(1, size))) <= 6


def test_recompression_changes_hardly_a_bit() -> None:
    photo = Image.fromarray(pixels(2))
    out = io.BytesIO()
    photo.save(out, "JPEG", quality=60)
    assert distance(dhash(pixels(2)), dhash(np.asarray(Image.open(out)))) <= 3


def test_different_photos_are_far_apart() -> None:
    hashes = [dhash(pixels(seed)) for seed in range(6)]
    assert min(distance(a, b) for i, a in enumerate(hashes) for b in hashes[:i]) > 10


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3)])
def test_tiny_photos_have_a_hash_too(size: tuple[int, int]) -> None:
    assert 0 <= dhash(pixels(1, size)) < 2**64


def test_near_hashes_form_one_group_by_way_of_others() -> None:
    groups = group_near([0b1, 0b11, 0b111, 0xFFFF0000, None, 0b1, 0, 0], max_distance=1)
    assert groups.tolist() == [0, 0, 0, 3, 4, 0, 6, 7]


@given(st.lists(st.integers(1, 2**64 - 1), max_size=30), st.integers(0, 20))
def test_groups_are_those_that_comparing_all_pairs_gives(hashes: list[int], most: int) -> None:
    groups = group_near(hashes, most)
    expected = list(range(len(hashes)))
    for _round in hashes:
        for i, one in enumerate(hashes):
            for j, other in enumerate(hashes):
                if distance(one, other) <= most:
                    expected[i] = expected[j] = min(expected[i], expected[j])
    assert groups.tolist() == expected
