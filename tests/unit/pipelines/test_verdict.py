import datetime as dt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.evaluation.metrics import wilson_interval
from pipelines.fusion.network import InputScale, Network
from pipelines.fusion.reduce import Reducer
from pipelines.verdict import EVIDENCE_POSTS, PostVectors, conclude_account, judge_posts
from schemas.bundles import BackboneRef, BundleManifest
from schemas.verdicts import PostOutcome

CLASSES = ("animal", "comida", "moda")


def make_manifest(**changes: Any) -> BundleManifest:
    fields: dict[str, Any] = {
        "classes": CLASSES,
        "reject": True,
        "halves": ("image", "text"),
        "backbone": BackboneRef(name="toy", hash="0", width=4),
        "text_model": None,
        "methods": ("nn",),
        "post_threshold": 0.5,
        "share_thresholds": dict.fromkeys(CLASSES, 0.28),
        "min_posts": 5,
        "training": {},
        "metrics": {},
        "versions": {},
        "seed": 0,
        "created_at": dt.datetime(2026, 1, 5, tzinfo=dt.UTC),
        "files": {},
    }
    return BundleManifest(**fields | changes)


REDUCER = Reducer(np.zeros(4, np.float32), np.ones(4, np.float32), 2 * np.eye(4, dtype=np.float32))
# Value i of either half speaks for class i, the last one for the reject class.
NETWORK = Network(
    InputScale(np.zeros(4, np.float32), 1.0),
    InputScale(np.zeros(4, np.float32), 1.0),
    ((np.vstack([np.eye(4), np.eye(4)]).astype(np.float32), np.zeros(4, np.float32)),),
    ("image", "text"),
)


def point(number: int, length: float = 4.0) -> list[float]:
    return [length if i == number else 0.0 for i in range(4)]


def make_posts(posts: list[tuple[list[list[float]], list[float] | None]]) -> PostVectors:
    """Posts with ids from 100 up, each given as photos' vectors and a text vector or None."""
    photos = [photo for pictures, _ in posts for photo in pictures]
    owners = [row for row, (pictures, _) in enumerate(posts) for _ in pictures]
    return PostVectors(
        post_ids=range(100, 100 + len(posts)),
        photos=np.array(photos, np.float32).reshape(-1, 4),
        owners=np.array(owners, np.int64),
        text=np.array([text or [0.0] * 4 for _, text in posts], np.float32).reshape(-1, 4),
        has_text=np.array([text is not None for _, text in posts], np.bool_),
    )


def judge(
    *posts: tuple[list[list[float]], list[float] | None], **changes: Any
) -> list[PostOutcome]:
    return judge_posts(make_posts(list(posts)), make_manifest(**changes), REDUCER, NETWORK)


def test_a_post_has_its_likeliest_category() -> None:
    outcome = judge(([point(1)], point(1)))[0]
    assert (outcome.post_id, outcome.halves, outcome.category) == (100, "both", "comida")
    assert len(outcome.probabilities) == 4
    assert sum(outcome.probabilities) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("pictures", "text", "halves", "category"),
    [
        ([point(0)], None, "image", "animal"),
        ([], point(2), "text", "moda"),
        ([point(0)], point(2, 20), "both", "moda"),
        ([], None, "none", None),
        ([], [0.0] * 4, "none", None),
    ],
)
def test_a_post_is_judged_by_the_halves_it_has(
    pictures: list[list[float]], text: list[float] | None, halves: str, category: str | None
) -> None:
    outcome = judge((pictures, text))[0]
    assert (outcome.halves, outcome.category) == (halves, category)
    assert bool(outcome.probabilities) == (halves != "none")


@pytest.mark.parametrize(("learnt", "category"), [("image", "animal"), ("text", "moda")])
def test_a_half_that_the_bundle_has_not_learnt_from_is_missing(learnt: str, category: str) -> None:
    both, other = judge(
        ([point(0)], point(2)),
        ([], point(2)) if learnt == "image" else ([point(0)], None),
        halves=(learnt,),
    )
    assert (both.halves, both.category) == (learnt, category)
    assert (other.halves, other.probabilities) == ("none", ())


def test_an_album_is_judged_by_the_mean_of_its_photos() -> None:
    album, mean = judge(
        ([point(0, 3), point(1, 6), point(0, 3)], None), ([[2.0, 2.0, 0.0, 0.0]], None)
    )
    assert album.probabilities == pytest.approx(mean.probabilities, abs=1e-5)


def test_a_photo_whose_vector_is_not_finite_is_left_out() -> None:
    spoilt, only, clean = judge(
        ([point(0), [np.nan] * 4], None), ([[np.inf] * 4], None), ([point(0)], None)
    )
    assert spoilt.probabilities == clean.probabilities
    assert only.halves == "none"


def test_the_reject_class_leaves_a_post_unknown() -> None:
    outcome = judge(([point(3)], None))[0]
    assert outcome.probabilities.index(max(outcome.probabilities)) == 3
    assert outcome.category is None


@pytest.mark.parametrize(("threshold", "category"), [(0.9, None), (0.1, "animal")])
def test_a_post_below_the_threshold_is_unknown(threshold: float, category: str | None) -> None:
    assert judge(([point(0, 0.8)], None), post_threshold=threshold)[0].category == category


def test_a_probability_that_equals_the_threshold_is_enough() -> None:
    top = max(judge(([point(0, 0.8)], None))[0].probabilities)
    assert judge(([point(0, 0.8)], None), post_threshold=top)[0].category == "animal"


def test_photos_may_come_in_any_order() -> None:
    posts = make_posts([([point(0), point(1, 2)], None), ([point(2)], point(1)), ([], point(1))])
    turned = PostVectors(
        posts.post_ids, posts.photos[::-1], posts.owners[::-1], posts.text, posts.has_text
    )
    manifest = make_manifest()
    assert judge_posts(turned, manifest, REDUCER, NETWORK) == judge_posts(
        posts, manifest, REDUCER, NETWORK
    )


def test_no_posts_have_no_outcomes() -> None:
    assert judge() == []


def test_without_image_vectors_a_text_bundle_needs_no_reducer() -> None:
    posts = make_posts([([], point(1))])
    outcome = judge_posts(posts, make_manifest(halves=("text",)), None, NETWORK)[0]
    assert (outcome.halves, outcome.category) == ("text", "comida")


def make_outcome(post_id: int, category: str | None, sure: float = 0.9) -> PostOutcome:
    top = CLASSES.index(category) if category else 3
    probabilities = tuple(sure if i == top else (1 - sure) / 3 for i in range(4))
    return PostOutcome(
        post_id=post_id, halves="image", probabilities=probabilities, category=category
    )


def make_lacking(post_id: int) -> PostOutcome:
    return PostOutcome(post_id=post_id, halves="none", probabilities=(), category=None)


def test_an_account_has_the_categories_whose_share_reaches_the_threshold() -> None:
    known = ["moda"] * 11 + ["animal"] * 7 + ["comida"] * 6 + [None]
    outcomes = [make_outcome(i, category) for i, category in enumerate(known)]
    verdict = conclude_account([*outcomes, make_lacking(90)], make_manifest())
    assert verdict.categories == ("moda", "animal")
    assert [share.share for share in verdict.shares] == [0.44, 0.28, 0.24]
    assert [share.chosen for share in verdict.shares] == [True, True, False]
    assert (verdict.usable, verdict.unknown, verdict.lacking) == (25, 1, 1)
    assert verdict.enough
    assert verdict.method == "nn"


def test_a_share_carries_its_wilson_interval_and_its_own_threshold() -> None:
    outcomes = [make_outcome(i, "moda" if i < 3 else None) for i in range(10)]
    thresholds = {"animal": 0.1, "comida": 0.2, "moda": 0.31}
    verdict = conclude_account(outcomes, make_manifest(share_thresholds=thresholds))
    moda = verdict.shares[0]
    assert (moda.category, moda.threshold, moda.chosen) == ("moda", 0.31, False)
    assert (moda.low, moda.high) == wilson_interval(3, 10)


def test_evidence_is_the_surest_posts_first_and_not_too_many() -> None:
    outcomes = [make_outcome(i, "moda", sure=0.6 + 0.01 * (i // 2)) for i in range(20)]
    evidence = conclude_account(outcomes, make_manifest()).shares[0].evidence
    assert evidence == (18, 19, 16, 17, 14, 15, 12, 13, 10, 11, 8, 9)
    assert len(evidence) == EVIDENCE_POSTS


def test_too_few_posts_give_provisional_categories() -> None:
    verdict = conclude_account([make_outcome(1, "moda")], make_manifest())
    assert verdict.categories == ("moda",)
    assert not verdict.enough


@pytest.mark.parametrize("lacking", [0, 3])
def test_an_account_without_usable_posts_has_no_category(lacking: int) -> None:
    manifest = make_manifest(share_thresholds=dict.fromkeys(CLASSES, 0.0))
    verdict = conclude_account([make_lacking(i) for i in range(lacking)], manifest)
    assert verdict.categories == ()
    assert (verdict.usable, verdict.unknown, verdict.lacking) == (0, 0, lacking)
    assert all((share.share, share.low, share.high) == (0, 0, 1) for share in verdict.shares)
    assert not verdict.enough


accounts = st.lists(st.sampled_from([*CLASSES, "otra", None, "lacking"]), max_size=40).map(
    lambda kinds: [
        make_lacking(i)
        if kind == "lacking"
        else make_outcome(i, kind if kind in CLASSES else None).model_copy(
            update={"category": kind}
        )
        for i, kind in enumerate(kinds)
    ]
)


@given(accounts)
def test_an_unknown_post_never_raises_a_share(outcomes: list[PostOutcome]) -> None:
    before = conclude_account(outcomes, make_manifest())
    after = conclude_account([*outcomes, make_outcome(999, None)], make_manifest())
    shares = {share.category: share.share for share in before.shares}
    assert all(share.share <= shares[share.category] for share in after.shares)
    assert set(after.categories) <= set(before.categories)


@given(accounts)
def test_a_lacking_post_changes_nothing_but_its_count(outcomes: list[PostOutcome]) -> None:
    before = conclude_account(outcomes, make_manifest())
    after = conclude_account([*outcomes, make_lacking(999)], make_manifest())
    assert after == before.model_copy(update={"lacking": before.lacking + 1})


@given(accounts.flatmap(lambda outcomes: st.tuples(st.just(outcomes), st.permutations(outcomes))))
def test_the_order_of_posts_is_irrelevant(
    orders: tuple[list[PostOutcome], list[PostOutcome]],
) -> None:
    one, other = (conclude_account(outcomes, make_manifest()) for outcomes in orders)
    assert one == other


@given(accounts)
def test_shares_are_parts_of_the_usable_posts(outcomes: list[PostOutcome]) -> None:
    verdict = conclude_account(outcomes, make_manifest())
    assert sum(share.share for share in verdict.shares) <= 1 + 1e-9
    assert sum(share.posts for share in verdict.shares) + verdict.unknown == verdict.usable
    assert verdict.usable + verdict.lacking == len(outcomes)


@given(accounts)
def test_the_reject_class_is_never_in_a_verdict(outcomes: list[PostOutcome]) -> None:
    verdict = conclude_account(outcomes, make_manifest())
    assert {share.category for share in verdict.shares} == set(CLASSES)
    assert set(verdict.categories) <= set(CLASSES)
