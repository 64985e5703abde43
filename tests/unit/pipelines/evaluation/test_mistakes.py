"""The surest wrong answers come first; broken photos leave a gap and no error."""

import base64
import io

import numpy as np
from PIL import Image

from pipelines.evaluation.mistakes import find_mistakes, make_thumbnail
from pipelines.vision.decode import PhotoLimits
from tests.unit.pipelines.evaluation.builders import CLASSES, method, sets

LIMITS = PhotoLimits(max_bytes=10**6, max_pixels=10**6)


def test_only_categories_wrongly_given_are_mistakes_and_the_surest_lead() -> None:
    said = method([[0.6, 0.4], [0.1, 0.9], [0.8, 0.2], [0.3, 0.3], [0.0, 1.0]])
    truth = sets("deporte", "", "comida", "moda", "deporte comida")
    assert [row for row, _sure in find_mistakes(said, truth, CLASSES)] == [1, 0]
    ((row, sure),) = find_mistakes(said, truth, CLASSES, limit=1)
    assert (row, round(sure, 3)) == (1, 0.9)


def test_a_thumbnail_is_a_small_square_without_the_photos_metadata() -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 500, 3), np.uint8))
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    data = io.BytesIO()
    photo.save(data, format="JPEG", exif=exif)
    found = make_thumbnail(data.getvalue(), LIMITS)
    assert found is not None
    head, _comma, body = found.partition(",")
    assert head == "data:image/webp;base64"
    raw = base64.b64decode(body)
    assert b"where I live" not in raw
    assert Image.open(io.BytesIO(raw)).size == (144, 144)


def test_what_is_no_photo_has_no_thumbnail() -> None:
    assert make_thumbnail(b"<html>", LIMITS) is None
