"""Every engine that serves a backbone is true to float32 on real photos."""

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from pipelines.vision.backbones import Backbone, load_backbone
from pipelines.vision.decode import PhotoLimits, decode_photo
from pipelines.vision.engines import has_openvino

NAME = "efficientnet_lite0"
LIMITS = PhotoLimits(max_bytes=32 * 2**20, max_pixels=64_000_000)
LEARN_EVERY, TRY_EVERY = 9, 3
BATCH = 16

LEAST_COSINE = 0.999
LEAST_SAME_CATEGORY = 0.995

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.mark.skipif(not has_openvino(), reason="needs the extra openvino")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_openvino_sees_in_real_photos_what_torch_sees(shared_data: Path, tmp_path: Path) -> None:
    exact = load_backbone(NAME, device="cpu", weights_dir=tmp_path, engine="torch")
    fast = load_backbone(NAME, device="cpu", weights_dir=tmp_path, engine="openvino")
    learnt, labels = read_photos(shared_data, "train", every=LEARN_EVERY)
    photos, _ = read_photos(shared_data, "influencers", every=TRY_EVERY)
    head = LogisticRegression(max_iter=300).fit(embed(exact, learnt), labels)
    expected, vectors = embed(exact, photos), embed(fast, photos)
    norms = np.linalg.norm(expected, axis=1) * np.linalg.norm(vectors, axis=1)
    assert ((expected * vectors).sum(axis=1) / norms).min() >= LEAST_COSINE
    same = head.predict(expected) == head.predict(vectors)
    assert same.mean() >= LEAST_SAME_CATEGORY


def read_photos(folder: Path, split: str, *, every: int) -> tuple[list[Path], NDArray[np.str_]]:
    with (folder / "PHOTOS.tsv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["split"] == split][
            ::every
        ]
    return [folder / row["file"] for row in rows], np.array([row["category"] for row in rows])


def embed(backbone: Backbone, paths: list[Path]) -> NDArray[np.float32]:
    parts = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
    return np.concatenate(
        [
            backbone.embed(
                np.stack([decode_photo(p.read_bytes(), backbone.transform, LIMITS) for p in part])
            )
            for part in parts
        ]
    )
