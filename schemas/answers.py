"""What the API answers, as its client reads it; a test holds it to what the server gives."""

from datetime import datetime
from typing import Any, Literal

from schemas.base import Frozen
from schemas.bundles import BundleState
from schemas.runs import Run
from schemas.users import Role
from schemas.verdicts import Halves, StoredVerdict


class Me(Frozen):
    """Who asks."""

    name: str
    role: Role


class ThesisVerdict(Frozen):
    """A verdict in the thesis's form: categories by method."""

    username: str
    categories: dict[str, tuple[str, ...]]


class ListedShare(Frozen):
    """One category's part of an account, with its 95 % interval."""

    category: str
    posts: int
    share: float
    low: float
    high: float
    threshold: float
    chosen: bool


class AccountStanding(Frozen):
    """How sure an account's verdict is and what it rests on."""

    bundle_id: str
    run_id: int
    certainty: float
    disputed: int
    usable: int
    unknown: int
    lacking: int
    enough: bool
    interactions: float | None
    concluded_at: datetime


class ListedAccount(Frozen):
    """An account as listed, largest share first; ``score`` is its affinity where it was ranked."""

    id: int
    username: str
    followers: int | None
    standing: AccountStanding | None
    shares: tuple[ListedShare, ...]
    score: float | None = None

    @property
    def categories(self) -> tuple[str, ...]:
        """What it is about, largest share first."""
        return tuple(share.category for share in self.shares if share.chosen)


class AccountsPage(Frozen):
    """Some accounts; ``next`` is the cursor of the following ones."""

    accounts: tuple[ListedAccount, ...]
    next: str | None


class SavedCampaign(Frozen):
    """A saved ranking: weights by category, and what an account must have at least."""

    id: int
    name: str
    weights: dict[str, float]
    min_followers: int
    min_interactions: float
    min_posts: int
    author: str
    created_at: datetime


class DoubtedLabel(Frozen):
    """A label that a model does not believe, with what there is to be seen of it.

    A photo is named by its content, a tagged post by source and id. The probabilities are those
    of a model that was not told this label.
    """

    id: int
    kind: Literal["photo", "post"]
    target: str
    given: str
    suggested: str
    given_probability: float
    suggested_probability: float
    photos: tuple[str, ...]
    photo_urls: tuple[str, ...]
    caption: str
    sources: tuple[str, ...]


class DoubtsPage(Frozen):
    """Some doubted labels; ``next`` is the cursor of the following ones."""

    doubts: tuple[DoubtedLabel, ...]
    next: str | None


class SettledDoubt(Frozen):
    """What becomes of a doubted label."""

    fate: Literal["relabelled", "confirmed", "skipped"]


class AnalystsWord(Frozen):
    """What an analyst says of an account; no categories: the last word was taken back."""

    categories: tuple[str, ...] | None
    reason: str
    author: str
    created_at: datetime


class AccountDetail(Frozen):
    """An account with its verdict in force and the analyst's word beside it."""

    account: ListedAccount
    verdict: StoredVerdict | None
    override: AnalystsWord | None


class Probability(Frozen):
    """What image alone, text alone and both say of a category for one post."""

    category: str
    image: float | None
    text: float | None
    both: float | None


class AccountPost(Frozen):
    """A post with what was made of it; addresses of photos are good for an hour."""

    id: int
    external_id: str
    caption: str
    posted_at: datetime | None
    likes: int | None
    comments: int | None
    photos: tuple[str, ...]
    photo_urls: tuple[str, ...]
    halves: Halves | None
    category: str | None
    sure: float | None
    probabilities: tuple[Probability, ...]


class StartedRun(Frozen):
    """A run that was started."""

    run: int


class RunProgress(Frozen):
    """How far a run is; ``eta_s`` is what is left at the pace so far, if that tells."""

    run: Run
    stage: str
    total: int
    done: int
    failed: int
    waiting: int
    in_flight: int
    eta_s: float | None


class RunProblems(Frozen):
    """Accounts of a run that failed for the same reason; ``accounts`` names some of them."""

    reason: str
    count: int
    accounts: tuple[str, ...]


class ListedBundle(Frozen):
    """A bundle; ``in_force`` counts the accounts whose verdict is by it."""

    id: str
    state: BundleState
    categories: tuple[str, ...]
    backbone: str
    created_at: datetime
    in_force: int
    metrics: dict[str, Any]


class AcceptedEvent(Frozen):
    """An event that was kept; ``duplicate``: it was known already under its webhook id."""

    id: str
    status: str
    state: str
    duplicate: bool
