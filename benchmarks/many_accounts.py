"""A database as large as an agency's: accounts, posts, outcomes and verdicts, all drawn."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import numpy as np
from sqlalchemy import Connection, Table, insert

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


@dataclass(frozen=True)
class Drawn:
    """What was drawn for some accounts: their ids and names, and how each was judged."""

    ids: range
    names: tuple[str, ...]
    patterns: Mapping[int, Pattern]
    posts_each: int

    def concluded(self) -> dict[int, list[Verdict]]:
        """Return the verdict of each account."""
        return {
            key: [found.verdict_of((key - 1) * self.posts_each)]
            for key, found in self.patterns.items()
        }


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
        _fill_contents(connection, manifest, rng)
        run_id = create_run(connection, RunKind.CLASSIFY, params={}, bundle_id=bundle_id)
    for first in range(1, accounts + 1, PART):
        ids = range(first, min(first + PART, accounts + 1))
        with database.write() as connection:
            drawn = _draw(ids, manifest, posts_each, rng)
            _insert_accounts(connection, drawn, posts_each, run_id, rng)
            _insert_outcomes(connection, drawn, bundle_id)
            save_verdicts(
                connection, bundle_id=bundle_id, run_id=run_id, concluded=drawn.concluded()
            )
            if first <= LABELLED:
                _insert_truth(connection, drawn, manifest.classes, rng)
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
    drawn = _draw(ids, manifest, posts_each, np.random.default_rng(ids.start))
    judged = [
        one.model_copy(update={"post_id": one.post_id + (key - 1) * posts_each})
        for key, found in drawn.patterns.items()
        for one in found.outcomes
    ]
    with database.write() as connection:
        save_outcomes(connection, bundle_id, "nn", judged)
        save_verdicts(connection, bundle_id=bundle_id, run_id=1, concluded=drawn.concluded())


def _draw(ids: range, manifest: BundleManifest, posts_each: int, rng: np.random.Generator) -> Drawn:
    """Draw accounts about one to three categories each, with posts judged accordingly."""
    patterns = [_pattern(manifest, posts_each, rng) for _ in range(min(PATTERNS, len(ids)))]
    chosen = rng.integers(0, len(patterns), len(ids)).tolist()
    names = tuple(f"{''.join(rng.choice(SYLLABLES, 3))}_{key}" for key in ids)
    given = {key: patterns[place] for key, place in zip(ids, chosen, strict=True)}
    return Drawn(ids, names, given, posts_each)


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
    connection: Connection,
    drawn: Drawn,
    posts_each: int,
    run_id: int,
    rng: np.random.Generator,
) -> None:
    followers = (10 ** rng.uniform(2.5, 6.5, len(drawn.ids))).astype(int).tolist()
    _insert(
        connection,
        influencers,
        [
            {"id": key, "username": name, "followers": count, "imported_from": "drawn"}
            | {"created_at": NOW, "updated_at": NOW}
            for key, name, count in zip(drawn.ids, drawn.names, followers, strict=True)
        ],
    )
    numbers = [
        (key, (key - 1) * posts_each + place + 1)
        for key in drawn.ids
        for place in range(posts_each)
    ]
    likes = rng.integers(0, 5000, len(numbers)).tolist()
    _insert(
        connection,
        posts,
        [
            {"id": post_id, "influencer_id": key, "external_id": f"p{post_id}"}
            | {
                "caption": f"hola {post_id % CAPTIONS}",
                "posted_at": NOW - timedelta(hours=post_id % 999),
            }
            | {
                "caption_sha256": caption_name(post_id % CAPTIONS),
                "likes": like,
                "comments": like // 30,
            }
            for (key, post_id), like in zip(numbers, likes, strict=True)
        ],
    )
    _insert(
        connection,
        post_photos,
        [
            {"post_id": post_id, "position": 0, "photo_sha256": photo_name(post_id % PHOTOS)}
            | {"url": None, "problem": None}
            for _key, post_id in numbers
        ],
    )
    _insert(
        connection,
        run_members,
        [
            {"run_id": run_id, "influencer_id": key, "attempts": 1, "touched_at": NOW} | _fate(key)
            for key in drawn.ids
        ],
    )


def _fate(key: int) -> dict[str, Any]:
    if key % 50 == 0:
        return {"state": MemberState.DEAD, "problem": f"Photo host {key % 7} did not answer."}
    return {"state": MemberState.DONE if key % 3 else MemberState.PENDING, "problem": None}


def _insert_outcomes(connection: Connection, drawn: Drawn, bundle_id: str) -> None:
    rows = []
    packed = {
        id(found): [
            (one.category, np.array(one.probabilities, "<f4").tobytes()) for one in found.outcomes
        ]
        for found in drawn.patterns.values()
    }
    for key, found in drawn.patterns.items():
        first = (key - 1) * drawn.posts_each + 1
        rows += [
            {"post_id": first + place, "bundle_id": bundle_id, "method": "nn", "halves": "both"}
            | {"category": category, "probabilities": data}
            for place, (category, data) in enumerate(packed[id(found)])
        ]
    _insert(connection, outcomes, rows)


def _insert_truth(
    connection: Connection, drawn: Drawn, classes: Sequence[str], rng: np.random.Generator
) -> None:
    _insert(
        connection,
        truth_labels,
        [
            {"kind": "account", "target": name, "labeller": "drawn", "created_at": NOW}
            | {"categories": [str(rng.choice(classes))]}
            for name in drawn.names
        ],
    )


def _insert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    for part in _parts(rows):
        connection.execute(insert(table), part)


def _parts(rows: Sequence[dict[str, Any]], size: int = 5000) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(rows), size):
        yield list(rows[start : start + size])


def photo_name(number: int) -> str:
    """Return the hash under which a drawn photo is known."""
    return sha256(f"photo {number}".encode()).hexdigest()


def caption_name(number: int) -> str:
    """Return the hash under which a drawn caption is known."""
    return sha256(f"caption {number}".encode()).hexdigest()
