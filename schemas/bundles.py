"""What one model version is made of and how it describes itself."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from schemas.base import Frozen

Half = Literal["image", "text"]


class TunedWeights(Frozen):
    """Fine-tuned weights: the sha256 of their file, and the side in pixels of photos they want."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    input_size: int


class BackboneRef(Frozen):
    """Which network made a vector.

    ``hash`` covers architecture, weights, preprocessing and whatever in the engine changes
    numbers: two vectors may be compared only if their hashes are equal. ``width`` is the length
    of a vector (512 for ResNet-34, 1280 for EfficientNet-Lite0). ``tuned`` names weights of our own
    making, kept in the blob store; None: those published under ``name``.
    """

    name: str
    hash: str
    width: int
    tuned: TunedWeights | None = None


class TextModelRef(Frozen):
    """Which text model made a caption's vector; ``hash`` is that of its file."""

    name: str
    hash: str
    width: int


class BundleState(StrEnum):
    """Whether a bundle judges accounts now, could, or no longer does."""

    CANDIDATE = "candidate"
    ACTIVE = "active"
    RETIRED = "retired"


class BundleManifest(Frozen):
    """Everything needed to judge a post again the same way.

    ``classes`` are the categories in probability order; with ``reject`` a last class follows that
    means none of them. ``halves`` are those the network has learnt from: the other half of a post
    is ignored. ``post_threshold`` is the least probability at which a post has its top category;
    ``share_thresholds`` the least share of posts at which an account has a category. ``files``
    maps each file of the bundle to its sha256.
    """

    format: Literal[1] = 1
    classes: tuple[str, ...] = Field(min_length=1)
    reject: bool
    halves: tuple[Half, ...] = Field(min_length=1)
    backbone: BackboneRef
    text_model: TextModelRef | None
    methods: tuple[str, ...]
    post_threshold: float
    share_thresholds: dict[str, float]
    min_posts: int
    training: dict[str, Any]
    metrics: dict[str, Any]
    versions: dict[str, str]
    seed: int
    created_at: datetime
    files: dict[str, str]


class BundleInfo(Frozen):
    """A bundle as listed."""

    id: str
    state: BundleState
    manifest: BundleManifest
