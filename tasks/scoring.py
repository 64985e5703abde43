"""Scoring verdicts against what people said of the same accounts."""

from pipelines.evaluation.metrics import Scores, score_sets
from schemas.errors import UsageError
from storage.bundles import find_bundle
from storage.labels import read_truth
from storage.verdicts import newest_verdicts
from tasks.context import Context


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
