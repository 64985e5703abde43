"""A bundle of every method is scored, reported and mapped, with its held-out source first."""

from collections.abc import Iterator

import pytest

from pipelines.evaluation.assess import conclude_accounts
from pipelines.evaluation.predict import predict_methods
from pipelines.evaluation.report import find_histories
from schemas.bundles import BundleInfo
from storage.accounts import PhotoPlace
from storage.bundles import find_bundle
from tasks.context import Context, context
from tasks.labelled import read_set
from tasks.reports import build_report, draw_maps
from tasks.scoring import score_set
from tasks.set_vectors import gather_vectors
from tests.adopted import adopted
from tests.unit.storage import builders as rows
from tests.unit.tasks.builders import add_account
from tests.unit.tasks.test_labelled import label
from tests.unit.tasks.training import CLASSES, WORDS, add_photos_of, add_tagged, sha, train

METHODS = ("nn", "weighted", "multi", "nn-sup", "agree", "nn-image", "nn-text")

Trained = tuple[Context, BundleInfo]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """A bundle of many methods, trained without one source, and an account of labelled posts."""
    data_dir = str(tmp_path_factory.mktemp("scoring") / "data")
    memory = {"AFIN_BROKER_URL": "memory://", "AFIN_RESULT_URL": "cache+memory://"}
    with adopted({"AFIN_DATA_DIR": data_dir, **memory}):
        resources = context()
        for category in CLASSES:
            add_photos_of(resources, category, 40, captions=True)
            add_photos_of(resources, category, 12, source="elsewhere")
        for category in CLASSES[:-1]:
            for author in ("ana", "luz", "eva", "pau", "sol", "mar"):
                add_tagged(resources, category, category, 5, author=f"{author}-{category}")
        train(resources, methods=METHODS, holdout_source="elsewhere")
        for category in CLASSES[:-1]:
            add_posts(resources, category)
        with resources.database.read() as connection:
            yield resources, find_bundle(connection)


def add_posts(resources: Context, category: str, posts: int = 6) -> None:
    """An account whose posts show photos of the held-out source, with words of their own."""
    account = [
        rows.new_post(
            str(n),
            caption=f"{WORDS[category]} hoy {n}",
            photos=[PhotoPlace(sha256=sha(f"elsewhere {category} {n}"))],
        )
        for n in range(posts)
    ]
    add_account(resources, f"cuenta_{category}", account)
    label(resources, "account", f"cuenta_{category}", category)
    for n in range(posts):
        label(resources, "post", f"cuenta_{category}/{n}", category)


def test_the_held_out_source_is_cross_source_for_every_method(trained: Trained) -> None:
    resources, info = trained
    found = score_set(resources, info, "photos", "elsewhere").evaluation
    assert (found.relation, found.items, found.seen) == ("cross-source", 48, 0)
    assert {row.name for row in found.table.rows} == set(METHODS) - {"nn-text"}
    best = found.best
    assert best.top is not None
    assert best.top > 0.6


def test_posts_are_judged_by_the_halves_that_each_method_reads(trained: Trained) -> None:
    resources, info = trained
    found = score_set(resources, info, "posts", "ana").evaluation
    halves: dict[str, list[str]] = {}
    for row in found.table.rows:
        halves.setdefault(row.name, []).append(row.halves)
    assert list(halves) == list(info.manifest.methods)
    assert halves["nn-image"] == ["image"]
    assert halves["nn-text"] == ["text"]
    assert halves["agree"] == ["both"]
    assert halves["nn"] == halves["multi"] == ["image", "text", "both"]


def test_accounts_are_concluded_as_verdicts_are(trained: Trained) -> None:
    resources, info = trained
    bundle, classes = resources.bundle(info.id), info.manifest.classes
    items = read_set(resources, "accounts", "ana", [info.manifest]).items
    owners = [item.owner for item in items]
    accounts = sorted(set(owners))
    vectors = gather_vectors(resources, info.id, items, lambda _done, _total: None)
    methods = [one for one in predict_methods(bundle, vectors) if one.halves == "both"]
    assert {one.name for one in methods} == set(METHODS) - {"nn-image", "nn-text"}
    for one in conclude_accounts(methods, owners, accounts, classes, info.manifest):
        outcomes = bundle.judge(vectors, one.name)
        for account, found in zip(accounts, one.predicted, strict=True):
            own = [o for o, owner in zip(outcomes, owners, strict=True) if owner == account]
            assert set(found or ()) == set(bundle.conclude(own, one.name).categories)


def test_a_report_maps_photos_and_both_kinds_of_words(trained: Trained) -> None:
    resources, info = trained
    found = build_report(resources, info)
    assert {each.kind for each in found.evaluations} == {"photos", "posts", "accounts"}
    assert found.training == {**find_histories(info.manifest.metrics), **found.training}
    names = [drawing.name for drawing in draw_maps(resources, info, points=60)]
    assert names == ["map-image", "map-text", "map-text-supervised"]
