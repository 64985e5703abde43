"""Scoring bundles against what people said: stored verdicts, and any labelled set."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pipelines.evaluation.assess import (
    SetEvaluation,
    SetKind,
    assess_accounts,
    assess_items,
    conclude_accounts,
    find_best,
)
from pipelines.evaluation.methods import MethodPredictions
from pipelines.evaluation.metrics import Scores, score_sets
from pipelines.evaluation.predict import predict_methods
from schemas.bundles import BundleInfo
from schemas.categories import OTRA
from schemas.errors import UsageError
from storage.bundles import find_bundle
from storage.labels import read_truth
from storage.verdicts import newest_verdicts
from tasks.context import Context
from tasks.labelled import Item, LabelledSet, read_set
from tasks.set_vectors import Step, gather_vectors


def score_accounts(resources: Context, *, bundle_id: str | None = None) -> Scores:
    """Score the newest verdicts of a bundle (the active one by default) on labelled accounts.

    Only the categories that the bundle knows count; of those that a labeller named besides, the
    bundle cannot be asked.

    Raises:
        NotFoundError: there is no such bundle.
        UsageError: no account has both a label and a verdict of that bundle.
    """
    with resources.database.read() as connection:
        bundle = find_bundle(connection, bundle_id)
        truth = read_truth(connection, "account")
        stored = newest_verdicts(connection, bundle_id=bundle.id)
    classes = bundle.manifest.classes
    known = [one for one in stored if one.username in truth]
    if not known:
        raise UsageError(
            f"No labelled account has a verdict of {bundle.id}: import accounts with their "
            "categories (or 'afin import labels'), then 'afin reclassify --all --wait'."
        )
    return score_sets(
        [one.verdicts[0].categories for one in known],
        [truth[one.username] & set(classes) for one in known],
        classes,
    )


@dataclass(frozen=True)
class ScoredSet:
    """A set as scored, with what the figures of a report need besides."""

    evaluation: SetEvaluation
    items: Sequence[Item]
    best: MethodPredictions


def score_set(
    resources: Context,
    info: BundleInfo,
    kind: SetKind,
    name: str,
    *,
    on_step: Step = lambda _done, _total: None,
) -> ScoredSet:
    """Score every method of a bundle on a labelled set, without what it was trained on.

    Raises:
        NotFoundError: there is no such set.
        UsageError: nothing of it can be scored.
        WeightsError: vectors are missing, and the bundle's backbone cannot be had here.
    """
    labelled = read_set(resources, kind, name, [info.manifest])
    vectors = gather_vectors(resources, info.id, labelled.items, on_step)
    methods = predict_methods(resources.bundle(info.id), vectors)
    if not methods:
        raise UsageError(
            f"Nothing of the {kind} {name!r} can be judged: no photo of theirs could be used and "
            "no caption has a word that the bundle knows."
        )
    return _assess(info, labelled, methods)


def _assess(
    info: BundleInfo, labelled: LabelledSet, methods: Sequence[MethodPredictions]
) -> ScoredSet:
    classes, items = info.manifest.classes, labelled.items
    notes = (*labelled.notes, *describe_truth(labelled, classes))
    if labelled.kind == "accounts":
        owners = [item.owner for item in items]
        methods = conclude_accounts(
            methods, owners, list(labelled.accounts), classes, info.manifest
        )
        evaluation = assess_accounts(
            methods,
            list(labelled.accounts.values()),
            classes,
            bundle=info.id,
            name=labelled.name,
            seen=labelled.seen,
            notes=notes,
        )
    else:
        evaluation = assess_items(
            methods,
            [item.truth for item in items],
            classes,
            bundle=info.id,
            kind=labelled.kind,
            name=labelled.name,
            relation=labelled.relation,
            groups=[item.owner for item in items],
            seen=labelled.seen,
            notes=notes,
        )
    return ScoredSet(evaluation, items, find_best(methods, evaluation.table))


def describe_truth(labelled: LabelledSet, classes: Collection[str]) -> list[str]:
    """Say which categories of the labels cannot be asked for."""
    truths = labelled.accounts.values() or [item.truth for item in labelled.items]
    strange = Counter(name for truth in truths for name in truth - set(classes) - {OTRA})
    if not strange:
        return []
    listed = ", ".join(f"{name} {count}" for name, count in sorted(strange.items()))
    return [f"Categories that are not asked for and count as none of them: {listed}."]
