"""All samples of a training as arrays, kept by one stage for those that learn from them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.split import FIT, HOLDOUT, VALIDATION, Part
from tasks.context import Context
from tasks.marks import stage_key
from tasks.samples import TrainingSet
from tasks.stages import Outputs

Floats = NDArray[np.float32]

_FILE = "samples.safetensors"
_PARTS: tuple[Part, ...] = (FIT, VALIDATION, HOLDOUT)


@dataclass(frozen=True)
class Arrays:
    """Samples in order; a row of zeros is a missing half.

    ``image (n, w)`` is reduced; ``text (n, d)`` holds captions without query tags, ``as_written``
    the same with them, ``supervised (n, s)`` those of the supervised model. ``parts (n,)`` are
    places in fit, validation, holdout; ``things (n,)`` number what samples with several labels
    have in common. ``whole (n, d)`` are the image vectors before they were reduced; they are read
    again where they are wanted, and not kept here.
    """

    image: Floats
    text: Floats
    as_written: Floats
    supervised: Floats
    labels: NDArray[np.int64]
    parts: NDArray[np.int64]
    things: NDArray[np.int64]
    whole: Floats | None = None

    @classmethod
    def gather(cls, training: TrainingSet, image: Floats, texts: Mapping[str, Floats]) -> "Arrays":
        """Bring a training set and its vectors together."""
        firsts: dict[str, int] = {}
        things = [firsts.setdefault(s.name, row) for row, s in enumerate(training.samples)]
        return cls(
            image=image,
            labels=training.labels,
            parts=np.array([_PARTS.index(part) for part in training.parts], np.int64),
            things=np.array(things, np.int64),
            **texts,
        )

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "Arrays":
        """Return only some rows."""
        own = {name: array[rows] for name, array in vars(self).items() if array is not None}
        return Arrays(**own)

    def of(self, part: Part) -> NDArray[np.bool_]:
        """Return which rows belong to a part."""
        found: NDArray[np.bool_] = self.parts == _PARTS.index(part)
        return found


def save_arrays(resources: Context, mark: str, arrays: Arrays) -> None:
    """Keep the arrays under the mark of the stage that made them."""
    from safetensors.numpy import save

    kept = {name: array for name, array in vars(arrays).items() if array is not None}
    tensors = {name: np.ascontiguousarray(array) for name, array in kept.items()}
    resources.blobs.write(stage_key("reduce", mark, _FILE), save(tensors))


def read_arrays(resources: Context, outputs: Outputs) -> Arrays:
    """Read the arrays of a run."""
    from safetensors.numpy import load

    key = stage_key("reduce", outputs["reduce"]["mark"], _FILE)
    return Arrays(**load(resources.blobs.read(key)))
