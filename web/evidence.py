"""All that is known of one account, gathered for its page and its API."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from schemas.base import Frozen
from schemas.bundles import BundleManifest
from schemas.errors import AfinError
from schemas.verdicts import CategoryShare, Halves, PostOutcome, Verdict
from storage.accounts import AccountRow, PostRow, account_posts, find_account
from storage.bundles import find_bundle
from storage.overrides import Override, list_overrides
from storage.photos import read_credits
from storage.standings import (
    PRIMARY,
    Standing,
    main_document,
    main_verdict,
    read_standings,
)
from storage.tables import bundles, verdicts
from storage.verdicts import newest_verdicts, read_outcomes
from storage.word_evidence import WordWeight, read_words
from tasks.context import Context
from tasks.explain import Judged, judge_halves

POSTS_EXPLAINED = 300
"""Posts judged by each half for one page: more would keep its reader waiting."""

PHOTOS_SHOWN = 6
HISTORY = 20


class Past(Frozen):
    """An earlier verdict, by whichever bundle."""

    bundle_id: str
    run_id: int
    categories: tuple[str, ...]
    shares: dict[str, float]
    concluded_at: datetime


class Probability(Frozen):
    """What image alone, text alone and both say of a category for one post; None: not judged."""

    category: str
    image: float | None
    text: float | None
    both: float | None


class PostView(Frozen):
    """A post with what was made of it; ``probabilities`` come likeliest first.

    ``credit`` is that of the photo shown first.
    """

    id: int
    external_id: str
    caption: str
    posted_at: datetime | None
    likes: int | None
    comments: int | None
    photos: tuple[str, ...]
    credit: str
    problems: tuple[str, ...]
    halves: Halves | None
    category: str | None
    sure: float | None
    probabilities: tuple[Probability, ...]


class AccountView(Frozen):
    """An account with verdict, evidence, history and what people said of it."""

    account: AccountRow
    standing: Standing | None
    verdict: Verdict | None
    others: tuple[Verdict, ...]
    posts: tuple[PostView, ...]
    history: tuple[Past, ...]
    overrides: tuple[Override, ...]
    words: dict[str, tuple[WordWeight, ...]] | None
    has_text: bool

    @property
    def override(self) -> Override | None:
        """The analyst's word in force, if there is one."""
        newest = self.overrides[0] if self.overrides else None
        return newest if newest is not None and newest.categories is not None else None

    @property
    def top(self) -> CategoryShare | None:
        """The largest share."""
        return self.verdict.shares[0] if self.verdict and self.verdict.shares else None


def read_account(resources: Context, username: str) -> AccountView:
    """Gather everything about one account.

    Raises:
        NotFoundError: no account has that name.
    """
    with resources.database.read() as connection:
        account = find_account(connection, username)
        posts = account_posts(connection, [account.id])[account.id]
        stored = newest_verdicts(connection, [account.id])
        standing = read_standings(connection, [account.id]).get(account.id)
        history = read_history(connection, account.id)
        overrides = tuple(list_overrides(connection, account.id))
        credits_of = read_credits(
            connection, {place.sha256 for post in posts for place in post.photos if place.sha256}
        )
        manifest, judged, words = None, {}, None
        if stored:
            bundle_id = stored[0].bundle_id
            manifest = find_bundle(connection, bundle_id).manifest
            judged = _outcomes(connection, bundle_id, posts)
            words = read_words(connection, account.id, bundle_id)
    halves: dict[str, Judged] = {}
    if stored:
        shown = posts[-POSTS_EXPLAINED:]
        halves = _halves(resources, stored[0].bundle_id, account.id, shown)
    found = stored[0].verdicts if stored else ()
    main = main_verdict(found)
    return AccountView(
        account=account,
        standing=standing,
        verdict=main,
        others=tuple(one for one in found if one is not main),
        posts=tuple(
            view_post(post, manifest, judged.get(post.id), halves, credits_of) for post in posts
        ),
        history=history,
        overrides=overrides,
        words=words,
        has_text=manifest is not None and "text" in manifest.halves,
    )


def view_post(
    post: PostRow,
    manifest: BundleManifest | None,
    outcome: PostOutcome | None,
    halves: dict[str, Judged],
    credits_of: Mapping[str, str],
) -> PostView:
    """Bring together what is stored of a post and what its halves say alone."""
    probabilities: list[Probability] = []
    if manifest is not None:
        image = halves.get("image", {}).get(post.id)
        text = halves.get("text", {}).get(post.id)
        names = (*manifest.classes, *(("otra",) if manifest.reject else ()))
        probabilities = [
            Probability(
                category=name,
                image=_at(image, place),
                text=_at(text, place),
                both=_at(outcome, place),
            )
            for place, name in enumerate(names)
        ]
        probabilities.sort(key=lambda one: -(one.both or 0))
    shown = tuple(place.sha256 for place in post.photos if place.sha256)
    return PostView(
        id=post.id,
        external_id=post.external_id,
        caption=post.caption,
        posted_at=post.posted_at,
        likes=post.likes,
        comments=post.comments,
        photos=shown,
        credit=credits_of.get(shown[0], "") if shown else "",
        problems=tuple(place.problem for place in post.photos if place.problem),
        halves=outcome.halves if outcome else None,
        category=outcome.category if outcome else None,
        sure=max(outcome.probabilities) if outcome and outcome.probabilities else None,
        probabilities=tuple(probabilities),
    )


def speaking_photos(
    posts: Sequence[PostView], category: str
) -> tuple[list[tuple[PostView, float]], list[tuple[PostView, float]]]:
    """Return the posts whose photos alone speak loudest for a category, and those against it."""
    seen = [
        (post, one.image)
        for post in posts
        if post.photos
        for one in post.probabilities
        if one.category == category and one.image is not None
    ]
    seen.sort(key=lambda pair: (-pair[1], pair[0].id))
    speaking = [pair for pair in seen if pair[1] >= 0.5][:PHOTOS_SHOWN]  # noqa: PLR2004 - more likely than not
    against = [pair for pair in reversed(seen) if pair[1] < 0.5][:PHOTOS_SHOWN]  # noqa: PLR2004
    return speaking, against


def _at(outcome: PostOutcome | None, place: int) -> float | None:
    return outcome.probabilities[place] if outcome and outcome.probabilities else None


def _outcomes(
    connection: Connection, bundle_id: str, posts: Sequence[PostRow]
) -> dict[int, PostOutcome]:
    found = read_outcomes(connection, bundle_id, [post.id for post in posts])
    return {post_id: one for (post_id, method), one in found.items() if method == PRIMARY}


def _halves(
    resources: Context, bundle_id: str, influencer_id: int, posts: Sequence[PostRow]
) -> dict[str, Judged]:
    try:
        return judge_halves(resources, bundle_id, {influencer_id: posts})
    except AfinError:
        # A bundle that was moved away must not hide the verdict it gave.
        return {}


def read_history(connection: Connection, influencer_id: int) -> tuple[Past, ...]:
    """Return the latest verdicts of an account, by whichever bundles, newest first."""
    columns = verdicts.c
    query = (
        select(columns.bundle_id, columns.run_id, columns.verdicts, columns.concluded_at)
        .join(bundles, bundles.c.id == verdicts.c.bundle_id)
        .where(verdicts.c.influencer_id == influencer_id)
        .order_by(verdicts.c.concluded_at.desc())
        .limit(HISTORY)
    )
    past = []
    for row in connection.execute(query):
        # As stored: checking every field of so many takes longer than all the rest.
        main = main_document(row.verdicts)
        if main is not None:
            past.append(
                Past(
                    bundle_id=row.bundle_id,
                    run_id=row.run_id,
                    categories=tuple(main["categories"]),
                    shares={share["category"]: share["share"] for share in main["shares"]},
                    concluded_at=row.concluded_at,
                )
            )
    return tuple(past)
