"""What sources hand over: accounts, posts, labelled photos, and what was wrong with the rest."""

from datetime import datetime
from pathlib import Path
from typing import Literal

from schemas.base import Frozen

Split = Literal["train", "validation", "test"]
LabelKind = Literal["photo", "post", "account"]


class Problem(Frozen):
    """One thing in the input that could not be used; the rest of the input goes on.

    ``where`` names file and row or post; ``reason`` is a short stable slug that reports count;
    ``detail`` is one sentence for a person.
    """

    where: str
    reason: str
    detail: str


class SourcePhoto(Frozen):
    """A photo as a source names it: a file on this machine or an address to fetch, never both."""

    path: Path | None = None
    url: str | None = None


class SourcePost(Frozen):
    """A post as a source describes it, before anything is stored.

    ``truth`` holds labels that came with the post; they are scored against, never trained on.
    """

    external_id: str
    caption: str = ""
    photos: tuple[SourcePhoto, ...] = ()
    posted_at: datetime | None = None
    likes: int | None = None
    comments: int | None = None
    truth: tuple[str, ...] | None = None
    problems: tuple[Problem, ...] = ()


class SourceAccount(Frozen):
    """An account with its posts as a source describes them; ``truth`` as in ``SourcePost``."""

    username: str
    followers: int | None = None
    posts: tuple[SourcePost, ...] = ()
    truth: tuple[str, ...] | None = None


class LabelledPhoto(Frozen):
    """A photo filed under a category, perhaps with the caption it was posted with.

    Only rows whose ``split`` is ``train`` are ever trained on.
    """

    path: Path
    category: str
    split: str = "train"
    caption: str = ""
    credit: str = ""


class Label(Frozen):
    """What one labeller says of one photo, post or account; an empty tuple means none of ours."""

    kind: LabelKind
    id: str
    categories: tuple[str, ...]
    labeller: str
