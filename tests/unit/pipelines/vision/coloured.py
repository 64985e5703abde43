"""Small photos in classes that a network tells apart within seconds: noise in one colour each."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.vision.backbones import BackboneSpec, resolve_backbone
from pipelines.vision.decode import PhotoLimits
from pipelines.vision.loading import LabelledPhotos
from schemas.errors import PhotoError
from schemas.finetuning import FineTuning, parse_finetuning

LIMITS = PhotoLimits(max_bytes=1_000_000, max_pixels=1_000_000)
CLASSES = 2


def draw_coloured(number: int, side: int = 40) -> bytes:
    """Draw the photo of that number; odd ones are green, even ones red."""
    pixels = np.random.default_rng(number).integers(0, 80, (side, side, 3)).astype(np.uint8)
    pixels[..., number % CLASSES] += 120
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def coloured(count: int, broken: tuple[int, ...] = ()) -> LabelledPhotos:
    """As many photos, of which some cannot be read."""

    def read(row: int) -> bytes:
        if row in broken:
            raise PhotoError("broken", "Broken on purpose.")
        return draw_coloured(row)

    labels = np.arange(count, dtype=np.int64) % CLASSES
    return LabelledPhotos([f"photo {row}" for row in range(count)], labels, read, LIMITS)


def untrained(name: str = "test_resnet") -> BackboneSpec:
    """A small network with weights drawn by lot."""
    return resolve_backbone(name, weights_dir=Path("/nonexistent"), weights="random")


def quick(preset: str = "thesis", *changes: str) -> FineTuning:
    """A preset's settings for tiny photos and few epochs."""
    small = ("epochs=3", "input_size=32", "batch_size=8", "rate=0.02")
    return parse_finetuning(preset, [*small, *changes])
