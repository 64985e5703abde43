"""One labelled set judged by every method: all that a report says of it, as one document."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from pipelines.evaluation.confusion import Confusion, count_confusions
from pipelines.evaluation.methods import (
    MethodPredictions,
    MethodRow,
    MethodTable,
    Truth,
    compare_methods,
)
from pipelines.evaluation.sweeps import (
    ThresholdSweep,
    Tradeoff,
    WeightSweep,
    sweep_thresholds,
    sweep_weights,
    trace_tradeoffs,
)
from schemas.base import Frozen
from schemas.bundles import BundleManifest

SetKind = Literal["photos", "posts", "accounts"]

Relation = Literal["cross-source", "same source", "labelled"]
"""A source no photo of which was trained on, one of which some were, or people's labels."""


class SetEvaluation(Frozen):
    """How every method of a bundle does on one labelled set.

    ``seen`` photos or posts were trained on and are left out of everything. ``confusion``,
    ``tradeoffs`` and the sweep of thresholds are those of the best method.
    """

    bundle: str
    kind: SetKind
    name: str
    relation: Relation
    items: int
    seen: int
    notes: tuple[str, ...]
    table: MethodTable
    confusion: Confusion | None = None
    tradeoffs: tuple[Tradeoff, ...] = ()
    weights: WeightSweep | None = None
    thresholds: ThresholdSweep | None = None

    @property
    def best(self) -> MethodRow:
        """The row of the best method."""
        return next(row for row in self.table.rows if row.best)


def assess_items(
    methods: Sequence[MethodPredictions],
    truth: Truth,
    classes: Sequence[str],
    *,
    bundle: str,
    kind: SetKind,
    name: str,
    relation: Relation,
    groups: Sequence[Hashable],
    seen: int = 0,
    notes: Sequence[str] = (),
) -> SetEvaluation:
    """Judge every method on photos or posts; ``truth`` and ``groups`` have an entry an item."""
    table = compare_methods(methods, truth, classes, groups=groups)
    best = find_best(methods, table)
    image, text = (_find_half(methods, best.name, half) for half in ("image", "text"))
    return SetEvaluation(
        bundle=bundle,
        kind=kind,
        name=name,
        relation=relation,
        items=len(truth),
        seen=seen,
        notes=tuple(notes),
        table=table,
        confusion=count_confusions(best, truth, classes),
        tradeoffs=tuple(trace_tradeoffs(best, truth, classes)),
        weights=sweep_weights(image, text, truth, classes) if image and text else None,
    )


def assess_accounts(
    concluded: Sequence[MethodPredictions],
    truth: Truth,
    classes: Sequence[str],
    *,
    bundle: str,
    name: str,
    seen: int = 0,
    notes: Sequence[str] = (),
) -> SetEvaluation:
    """Judge what ``conclude_accounts`` made of accounts; ``truth`` has an entry an account."""
    table = compare_methods(concluded, truth, classes, calibrated=False)
    best = find_best(concluded, table)
    return SetEvaluation(
        bundle=bundle,
        kind="accounts",
        name=name,
        relation="labelled",
        items=len(truth),
        seen=seen,
        notes=tuple(notes),
        table=table,
        thresholds=sweep_thresholds(best.probabilities, truth, classes),
    )


def conclude_accounts(
    methods: Sequence[MethodPredictions],
    owners: Sequence[str],
    accounts: Sequence[str],
    classes: Sequence[str],
    manifest: BundleManifest,
) -> list[MethodPredictions]:
    """Turn what methods say of posts into their accounts' shares ``(a, k)`` and categories.

    ``owners`` names the account of each post. An account has a category from its method's least
    share of usable posts on, unknown ones included; one that the method abstains from, never.
    """
    return [_conclude(method, owners, accounts, classes, manifest) for method in methods]


def find_best(methods: Sequence[MethodPredictions], table: MethodTable) -> MethodPredictions:
    """Return what the best method of a table said."""
    return next(m for m, row in zip(methods, table.rows, strict=True) if row.best)


def _find_half(
    methods: Sequence[MethodPredictions], name: str, half: str
) -> MethodPredictions | None:
    return next((m for m in methods if m.name == name and m.halves == half), None)


def _conclude(
    method: MethodPredictions,
    owners: Sequence[str],
    accounts: Sequence[str],
    classes: Sequence[str],
    manifest: BundleManifest,
) -> MethodPredictions:
    """Turn what a method says of posts into the shares and categories of their accounts."""
    places = {name: row for row, name in enumerate(accounts)}
    counts = np.zeros((len(accounts), len(classes)))
    usable = np.zeros(len(accounts))
    for owner, found, judged in zip(owners, method.predicted, method.judged, strict=True):
        if judged:
            usable[places[owner]] += 1
            counts[places[owner]] += [name in (found or ()) for name in classes]
    shares = counts / np.maximum(usable, 1)[:, None]
    recipe = manifest.recipe(method.name)
    limits = np.array([recipe.share_thresholds[name] for name in classes])
    speaks = np.array([name not in recipe.abstains for name in classes])
    chosen = (shares >= limits) & (shares > 0) & speaks
    return replace(
        method,
        probabilities=shares.astype(np.float32),
        judged=usable > 0,
        predicted=[
            frozenset(name for name, on in zip(classes, row, strict=True) if on) if posts else None
            for row, posts in zip(chosen.tolist(), usable.tolist(), strict=True)
        ],
    )
