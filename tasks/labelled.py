"""Labelled sets brought before bundles: who says what of which posts, and which they have seen."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from pipelines.evaluation.assess import Relation, SetKind
from schemas.bundles import BundleManifest
from schemas.errors import NotFoundError, UsageError
from schemas.posts import LabelKind
from schemas.runs import Run, RunKind
from storage.accounts import PostRow
from storage.labelled import (
    SourcePhoto,
    count_sources,
    existing_photos,
    posts_by_account,
    read_source,
)
from storage.labels import count_labels, read_truth
from storage.runs import read_run
from tasks.context import Context
from tasks.ingest import hash_caption
from tasks.samples import is_held_out, read_candidates

EVERYBODY = "all"
"""A set's name for what all labellers agree on."""


@dataclass(frozen=True)
class Item:
    """A post, or a photo taken as one, with what people say it shows; ``owner`` is whose it is."""

    key: str
    owner: str
    photos: tuple[str, ...]
    caption: str
    caption_sha256: str | None
    truth: frozenset[str] = frozenset()


@dataclass(frozen=True)
class LabelledSet:
    """Items to be judged that the bundle was not trained on; ``accounts`` holds accounts' truth."""

    kind: SetKind
    name: str
    relation: Relation
    items: Sequence[Item]
    accounts: dict[str, frozenset[str]] = field(default_factory=dict)
    seen: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trained:
    """What a bundle was trained on: hashes of photos and of cleaned captions; ``known`` if so."""

    photos: frozenset[str]
    captions: frozenset[str]
    known: bool

    def has(self, item: Item) -> bool:
        """Whether the bundle was told what this item's photo or caption is."""
        return bool(self.photos.intersection(item.photos)) or item.caption_sha256 in self.captions


def list_sets(connection: Connection) -> dict[SetKind, dict[str, int]]:
    """Return every labelled set there is with its size, by kind and name.

    Photos are a set by their source, or by who labelled them; posts and accounts by labeller.
    """
    return {
        "photos": {**count_labels(connection, "photo"), **count_sources(connection)},
        "posts": count_labels(connection, "post"),
        "accounts": count_labels(connection, "account"),
    }


def find_training(connection: Connection, manifest: BundleManifest) -> Run | None:
    """Return the run that trained a bundle; None where that was on another database."""
    try:
        run = read_run(connection, int(manifest.training.get("run", -1)))
    except NotFoundError:
        return None
    own = run.kind is RunKind.TRAIN and run.created_at == manifest.created_at
    return run if own else None


def read_trained(connection: Connection, manifest: BundleManifest) -> Trained:
    """Return what a bundle was trained on; unknown where it was trained on another database."""
    run = find_training(connection, manifest)
    if run is None:
        return Trained(frozenset(), frozenset(), known=False)
    candidates = read_candidates(connection, run.params)
    samples = [s for s in candidates if not is_held_out(s, run.params)]
    captions = {hash_caption(sample.caption) for sample in samples if sample.caption}
    return Trained(
        photos=frozenset(sha256 for sample in samples for sha256 in sample.photos),
        captions=frozenset(sha256 for sha256 in captions if sha256),
        known=True,
    )


def read_set(
    resources: Context, kind: SetKind, name: str, manifests: Sequence[BundleManifest]
) -> LabelledSet:
    """Read a labelled set without what any of some bundles was trained on.

    Raises:
        NotFoundError: there is no such set.
        UsageError: nothing of it is left, or none of it is stored.
    """
    with resources.database.read() as connection:
        there_are = list_sets(connection)[kind]
        if name not in there_are and not (name == EVERYBODY and kind != "photos" and there_are):
            raise NotFoundError(_explain_missing(kind, name, list(there_are)))
        trained = [read_trained(connection, manifest) for manifest in manifests]
        if kind == "photos":
            found = _read_photos(connection, name, trained)
        else:
            found = _read_posts(connection, kind, name, trained)
    if not found.items:
        why = (
            f"all {found.seen} were trained on"
            if found.seen
            else "none of what it names is stored; import the photos or accounts themselves too"
        )
        raise UsageError(f"Nothing of the {kind} {name!r} can be scored: {why}.")
    return found


def _read_photos(connection: Connection, name: str, trained: Sequence[Trained]) -> LabelledSet:
    rows = read_source(connection, name)
    if rows:
        items = _items_of_source(rows)
        ours = any(item.photos[0] in each.photos for each in trained for item in items)
        return _leave_out_seen(
            "photos", name, "same source" if ours else "cross-source", items, trained
        )
    truth = read_truth(connection, "photo", name)
    stored = existing_photos(connection, truth)
    items = [
        Item(
            key=sha,
            owner=sha,
            photos=(sha,),
            caption="",
            caption_sha256=None,
            truth=frozenset(said),
        )
        for sha, said in sorted(truth.items())
        if sha in stored
    ]
    return _leave_out_seen("photos", name, "labelled", items, trained)


def _items_of_source(rows: Iterable[SourcePhoto]) -> list[Item]:
    """Make one item of each photo; filed under several categories, it truly has them all."""
    by_photo: dict[str, list[SourcePhoto]] = {}
    for row in rows:
        by_photo.setdefault(row.sha256, []).append(row)
    items = []
    for sha256, same in by_photo.items():
        caption = next((row.caption for row in same if row.caption), "")
        items.append(
            Item(
                key=sha256,
                owner=sha256,
                photos=(sha256,),
                caption=caption,
                caption_sha256=hash_caption(caption),
                truth=frozenset(row.category for row in same),
            )
        )
    return items


def _read_posts(
    connection: Connection, kind: SetKind, name: str, trained: Sequence[Trained]
) -> LabelledSet:
    """Read labelled posts, or all posts of labelled accounts."""
    label_kind: LabelKind = "post" if kind == "posts" else "account"
    truth = read_truth(connection, label_kind, None if name == EVERYBODY else name)
    wanted = {target.split("/", 1)[0] for target in truth}
    stored = posts_by_account(connection, wanted)
    if kind == "posts":
        items = [
            _item(username, post, frozenset(truth[key]))
            for username, posts in sorted(stored.items())
            for post in posts
            if (key := f"{username}/{post.external_id}") in truth
        ]
        return _leave_out_seen(kind, name, "labelled", items, trained)
    items = [_item(user, post) for user, posts in sorted(stored.items()) for post in posts]
    accounts = {user: frozenset(truth[user]) for user, posts in sorted(stored.items()) if posts}
    return _leave_out_seen(kind, name, "labelled", items, trained, accounts)


def _item(username: str, post: PostRow, truth: frozenset[str] = frozenset()) -> Item:
    return Item(
        key=f"{username}/{post.external_id}",
        owner=username,
        photos=tuple(place.sha256 for place in post.photos if place.sha256),
        caption=post.caption,
        caption_sha256=post.caption_sha256,
        truth=truth,
    )


def _leave_out_seen(
    kind: SetKind,
    name: str,
    relation: Relation,
    items: Sequence[Item],
    trained: Sequence[Trained],
    accounts: dict[str, frozenset[str]] | None = None,
) -> LabelledSet:
    """Keep what no bundle was trained on; of accounts, posts fall away and accounts stay."""
    kept = [item for item in items if not any(each.has(item) for each in trained)]
    notes = []
    if not all(each.known for each in trained):
        notes.append(
            "The bundle was trained on another database, so nobody can say here whether it has "
            "seen some of these."
        )
    if accounts:
        alive = {item.owner for item in kept}
        accounts = {user: truth for user, truth in accounts.items() if user in alive}
    return LabelledSet(
        kind=kind,
        name=name,
        relation=relation,
        items=kept,
        accounts=accounts or {},
        seen=len(items) - len(kept),
        notes=tuple(notes),
    )


def _explain_missing(kind: SetKind, name: str, there_are: Sequence[str]) -> str:
    if not there_are:
        how = "'afin import photos'" if kind == "photos" else "'afin import labels'"
        return f"There are no labelled {kind} yet: {how} adds some."
    return f"There are no labelled {kind} {name!r}; there are: {', '.join(there_are)}."
