"""A database as large as an agency's: accounts, posts, outcomes and verdicts, all drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import numpy as np
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    cast,
    insert,
    literal,
    select,
)

from pipelines.verdict import conclude_account
from schemas.bundles import BundleManifest
from schemas.runs import MemberState, RunKind
from schemas.verdicts import PostOutcome, Verdict
from storage.database import Database
from storage.runs import create_run
from storage.tables import (
    image_vectors,
    influencers,
    outcomes,
    photos,
    post_photos,
    posts,
    run_members,
    text_vectors,
    truth_labels,
)
from storage.vectors import pack
from storage.verdicts import save_outcomes, save_verdicts

PHOTOS = 2000
CAPTIONS = 2000
LABELLED = 3000
PART = 1000
PATTERNS = 100
SYLLABLES = (
    "ana",
    "bel",
    "cam",
    "dos",
    "eli",
    "fut",
    "gol",
    "ida",
    "lu",
    "mar",
    "nor",
    "sol",
    "vi",
)
NOW = datetime(2026, 1, 5, tzinfo=UTC)


_SCRATCH = MetaData()
_NUMBERS = Table("bench_numbers", _SCRATCH, Column("n", Integer, primary_key=True))
_JUDGED = Table(
    "bench_judged",
    _SCRATCH,
    Column("pattern", Integer, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("category", String(40)),
    Column("probabilities", LargeBinary),
)
_CONTENTS = Table(
    "bench_contents",
    _SCRATCH,
    Column("n", Integer, primary_key=True),
    Column("photo", String(64)),
    Column("caption", String(64)),
)


@dataclass(frozen=True)
class Pattern:
    """How the posts of one kind of account were judged, with the verdict; ids count from 1."""

    outcomes: tuple[PostOutcome, ...]
    verdict: Verdict

    def verdict_of(self, offset: int) -> Verdict:
        """Return the verdict for an account whose posts come after ``offset``."""
        shares = tuple(
            share.model_copy(update={"evidence": tuple(one + offset for one in share.evidence)})
            for share in self.verdict.shares
        )
        return self.verdict.model_copy(update={"shares": shares})


def fill(
    database: Database,
    bundle_id: str,
    manifest: BundleManifest,
    *,
    accounts: int,
    posts_each: int,
) -> int:
    """Fill an empty store and return the run that judged everybody."""
    rng = np.random.default_rng(11)
    with database.write() as connection:
        _SCRATCH.create_all(connection)
        _fill_contents(connection, manifest, rng)
        run_id = create_run(connection, RunKind.CLASSIFY, params={}, bundle_id=bundle_id)
    patterns = [_pattern(manifest, posts_each, rng) for _ in range(PATTERNS)]
    with database.write() as connection:
        _insert_accounts(connection, accounts, run_id, rng)
    with database.write() as connection:
        _insert_posts(connection, accounts, posts_each, bundle_id, patterns)
    for first in range(1, accounts + 1, PART):
        ids = range(first, min(first + PART, accounts + 1))
        with database.write() as connection:
            _insert_verdicts(connection, ids, patterns, posts_each, bundle_id, run_id)
    with database.write() as connection:
        _insert_truth(connection, min(LABELLED, accounts), manifest.classes, rng)
    if database.kind == "postgresql":
        # Rows were inserted under ids of our own.
        with database.write() as connection:
            for table in ("influencers", "posts"):
                connection.exec_driver_sql(
                    f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}"  # noqa: S608
                )
    return run_id


def rewrite(
    database: Database, bundle_id: str, manifest: BundleManifest, ids: range, *, posts_each: int
) -> None:
    """Write what a bulk run writes for a group of accounts: outcomes and verdicts, once more."""
    found = _pattern(manifest, posts_each, np.random.default_rng(ids.start))
    offsets = {key: (key - 1) * posts_each for key in ids}
    judged = [
        one.model_copy(update={"post_id": one.post_id + offset})
        for offset in offsets.values()
        for one in found.outcomes
    ]
    concluded = {key: [found.verdict_of(offset)] for key, offset in offsets.items()}
    with database.write() as connection:
        save_outcomes(connection, bundle_id, "nn", judged)
        save_verdicts(connection, bundle_id=bundle_id, run_id=1, concluded=concluded)


def _pattern(manifest: BundleManifest, posts_each: int, rng: np.random.Generator) -> Pattern:
    classes = len(manifest.classes) + manifest.reject
    about = rng.dirichlet(np.full(classes, 0.25))
    tops = rng.choice(classes, posts_each, p=about)
    sure = rng.uniform(0.35, 1.0, posts_each)
    rest = ((1 - sure) / (classes - 1))[:, None].repeat(classes, axis=1)
    rest[np.arange(posts_each), tops] = sure
    outcomes = tuple(
        _outcome(place, row, manifest) for place, row in enumerate(rest.round(6).tolist(), 1)
    )
    return Pattern(outcomes, conclude_account(outcomes, manifest))


def _outcome(post_id: int, row: list[float], manifest: BundleManifest) -> PostOutcome:
    top = row.index(max(row))
    known = top < len(manifest.classes) and row[top] >= manifest.post_threshold
    category = manifest.classes[top] if known else None
    return PostOutcome(post_id=post_id, halves="both", probabilities=tuple(row), category=category)


def _fill_contents(
    connection: Connection, manifest: BundleManifest, rng: np.random.Generator
) -> None:
    width = manifest.backbone.width
    rows = [
        {"sha256": name, "size_bytes": 1, "width": 8, "height": 8, "format": "jpeg"}
        | {"credit": "", "created_at": NOW}
        for name in map(photo_name, range(PHOTOS))
    ]
    _insert(connection, photos, rows)
    vectors = rng.normal(size=(PHOTOS, width)).astype(np.float32)
    _insert(
        connection,
        image_vectors,
        [
            {"photo_sha256": photo_name(number), "backbone": manifest.backbone.hash}
            | {"vector": pack(vector), "problem": None}
            for number, vector in enumerate(vectors)
        ],
    )
    if manifest.text_model is not None:
        words = rng.normal(size=(CAPTIONS, manifest.text_model.width)).astype(np.float32)
        _insert(
            connection,
            text_vectors,
            [
                {"caption_sha256": caption_name(number), "vector": pack(vector)}
                | {"text_model": manifest.text_model.hash}
                for number, vector in enumerate(words)
            ],
        )


def _insert_accounts(
    connection: Connection, accounts: int, run_id: int, rng: np.random.Generator
) -> None:
    ids = range(1, accounts + 1)
    followers = (10 ** rng.uniform(2.5, 6.5, accounts)).astype(int).tolist()
    _insert(
        connection,
        influencers,
        [
            {"id": key, "username": account_name(key), "followers": count}
            | {"imported_from": "drawn", "created_at": NOW, "updated_at": NOW}
            for key, count in zip(ids, followers, strict=True)
        ],
    )
    _insert(
        connection,
        run_members,
        [
            {"run_id": run_id, "influencer_id": key, "attempts": 1, "touched_at": NOW} | _fate(key)
            for key in ids
        ],
    )


def _insert_posts(
    connection: Connection,
    accounts: int,
    posts_each: int,
    bundle_id: str,
    patterns: Sequence[Pattern],
) -> None:
    """Let the database itself multiply the patterns into millions of rows."""
    _insert(
        connection,
        _NUMBERS,
        [{"n": number} for number in range(max(accounts, PHOTOS, CAPTIONS) + 1)],
    )
    _insert(
        connection,
        _JUDGED,
        [
            {"pattern": number, "place": place, "category": one.category}
            | {"probabilities": np.array(one.probabilities, "<f4").tobytes()}
            for number, pattern in enumerate(patterns)
            for place, one in enumerate(pattern.outcomes)
        ],
    )
    _insert(
        connection,
        _CONTENTS,
        [
            {"n": number, "photo": photo_name(number), "caption": caption_name(number)}
            for number in range(PHOTOS)
        ],
    )
    account, place = _NUMBERS.c.n, _JUDGED.c.place
    post_id = (account - 1) * posts_each + place + 1
    every = (
        select(
            post_id.label("post_id"),
            account.label("account"),
            _JUDGED.c.category,
            _JUDGED.c.probabilities,
        )
        .where(account.between(1, accounts), _JUDGED.c.pattern == account % len(patterns))
        .subquery()
    )
    content = _CONTENTS.c.n == every.c.post_id % PHOTOS
    likes = every.c.post_id * 7919 % 5000
    text = literal("hola ").concat(cast(every.c.post_id, String))
    chosen = select(
        every.c.post_id,
        every.c.account,
        cast(every.c.post_id, String),
        text,
        _CONTENTS.c.caption,
        literal(NOW, type_=posts.c.posted_at.type),
        likes,
        likes // 30,
    ).join(_CONTENTS, content)
    columns = ("id", "influencer_id", "external_id", "caption", "caption_sha256", "posted_at")
    connection.execute(insert(posts).from_select([*columns, "likes", "comments"], chosen))
    shown = select(every.c.post_id, literal(0), _CONTENTS.c.photo).join(_CONTENTS, content)
    places = ["post_id", "position", "photo_sha256"]
    connection.execute(insert(post_photos).from_select(places, shown))
    judged = select(
        every.c.post_id,
        literal(bundle_id),
        literal("nn"),
        literal("both"),
        every.c.category,
        every.c.probabilities,
    )
    names = ["post_id", "bundle_id", "method", "halves", "category", "probabilities"]
    connection.execute(insert(outcomes).from_select(names, judged))


def _insert_verdicts(
    connection: Connection,
    ids: range,
    patterns: Sequence[Pattern],
    posts_each: int,
    bundle_id: str,
    run_id: int,
) -> None:
    concluded = {
        key: [patterns[key % len(patterns)].verdict_of((key - 1) * posts_each)] for key in ids
    }
    save_verdicts(connection, bundle_id=bundle_id, run_id=run_id, concluded=concluded)


def _fate(key: int) -> dict[str, Any]:
    if key % 50 == 0:
        return {"state": MemberState.DEAD, "problem": f"Photo host {key % 7} did not answer."}
    return {"state": MemberState.DONE if key % 3 else MemberState.PENDING, "problem": None}


def _insert_truth(
    connection: Connection, accounts: int, classes: Sequence[str], rng: np.random.Generator
) -> None:
    _insert(
        connection,
        truth_labels,
        [
            {"kind": "account", "target": account_name(key), "labeller": "drawn"}
            | {"categories": [str(rng.choice(classes))], "created_at": NOW}
            for key in range(1, accounts + 1)
        ],
    )


def _insert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    for part in _parts(rows):
        connection.execute(insert(table), part)


def _parts(rows: Sequence[dict[str, Any]], size: int = 5000) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(rows), size):
        yield list(rows[start : start + size])


def account_name(key: int) -> str:
    """Return the username of a drawn account."""
    base = len(SYLLABLES)
    parts = (SYLLABLES[key % base], SYLLABLES[key // base % base], SYLLABLES[key // 7 % base])
    return f"{''.join(parts)}_{key}"


def photo_name(number: int) -> str:
    """Return the hash under which a drawn photo is known."""
    return sha256(f"photo {number}".encode()).hexdigest()


def caption_name(number: int) -> str:
    """Return the hash under which a drawn caption is known."""
    return sha256(f"caption {number}".encode()).hexdigest()
