"""The methods a training can make, and the classifiers that each of them needs."""

from typing import Literal

from schemas.base import Frozen
from schemas.bundles import NETWORK_HEAD, Half
from schemas.errors import UsageError


class HeadPlan(Frozen):
    """A classifier to train: of which kind, on which halves, and on which text model's vectors."""

    kind: Literal["network", "multilabel", "svm", "concepts"]
    halves: tuple[Half, ...]
    supervised: bool = False


class MethodPlan(Frozen):
    """A method to make: how it joins its heads, and what it is in words."""

    kind: Literal["head", "weighted", "agree"]
    heads: tuple[str, ...]
    meaning: str
    several: bool = False


BOTH: tuple[Half, ...] = ("image", "text")

HEADS: dict[str, HeadPlan] = {
    NETWORK_HEAD: HeadPlan(kind="network", halves=BOTH),
    "network-supervised": HeadPlan(kind="network", halves=BOTH, supervised=True),
    "network-image": HeadPlan(kind="network", halves=("image",)),
    "network-text": HeadPlan(kind="network", halves=("text",)),
    "multilabel": HeadPlan(kind="multilabel", halves=BOTH),
    "concepts": HeadPlan(kind="concepts", halves=BOTH),
    "svm": HeadPlan(kind="svm", halves=BOTH),
    "svm-image": HeadPlan(kind="svm", halves=("image",)),
    "svm-text": HeadPlan(kind="svm", halves=("text",)),
}

METHODS: dict[str, MethodPlan] = {
    "nn": MethodPlan(
        kind="head", heads=(NETWORK_HEAD,), meaning="network over image and unsupervised text"
    ),
    "svm": MethodPlan(kind="head", heads=("svm",), meaning="SVM over image and text"),
    "weighted": MethodPlan(
        kind="weighted",
        heads=("network-image", "svm-text"),
        meaning="image network and text SVM, weighted",
    ),
    "multi": MethodPlan(
        kind="head",
        heads=("multilabel",),
        meaning="a yes or no for each category, over image and text",
        several=True,
    ),
    "concepts": MethodPlan(
        kind="head",
        heads=("concepts",),
        meaning="the backbone's own classifier of ImageNet, corrected by image and text",
    ),
    "nn-sup": MethodPlan(
        kind="head",
        heads=("network-supervised",),
        meaning="network over image and supervised text",
    ),
    "agree": MethodPlan(
        kind="agree",
        heads=(NETWORK_HEAD, "network-supervised"),
        meaning="what both networks say, else unknown",
    ),
    "nn-image": MethodPlan(kind="head", heads=("network-image",), meaning="network, image alone"),
    "nn-text": MethodPlan(kind="head", heads=("network-text",), meaning="network, text alone"),
    "svm-image": MethodPlan(kind="head", heads=("svm-image",), meaning="SVM, image alone"),
    "svm-text": MethodPlan(kind="head", heads=("svm-text",), meaning="SVM, text alone"),
}

DEFAULT_METHODS = ("nn", "svm", "weighted", "multi")
"""What a training makes unless told otherwise, as far as there are captions for it."""


def parse_methods(text: str) -> tuple[str, ...]:
    """Turn ``all`` or ``nn,svm,…`` into methods; ``nn`` is always the first.

    Raises:
        UsageError: a name is unknown.
    """
    named = [part.strip() for part in text.split(",") if part.strip()]
    if named == ["all"]:
        return tuple(METHODS)
    strange = [name for name in named if name not in METHODS]
    if strange:
        raise UsageError(f"Unknown method {strange[0]!r}: use all, or {', '.join(METHODS)}.")
    return tuple(dict.fromkeys(["nn", *named]))
