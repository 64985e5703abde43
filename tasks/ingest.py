"""Taking files in: what sources read is checked, stored and counted, row by row."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from pipelines.text.clean import clean_caption
from pipelines.vision.decode import PhotoInfo, PhotoLimits, inspect_photo
from schemas.base import Frozen
from schemas.errors import PhotoError
from schemas.posts import Label, LabelledPhoto, Problem, SourceAccount, SourcePhoto, SourcePost
from schemas.settings import Settings
from storage.accounts import NewPost, PhotoPlace, save_account
from storage.labels import add_labels
from storage.photos import PhotoRow, add_photos
from storage.problems import add_problems
from storage.training import NewExample, add_examples
from tasks.context import Context

READERS = 4
"""Threads that read and check photos: decoders release the interpreter's lock."""

BATCH = 100
"""Labelled photos stored in one transaction."""

Item = TypeVar("Item")


class Intake(Frozen):
    """What an import took in, and why it left the rest."""

    accounts: int = 0
    posts: int = 0
    photos: int = 0
    to_fetch: int = 0
    labels: int = 0
    problems: dict[str, int] = Field(default_factory=dict)
    examples: tuple[Problem, ...] = ()


class _Tally:
    """Counts an import as it goes, keeping the first few problems to show."""

    shown = 5

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.problems: Counter[str] = Counter()
        self.examples: list[Problem] = []

    def note(self, problem: Problem) -> None:
        self.problems[problem.reason] += 1
        if len(self.examples) < self.shown:
            self.examples.append(problem)

    def result(self) -> Intake:
        return Intake(**self.counts, problems=dict(self.problems), examples=tuple(self.examples))


def take_photos(
    resources: Context,
    items: Iterable[LabelledPhoto | Problem],
    *,
    source: str,
    on_item: Callable[[], None] = lambda: None,
) -> Intake:
    """Store labelled photos for training; ``on_item`` is called after each one.

    Raises:
        BlobError, DatabaseError: the stores cannot be reached; what was stored so far stays.
    """
    tally = _Tally()
    with ThreadPoolExecutor(READERS) as readers:
        for batch in _batches(items, BATCH):
            labelled = [item for item in batch if isinstance(item, LabelledPhoto)]
            found = [item for item in batch if isinstance(item, Problem)]
            rows, examples = [], []
            checked = readers.map(lambda item: _store_photo(resources, item.path), labelled)
            for item, result in zip(labelled, checked, strict=True):
                if isinstance(result, Problem):
                    found.append(result)
                else:
                    rows.append(result.model_copy(update={"credit": item.credit}))
                    examples.append(_example(item, result, source))
            _store_examples(resources, source, rows, examples, found)
            tally.counts["photos"] += len(rows)
            for problem in found:
                tally.note(problem)
            for _item in batch:
                on_item()
    return tally.result()


def take_accounts(
    resources: Context,
    items: Iterable[SourceAccount | Problem],
    *,
    origin: str,
    on_item: Callable[[], None] = lambda: None,
) -> Intake:
    """Store accounts with their posts and photos; labels that came along are kept apart as truth.

    A photo that cannot be used is recorded on its post, and the post stays.

    Raises:
        BlobError, DatabaseError: the stores cannot be reached; what was stored so far stays.
    """
    tally = _Tally()
    with ThreadPoolExecutor(READERS) as readers:
        for item in items:
            if isinstance(item, Problem):
                tally.note(item)
                with resources.database.write() as connection:
                    add_problems(connection, origin, [(item, None)])
            else:
                _take_account(resources, readers, item, origin, tally)
            on_item()
    return tally.result()


def take_labels(resources: Context, items: Iterable[Label | Problem], *, origin: str) -> Intake:
    """Store what labellers say of photos, posts and accounts; never trained on."""
    tally = _Tally()
    for batch in _batches(items, BATCH):
        labels = [item for item in batch if isinstance(item, Label)]
        found = [item for item in batch if isinstance(item, Problem)]
        with resources.database.write() as connection:
            add_labels(connection, labels)
            add_problems(connection, origin, [(problem, None) for problem in found])
        tally.counts["labels"] += len(labels)
        for problem in found:
            tally.note(problem)
    return tally.result()


def hash_caption(caption: str) -> str | None:
    """Return the hash of a caption as the text model reads it; None where nothing is left."""
    cleaned = clean_caption(caption)
    return hashlib.sha256(cleaned.encode()).hexdigest() if cleaned else None


def check_photo(resources: Context, data: bytes) -> PhotoRow:
    """Check that a photo decodes and keep its bytes.

    Raises:
        PhotoError: it does not; nothing is kept.
    """
    info = inspect_photo(data, photo_limits(resources.settings))
    return keep_photo(resources, data, info)


def keep_photo(resources: Context, data: bytes, info: PhotoInfo, *, credit: str = "") -> PhotoRow:
    """Keep the bytes of a photo that was looked at, and return its row."""
    return PhotoRow(
        sha256=resources.blobs.write_photo(data),
        size_bytes=len(data),
        credit=credit,
        width=info.width,
        height=info.height,
        format=info.format,
        phash=info.phash,
    )


def photo_limits(settings: Settings) -> PhotoLimits:
    """What a photo may cost, by the settings."""
    return PhotoLimits(max_bytes=settings.max_photo_bytes, max_pixels=settings.max_photo_pixels)


def _store_photo(resources: Context, path: Path) -> PhotoRow | Problem:
    try:
        # A larger file is refused before it fills the memory.
        if path.stat().st_size > resources.settings.max_photo_bytes:
            limit = resources.settings.max_photo_bytes
            return _problem(path, "too-many-bytes", f"The file is larger than {limit} bytes.")
        return check_photo(resources, path.read_bytes())
    except PhotoError as error:
        return _problem(path, error.reason, str(error))
    except FileNotFoundError:
        return _problem(path, "missing-file", "There is no such file.")
    except OSError as error:
        return _problem(path, "unreadable-file", f"The file cannot be read: {error.strerror}.")


def _problem(path: Path, reason: str, detail: str) -> Problem:
    return Problem(where=str(path), reason=reason, detail=detail)


def _example(item: LabelledPhoto, row: PhotoRow, source: str) -> NewExample:
    return NewExample(
        source=source,
        photo_sha256=row.sha256,
        category=item.category,
        split=item.split,
        caption=item.caption,
    )


def _store_examples(
    resources: Context,
    source: str,
    rows: Sequence[PhotoRow],
    examples: Sequence[NewExample],
    found: Sequence[Problem],
) -> None:
    with resources.database.write() as connection:
        add_photos(connection, rows)
        add_examples(connection, examples)
        add_problems(connection, source, [(problem, None) for problem in found])


def _take_account(
    resources: Context,
    readers: ThreadPoolExecutor,
    account: SourceAccount,
    origin: str,
    tally: _Tally,
) -> None:
    paths = [photo.path for post in account.posts for photo in post.photos if photo.path]
    stored = dict(zip(paths, readers.map(lambda p: _store_photo(resources, p), paths), strict=True))
    rows = [row for row in stored.values() if isinstance(row, PhotoRow)]
    posts = [_new_post(post, stored) for post in account.posts]
    with resources.database.write() as connection:
        add_photos(connection, rows)
        ids = save_account(
            connection,
            username=account.username,
            followers=account.followers,
            imported_from=origin,
            new_posts=posts,
        )
        found = list(_account_problems(account, stored, ids))
        add_problems(connection, origin, found)
        add_labels(connection, _truth(account, origin))
    tally.counts["accounts"] += 1
    tally.counts["posts"] += len(posts)
    tally.counts["photos"] += len(rows)
    tally.counts["to_fetch"] += sum(place.url is not None for p in posts for place in p.photos)
    for problem, _post_id in found:
        tally.note(problem)


def _new_post(post: SourcePost, stored: dict[Path, PhotoRow | Problem]) -> NewPost:
    return NewPost(
        external_id=post.external_id,
        caption=post.caption,
        caption_sha256=hash_caption(post.caption),
        posted_at=post.posted_at,
        likes=post.likes,
        comments=post.comments,
        photos=tuple(_place(photo, stored) for photo in post.photos),
    )


def _place(photo: SourcePhoto, stored: dict[Path, PhotoRow | Problem]) -> PhotoPlace:
    if photo.path is None:
        return PhotoPlace(url=photo.url)
    result = stored[photo.path]
    if isinstance(result, Problem):
        return PhotoPlace(problem=result.reason)
    return PhotoPlace(sha256=result.sha256)


def _account_problems(
    account: SourceAccount, stored: dict[Path, PhotoRow | Problem], ids: dict[str, int]
) -> Iterator[tuple[Problem, int]]:
    for post in account.posts:
        for problem in post.problems:
            yield problem, ids[post.external_id]
        for photo in post.photos:
            result = stored.get(photo.path) if photo.path else None
            if isinstance(result, Problem):
                yield result, ids[post.external_id]


def _truth(account: SourceAccount, origin: str) -> list[Label]:
    """Return the labels that came with an account and its posts, under the file's name."""
    labels = []
    if account.truth is not None:
        labels.append(
            Label(
                kind="account", id=account.username, categories=account.truth, labeller=origin[:100]
            )
        )
    labels.extend(
        Label(
            kind="post",
            id=f"{account.username}/{post.external_id}",
            categories=post.truth,
            labeller=origin[:100],
        )
        for post in account.posts
        if post.truth is not None
    )
    return labels


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
