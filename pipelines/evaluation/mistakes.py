"""The worst mistakes: what a method was surest of and wrong, small enough to be looked at."""

import base64
import io
from collections.abc import Sequence

from pipelines.evaluation.methods import MethodPredictions, Truth
from pipelines.vision.decode import PhotoLimits, PhotoTransform, decode_photo
from schemas.base import Frozen
from schemas.errors import PhotoError

SHOWN = 12

_SIDE = 144
_QUALITY = 60
_SQUARE = PhotoTransform(size=_SIDE, crop=1.0, mean=(0, 0, 0), std=(1, 1, 1))


class Mistake(Frozen):
    """One wrong answer: where, what is true, what was said and how surely.

    ``image`` is the photo as a data address, or None where there is none; ``caption`` is what its
    author wrote, ``credit`` whose photo it is.
    """

    place: str
    truth: tuple[str, ...]
    answer: tuple[str, ...]
    probability: float
    caption: str
    image: str | None
    credit: str = ""


def find_mistakes(
    method: MethodPredictions, truth: Truth, classes: Sequence[str], limit: int = SHOWN
) -> list[tuple[int, float]]:
    """Return the items wrongly given a category, surest first, with that category's probability."""
    wrong = []
    for row, (found, true) in enumerate(zip(method.predicted, truth, strict=True)):
        said = found or frozenset[str]()
        strange = [place for place, name in enumerate(classes) if name in said - true]
        if strange:
            sure = max(float(method.probabilities[row, place]) for place in strange)
            wrong.append((-sure, row))
    return [(row, -sure) for sure, row in sorted(wrong)[:limit]]


def make_thumbnail(data: bytes, limits: PhotoLimits) -> str | None:
    """Return a photo's middle square as a small WebP in a data address; None if it is unusable."""
    from PIL import Image

    try:
        pixels = decode_photo(data, _SQUARE, limits)
    except PhotoError:
        return None
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, format="WEBP", quality=_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(target.getvalue()).decode("ascii")
