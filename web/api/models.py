"""What the API takes and gives besides the models that everything shares."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from schemas.base import Frozen
from schemas.bundles import BundleState
from schemas.maps import DEFAULT_POSTS, MAX_POSTS, MIN_POSTS, View
from schemas.verdicts import StoredVerdict
from storage.listing import Listed, Order
from web.evidence import Past, PostView

LIMIT = 100


class PageQuery(Frozen):
    """Which part of a list."""

    cursor: str | None = Field(None, description="`next` of the page before")
    limit: int = Field(50, ge=1, le=LIMIT, description="how many at most")


class AccountsQuery(PageQuery):
    """Which accounts, in which order."""

    text: str = Field("", max_length=60, description="part of a username")
    category: str = Field("", max_length=40, description="accounts that have this category")
    min_share: float = Field(0.0, ge=0, le=1, description="least share of it, not the threshold")
    min_certainty: float = Field(0.0, ge=0, le=1, description="least certainty of the verdict")
    min_followers: int = Field(0, ge=0, le=2**62, description="least number of followers")
    min_interactions: float = Field(0.0, ge=0, description="least likes and comments a post")
    min_posts: int = Field(0, ge=0, le=2**31 - 1, description="least number of posts judged")
    order: Order | None = Field(None, description="share where a category is asked for, else name")


class AccountsExport(AccountsQuery):
    """Which accounts, in which order, in which form; `cursor` and `limit` do not count."""

    format: Literal["csv", "json", "parquet"] = Field("json", description="of the file")


class Accounts(Frozen):
    """A page of accounts; `next` is the cursor of the following one."""

    accounts: tuple[Listed, ...]
    next: str | None


class ExportedAccount(Frozen):
    """An account in a file of many; what is not known is null."""

    username: str
    followers: int | None
    categories: tuple[str, ...]
    score: float | None
    certainty: float | None
    usable_posts: int | None
    unknown_posts: int | None
    interactions: float | None
    enough_posts: bool | None
    bundle: str | None
    concluded_at: str | None


class Account(Frozen):
    """An account with its verdict in force, those before, and what analysts say."""

    account: Listed
    verdict: StoredVerdict | None
    history: tuple[Past, ...]
    override: "Override | None"


class Override(Frozen):
    """An analyst's word on an account."""

    categories: tuple[str, ...] | None
    reason: str
    author: str
    created_at: datetime


class NewOverride(Frozen):
    """An analyst's word: `categories` null takes the last one back."""

    categories: tuple[str, ...] | None = Field(description="slugs; empty: none of ours")
    reason: str = Field(min_length=1, max_length=2000, description="why; others read it")


class Post(PostView):
    """A post with addresses of its photos, good for an hour for whoever has them."""

    photo_urls: tuple[str, ...]


class ThesisVerdict(Frozen):
    """A verdict in the thesis's form: categories by method."""

    username: str
    categories: dict[str, tuple[str, ...]]


class StartedRun(Frozen):
    """A run that was started."""

    run: int


class Classify(Frozen):
    """Whom to classify: these accounts, ahead of bulk work, or everybody."""

    usernames: tuple[str, ...] | None = Field(
        None, max_length=1000, min_length=1, description="null: every account there is"
    )


class RunsQuery(Frozen):
    """Which runs."""

    before: int | None = Field(None, ge=1, le=2**62, description="only older ones than this")
    limit: int = Field(30, ge=1, le=LIMIT, description="how many at most")


class NextQuery(Frozen):
    """What comes first."""

    first: Literal["uncertain", "disputed"] = Field("uncertain", description="order of accounts")


class NewReview(Frozen):
    """A decision on a post."""

    post: int = Field(ge=1, le=2**62, description="the post's id")
    decision: Literal["accept", "correct", "skip"]
    categories: tuple[str, ...] = Field((), description="what is correct; empty: none of ours")


class ReviewFate(Frozen):
    """What becomes of a decision."""

    fate: Literal["trains", "tested", "several", "no-photo", "skipped"]


class Bundle(Frozen):
    """A bundle as listed."""

    id: str
    state: BundleState
    categories: tuple[str, ...]
    backbone: str
    created_at: datetime
    in_force: int
    metrics: dict[str, Any]


class ThresholdQuery(Frozen):
    """Which threshold of which category."""

    category: str = Field(max_length=40)
    threshold: float = Field(gt=0, lt=1, description="least share of posts")


class CompareQuery(Frozen):
    """Which two bundles."""

    first: str = Field(max_length=40)
    second: str = Field(max_length=40)


class MapQuery(Frozen):
    """Which map of a bundle."""

    view: View = Field("image", description="by which vectors the posts are laid out")


class NewMap(MapQuery):
    """What to make a map of."""

    posts: int = Field(
        DEFAULT_POSTS, ge=MIN_POSTS, le=MAX_POSTS, description="how many it shows at most"
    )


class Me(Frozen):
    """Who asks."""

    name: str
    role: str


Account.model_rebuild()
