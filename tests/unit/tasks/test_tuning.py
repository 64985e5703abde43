"""Share thresholds are fitted on half of the labelled accounts and measured on the other."""

from pathlib import Path

import pytest

from schemas.bundles import BundleState
from schemas.errors import UsageError
from schemas.posts import Label
from schemas.verdicts import CategoryShare, Verdict
from storage.bundles import find_bundle
from storage.labels import add_labels
from storage.verdicts import save_verdicts
from tasks.context import Context
from tasks.tuning import tune_bundle
from tests.unit.storage.builders import new_post
from tests.unit.tasks.builders import CATEGORIES, add_account, publish_toy_bundle, start_run


def share(category: str, value: float) -> CategoryShare:
    return CategoryShare(
        category=category, posts=round(10 * value), share=value, low=0, high=1,
        threshold=0.28, chosen=value >= 0.28, evidence=(),
    )  # fmt: skip


def judge(resources: Context, bundle_id: str, count: int) -> None:
    """Give accounts verdicts: those about food show it in 60 % of their posts, others in 40 %."""
    concluded = {}
    labels = []
    for number in range(count):
        about_food = number % 2 == 0
        key = add_account(resources, f"cuenta{number}", [new_post("p1")])
        shares = (share("comida", 0.6 if about_food else 0.4), share("deporte", 0.0))
        concluded[key] = [
            Verdict(
                method="nn", categories=("comida",), shares=shares,
                usable=10, unknown=0, lacking=0, enough=True,
            )
        ]  # fmt: skip
        named = ("comida",) if about_food else ()
        labels.append(Label(kind="account", id=f"cuenta{number}", categories=named, labeller="eva"))
    run = start_run(resources, bundle_id, list(concluded))
    with resources.database.write() as connection:
        add_labels(connection, labels)
        save_verdicts(connection, bundle_id=bundle_id, run_id=run.id, concluded=concluded)


@pytest.fixture
def bundle_id(resources: Context, tmp_path: Path) -> str:
    return publish_toy_bundle(resources, tmp_path)


@pytest.mark.parametrize("rule", ["precision", "hamming", "balance"])
def test_a_threshold_is_found_that_tells_the_accounts_apart(
    resources: Context, bundle_id: str, rule: str
) -> None:
    judge(resources, bundle_id, 40)
    found = tune_bundle(resources, bundle_id, rule=rule, target_precision=0.9, seed=0)  # type: ignore[arg-type]
    assert (found.fitted_on, found.measured_on) == (20, 20)
    assert 0.4 < found.thresholds["nn"]["comida"] <= 0.6
    assert found.after["nn"].hamming == 0
    assert found.before["nn"].hamming > 0.1


def test_the_new_bundle_is_a_candidate_of_the_same_models(
    resources: Context, bundle_id: str
) -> None:
    judge(resources, bundle_id, 40)
    found = tune_bundle(resources, bundle_id, rule="precision", target_precision=0.9, seed=0)
    with resources.database.read() as connection:
        info = find_bundle(connection, found.bundle_id)
    before = resources.bundle(bundle_id).manifest
    assert info.state is BundleState.CANDIDATE
    assert info.manifest.files == before.files
    assert info.manifest.training["tuned_from"] == bundle_id
    assert info.manifest.share_thresholds == found.thresholds["nn"]
    assert set(info.manifest.share_thresholds) == set(CATEGORIES)


def test_too_few_labelled_accounts_are_refused(resources: Context, bundle_id: str) -> None:
    judge(resources, bundle_id, 9)
    with pytest.raises(UsageError, match="Only 9 labelled accounts"):
        tune_bundle(resources, bundle_id, rule="precision", target_precision=0.9, seed=0)
