"""Any text model: what all of them can do, and how one is loaded from its description."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.text.fasttext import TextModel
from pipelines.text.sentences import SentenceModel
from schemas.bundles import TextModelRef


class CaptionModel(Protocol):
    """What turns captions into vectors: fastText or a sentence model."""

    @property
    def ref(self) -> TextModelRef:
        """Which model it is."""

    def embed(self, captions: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return vectors ``(n, width)``, and which captions are usable ``(n,)``; zeros if not."""


def load_model(ref: TextModelRef, path: Path) -> CaptionModel:
    """Load the model a reference describes: of a package, else the fastText file at ``path``.

    Raises:
        WeightsError: it comes with a package that is not installed here.
        BundleError: the installed package has other weights, or the file is no fastText model.
        NotFoundError: there is no such file.
    """
    return TextModel.load(path) if ref.package is None else SentenceModel.load(ref)
