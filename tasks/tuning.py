"""Fitting the share thresholds of a bundle to accounts that people labelled."""

import random
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.bundle import Bundle, derive_bundle
from pipelines.evaluation.metrics import Scores, score_sets
from pipelines.thresholds import (
    find_balance,
    find_least_hamming,
    fit_thresholds,
    sweep_thresholds,
)
from schemas.base import Frozen
from schemas.errors import UsageError
from schemas.verdicts import StoredVerdict
from storage.bundles import add_bundle, bundle_key, find_bundle
from storage.labels import read_truth
from storage.verdicts import newest_verdicts
from tasks.context import Context

Rule = Literal["precision", "balance", "hamming"]
"""One threshold a category by its precision; or one for all: precision = recall, least Hamming."""

MIN_ACCOUNTS = 10


class Tuning(Frozen):
    """What came of it: the new bundle, its thresholds by method, and both halves' scores.

    ``before`` and ``after`` are scores on the half that nothing was fitted on.
    """

    bundle_id: str
    fitted_on: int
    measured_on: int
    thresholds: dict[str, dict[str, float]]
    before: dict[str, Scores]
    after: dict[str, Scores]


def tune_bundle(
    resources: Context,
    bundle_id: str | None,
    *,
    rule: Rule,
    target_precision: float,
    seed: int,
) -> Tuning:
    """Make a bundle like another one, its share thresholds fitted on half of the labelled accounts.

    Nothing is trained: the shares in the newest verdicts are all it takes. The other half of the
    accounts measures what was gained.

    Raises:
        NotFoundError: there is no such bundle.
        UsageError: fewer than ten labelled accounts have a verdict of that bundle.
    """
    with resources.database.read() as connection:
        info = find_bundle(connection, bundle_id)
        truth = read_truth(connection, "account")
        stored = newest_verdicts(connection, bundle_id=info.id)
    known = sorted((one for one in stored if one.username in truth), key=lambda one: one.username)
    if len(known) < MIN_ACCOUNTS:
        raise UsageError(
            f"Only {len(known)} labelled accounts have a verdict of {info.id}, and {MIN_ACCOUNTS} "
            "are needed: import labels, then 'afin reclassify --all --wait'."
        )
    random.Random(seed).shuffle(known)  # noqa: S311 - a split, not a secret
    fit, test = known[: len(known) // 2], known[len(known) // 2 :]
    manifest = info.manifest
    classes = manifest.classes
    thresholds = {
        method: _fit(fit, _read_truth(fit, truth, classes), method, classes, rule, target_precision)
        for method in manifest.methods
    }
    current = {name: manifest.recipe(name).share_thresholds for name in manifest.methods}
    sets = [truth[one.username] & set(classes) for one in test]
    new_id = _publish(resources, resources.bundle(info.id), thresholds)
    return Tuning(
        bundle_id=new_id,
        fitted_on=len(fit),
        measured_on=len(test),
        thresholds=thresholds,
        before={name: _score(test, sets, name, current[name]) for name in manifest.methods},
        after={name: _score(test, sets, name, thresholds[name]) for name in manifest.methods},
    )


def _fit(
    accounts: Sequence[StoredVerdict],
    truth: NDArray[np.bool_],
    method: str,
    classes: Sequence[str],
    rule: Rule,
    target_precision: float,
) -> dict[str, float]:
    shares = _read_shares(accounts, method, classes)
    points = sweep_thresholds(shares, truth)
    least = find_least_hamming(points).threshold
    if rule == "hamming":
        return dict.fromkeys(classes, least)
    balance = find_balance(points)
    if rule == "balance":
        return dict.fromkeys(classes, balance.threshold if balance else least)
    found = fit_thresholds(shares, truth, classes, target_precision=target_precision)
    # A category with too few accounts of its own takes the threshold that suits all.
    return {one.category: least if one.threshold is None else one.threshold for one in found}


def _read_shares(
    accounts: Sequence[StoredVerdict], method: str, classes: Sequence[str]
) -> NDArray[np.float64]:
    shares = np.zeros((len(accounts), len(classes)))
    for row, one in enumerate(accounts):
        for verdict in one.verdicts:
            if verdict.method == method:
                for share in verdict.shares:
                    shares[row, classes.index(share.category)] = share.share
    return shares


def _read_truth(
    accounts: Sequence[StoredVerdict], truth: dict[str, set[str]], classes: Sequence[str]
) -> NDArray[np.bool_]:
    return np.array([[name in truth[one.username] for name in classes] for one in accounts])


def _score(
    accounts: Sequence[StoredVerdict],
    truth: Sequence[set[str]],
    method: str,
    thresholds: dict[str, float],
) -> Scores:
    classes = tuple(thresholds)
    shares = _read_shares(accounts, method, classes)
    limits = np.array(list(thresholds.values()))
    chosen = (shares >= limits) & (shares > 0)
    predicted = [{classes[place] for place in np.flatnonzero(row)} for row in chosen]
    return score_sets(predicted, truth, classes)


def _publish(resources: Context, bundle: Bundle, thresholds: dict[str, dict[str, float]]) -> str:
    manifest = bundle.manifest
    main, *others = manifest.methods
    recipes = {
        name: manifest.recipes[name].model_copy(update={"share_thresholds": thresholds[name]})
        for name in others
    }
    changes = {
        "share_thresholds": thresholds[main],
        "recipes": recipes,
        "training": {**manifest.training, "tuned_from": bundle.id},
        "created_at": datetime.now(UTC),
    }
    with tempfile.TemporaryDirectory(prefix="afin-bundle-") as folder:
        bundle_id, path = derive_bundle(Path(folder), bundle, changes)
        resources.blobs.publish_folder(bundle_key(bundle_id), path)
    with resources.database.write() as connection:
        add_bundle(connection, bundle_id, resources.bundle(bundle_id).manifest)
    return bundle_id
