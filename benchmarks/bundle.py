"""A bundle that nobody trained: for measuring speed, which does not depend on what it learnt."""

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from benchmarks.photos import CATEGORIES
from pipelines.bundle import write_bundle
from pipelines.fusion.network import InputScale, Network
from pipelines.fusion.reduce import Reducer
from pipelines.sources.samples.canvas import seed_random
from pipelines.sources.samples.captions import compose_caption
from pipelines.text.fasttext import train_text_model
from pipelines.vision.backbones import pick_device, resolve_backbone
from pipelines.vision.engines import pick_engine
from storage.bundles import add_bundle, bundle_key
from tasks.context import Context

WIDTH = 128
HIDDEN = 128
CAPTIONS = 600


def publish_untrained_bundle(resources: Context, backbone: str) -> str:
    """Put a bundle of both halves and of the usual widths, with random weights, into the store.

    It is the first, hence active. Its text model is real fastText, trained on drawn captions.
    """
    settings = resources.settings
    engine = pick_engine(backbone, settings.engine, pick_device(settings.device))
    ref = resolve_backbone(backbone, weights_dir=settings.weights, engine=engine).ref
    random = np.random.default_rng(0)
    with TemporaryDirectory(prefix="afin-bench-") as folder:
        text = Path(folder) / "text.bin"
        texts = seed_random("bench/captions")
        captions = [
            compose_caption(CATEGORIES[n % len(CATEGORIES)], texts) for n in range(CAPTIONS)
        ]
        fields = {
            "classes": CATEGORIES,
            "reject": False,
            "halves": ("image", "text"),
            "backbone": ref,
            "text_model": train_text_model(captions, text, width=WIDTH, epochs=1),
            "methods": ("nn",),
            "post_threshold": 0.0,
            "share_thresholds": dict.fromkeys(CATEGORIES, 0.28),
            "min_posts": 1,
            "training": {"note": "random weights: for measuring speed only"},
            "metrics": {},
            "versions": {"afin": version("afin")},
            "seed": 0,
            "created_at": datetime.now(UTC),
        }
        bundle_id, path = write_bundle(
            Path(folder) / "bundles",
            fields,
            reducer=_random_reducer(random, ref.width),
            network=_random_network(random),
            text_model_path=text,
        )
        resources.blobs.publish_folder(bundle_key(bundle_id), path)
        manifest = resources.bundle(bundle_id).manifest
    with resources.database.write() as connection:
        add_bundle(connection, bundle_id, manifest)
    return bundle_id


def _random_reducer(random: np.random.Generator, width: int) -> Reducer:
    components = _normal(random, WIDTH, width) / np.float32(np.sqrt(width))
    return Reducer(np.zeros(width, np.float32), np.ones(width, np.float32), components)


def _random_network(random: np.random.Generator) -> Network:
    scale = InputScale(np.zeros(WIDTH, np.float32), 1.0)
    shapes = ((2 * WIDTH, HIDDEN), (HIDDEN, len(CATEGORIES)))
    layers = tuple((_normal(random, *shape), np.zeros(shape[1], np.float32)) for shape in shapes)
    return Network(scale, scale, layers, ("image", "text"))


def _normal(random: np.random.Generator, rows: int, columns: int) -> NDArray[np.float32]:
    return random.standard_normal((rows, columns), np.float32)
