"""Comparing two bundles on posts that neither was trained on."""

from collections.abc import Sequence

from pipelines.evaluation.assess import (
    SetEvaluation,
    SetKind,
    assess_accounts,
    assess_items,
    conclude_accounts,
)
from pipelines.evaluation.methods import MethodPredictions
from pipelines.evaluation.predict import predict_methods
from pipelines.evaluation.rivals import name_apart, narrow
from schemas.bundles import BundleInfo
from schemas.errors import UsageError
from tasks.context import Context
from tasks.labelled import EVERYBODY, LabelledSet, list_sets, read_set
from tasks.scoring import describe_truth
from tasks.set_vectors import Step, gather_vectors


def choose_common_set(resources: Context) -> tuple[SetKind, str]:
    """Return the set that says most of bundles: labelled posts, else accounts, else photos.

    Raises:
        UsageError: nothing is labelled.
    """
    with resources.database.read() as connection:
        there_are = list_sets(connection)
    if there_are["posts"]:
        return "posts", EVERYBODY
    if there_are["accounts"]:
        return "accounts", EVERYBODY
    if not there_are["photos"]:
        raise UsageError(
            "Nothing is labelled that bundles could be compared on: 'afin import labels' and "
            "'afin import photos' add some."
        )
    return "photos", max(there_are["photos"], key=lambda name: there_are["photos"][name])


def compare_bundles(
    resources: Context,
    first: BundleInfo,
    second: BundleInfo,
    kind: SetKind,
    name: str,
    *,
    on_step: Step = lambda _done, _total: None,
) -> SetEvaluation:
    """Score the methods of two bundles on the same items, which neither was trained on.

    Only categories that both know are asked for; each bundle keeps its own thresholds.

    Raises:
        NotFoundError: there is no such set.
        UsageError: the bundles share no category, are one and the same, or nothing can be scored.
    """
    if first.id == second.id:
        raise UsageError(f"Both names mean {first.id}: name two bundles ('afin models list').")
    shared = [name for name in first.manifest.classes if name in second.manifest.classes]
    if not shared:
        raise UsageError(f"{first.id} and {second.id} have no category in common.")
    labelled = read_set(resources, kind, name, [first.manifest, second.manifest])
    methods: list[MethodPredictions] = []
    for info in (first, second):
        vectors = gather_vectors(resources, info.id, labelled.items, on_step)
        said = predict_methods(resources.bundle(info.id), vectors)
        own, reject = info.manifest.classes, info.manifest.reject
        said = [narrow(each, own, shared, reject=reject) for each in said]
        methods += name_apart(info.id, _conclude(info, labelled, said, shared))
    if not methods:
        raise UsageError(f"Neither bundle has anything to judge the {kind} {name!r} by.")
    return _assess(f"{first.id} {second.id}", labelled, methods, shared)


def _conclude(
    info: BundleInfo,
    labelled: LabelledSet,
    said: list[MethodPredictions],
    shared: Sequence[str],
) -> list[MethodPredictions]:
    if labelled.kind != "accounts":
        return said
    owners = [item.owner for item in labelled.items]
    return conclude_accounts(said, owners, list(labelled.accounts), shared, info.manifest)


def _assess(
    bundles: str,
    labelled: LabelledSet,
    methods: Sequence[MethodPredictions],
    shared: Sequence[str],
) -> SetEvaluation:
    notes = (*labelled.notes, *describe_truth(labelled, shared))
    if labelled.kind == "accounts":
        return assess_accounts(
            methods,
            list(labelled.accounts.values()),
            shared,
            bundle=bundles,
            name=labelled.name,
            seen=labelled.seen,
            notes=notes,
        )
    return assess_items(
        methods,
        [item.truth for item in labelled.items],
        shared,
        bundle=bundles,
        kind=labelled.kind,
        name=labelled.name,
        relation=labelled.relation,
        groups=[item.owner for item in labelled.items],
        seen=labelled.seen,
        notes=notes,
    )
