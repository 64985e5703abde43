"""A database as large as an agency's: accounts, posts, outcomes and verdicts, all drawn."""

from collections.abc import Sequence

import numpy as np
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    cast,
    column,
    insert,
    literal,
    select,
    table,
)

from benchmarks.bulk import analyse, insert_rows, loading
from benchmarks.drawn import (
    NOW,
    Pattern,
    VerdictText,
    account_name,
    caption_name,
    draw_patterns,
    photo_name,
)
from benchmarks.drawn_history import insert_crawls, insert_events
from benchmarks.drawn_runs import EVENT_RUNS, insert_runs
from schemas.bundles import BundleManifest
from schemas.runs import Run
from storage.accounts import account_versions
from storage.crawl_tables import crawl_parts, crawl_urls
from storage.database import Database
from storage.event_tables import inbox, outbox
from storage.standings import PRIMARY
from storage.tables import (
    image_vectors,
    influencers,
    outcomes,
    photos,
    post_photos,
    posts,
    run_members,
    runs,
    text_vectors,
    truth_labels,
    verdicts,
)
from storage.vectors import pack
from storage.web_tables import standing_shares, standings
from tasks.verdicts import Judgement, store_conclusions

PHOTOS = 2000
CAPTIONS = 2000
LABELLED = 3000
LIKES, MOST_LIKES, LIKES_A_COMMENT = 7919, 5000, 30
FILLED = (
    photos,
    image_vectors,
    text_vectors,
    influencers,
    run_members,
    posts,
    post_photos,
    outcomes,
    verdicts,
    standings,
    standing_shares,
    crawl_urls,
    inbox,
    outbox,
)
NUMBERED = (influencers, posts, runs, crawl_parts, crawl_urls, inbox, outbox)

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
_COPIED = ("category", "posts", "share", "low", "high", "threshold", "chosen")
_SHARES = Table(
    "bench_shares",
    _SCRATCH,
    Column("pattern", Integer, primary_key=True),
    Column("category", String(40), primary_key=True),
    Column("posts", Integer),
    *(Column(name, Float) for name in ("share", "low", "high", "threshold")),
    Column("chosen", Boolean),
)
# Takes JSON as text, written already.
_VERDICTS = table(
    "verdicts",
    *(column(one.name, None if one.name == "verdicts" else one.type) for one in verdicts.c),
)
_CONTENTS = Table(
    "bench_contents",
    _SCRATCH,
    Column("n", Integer, primary_key=True),
    Column("photo", String(64)),
    Column("caption", String(64)),
)


def fill(
    database: Database,
    bundle_id: str,
    manifest: BundleManifest,
    *,
    accounts: int,
    posts_each: int,
    event_runs: int = EVENT_RUNS,
) -> int:
    """Fill an empty store and return the run that judges everybody; crawls come after it.

    What it holds is what ``save_verdicts`` and the others would write, only sooner.
    """
    rng = np.random.default_rng(11)
    patterns = draw_patterns(manifest, posts_each)
    with loading(database, FILLED) as connection:
        _SCRATCH.create_all(connection)
        _fill_contents(connection, manifest, rng)
        followers = (10 ** rng.uniform(2.5, 6.5, accounts)).astype(int).tolist()
        _insert_accounts(connection, followers)
        run_id = insert_runs(connection, accounts, bundle_id, event_runs)
        insert_crawls(connection, run_id, accounts)
        insert_events(connection, accounts, event_runs)
        _insert_posts(connection, accounts, posts_each, bundle_id, patterns)
        _insert_verdicts(connection, followers, patterns, posts_each, bundle_id, run_id)
        _insert_truth(connection, min(LABELLED, accounts), manifest.classes, rng)
        _SCRATCH.drop_all(connection)
        if database.kind == "postgresql":
            # Rows were inserted under ids of our own.
            for name in (one.name for one in NUMBERED):
                connection.exec_driver_sql(
                    f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), max(id)) FROM {name}"  # noqa: S608
                )
    analyse(database)
    return run_id


def conclude_again(
    database: Database,
    run: Run,
    patterns: Sequence[Pattern],
    ids: Sequence[int],
    *,
    posts_each: int,
    turn: int,
) -> int:
    """Store what a bulk run concludes of a group, by its own function; return how many accounts.

    Each ``turn`` makes another kind of account of each.
    """
    results: dict[int, Judgement] = {}
    for key in ids:
        offset = (key - 1) * posts_each
        found = patterns[(key + turn) % len(patterns)]
        judged = [
            one.model_copy(update={"post_id": one.post_id + offset}) for one in found.outcomes
        ]
        results[key] = {PRIMARY: judged}, (found.verdict_of(offset),)
    with database.read() as connection:
        versions = account_versions(connection, ids)
    with database.write() as connection:
        stored = store_conclusions(connection, run, (PRIMARY,), results, versions)
    return len(stored.accounts)


def _fill_contents(
    connection: Connection, manifest: BundleManifest, rng: np.random.Generator
) -> None:
    width = manifest.backbone.width
    rows = [
        {"sha256": name, "size_bytes": 1, "width": 8, "height": 8, "format": "jpeg"}
        | {"credit": "", "created_at": NOW}
        for name in map(photo_name, range(PHOTOS))
    ]
    insert_rows(connection, photos, rows)
    vectors = rng.normal(size=(PHOTOS, width)).astype(np.float32)
    insert_rows(
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
        insert_rows(
            connection,
            text_vectors,
            [
                {"caption_sha256": caption_name(number), "vector": pack(vector)}
                | {"text_model": manifest.text_model.hash}
                for number, vector in enumerate(words)
            ],
        )


def _insert_accounts(connection: Connection, followers: Sequence[int]) -> None:
    insert_rows(
        connection,
        influencers,
        [
            {"id": key, "username": account_name(key), "followers": count}
            | {"imported_from": "drawn", "created_at": NOW, "updated_at": NOW}
            for key, count in enumerate(followers, 1)
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
    insert_rows(
        connection,
        _NUMBERS,
        [{"n": number} for number in range(max(accounts, PHOTOS, CAPTIONS) + 1)],
    )
    insert_rows(
        connection,
        _JUDGED,
        [
            {"pattern": number, "place": place, "category": one.category}
            | {"probabilities": np.array(one.probabilities, "<f4").tobytes()}
            for number, pattern in enumerate(patterns)
            for place, one in enumerate(pattern.outcomes)
        ],
    )
    insert_rows(
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
    likes = cast(every.c.post_id, BigInteger) * LIKES % MOST_LIKES
    text = literal("hola ").concat(cast(every.c.post_id, String))
    chosen = select(
        every.c.post_id,
        every.c.account,
        cast(every.c.post_id, String),
        text,
        _CONTENTS.c.caption,
        literal(NOW, type_=posts.c.posted_at.type),
        likes,
        likes // LIKES_A_COMMENT,
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
    followers: Sequence[int],
    patterns: Sequence[Pattern],
    posts_each: int,
    bundle_id: str,
    run_id: int,
) -> None:
    """Write verdicts and standings; all of a kind differ only in their posts and figures."""
    keys = np.arange(1, len(followers) + 1)
    post_ids = (keys[:, None] - 1) * posts_each + np.arange(1, posts_each + 1)
    likes = post_ids * LIKES % MOST_LIKES
    interactions = (likes + likes // LIKES_A_COMMENT).sum(axis=1) / posts_each
    shared = {"bundle_id": bundle_id, "run_id": run_id, "concluded_at": NOW}
    texts = [VerdictText(pattern.verdict) for pattern in patterns]
    insert_rows(
        connection,
        _VERDICTS,
        (
            shared
            | {"influencer_id": key, "posts_at": NOW}
            | {"verdicts": texts[key % len(texts)].write((key - 1) * posts_each)}
            for key in keys.tolist()
        ),
    )
    fields = {"usable", "unknown", "lacking", "enough"}
    kinds = [
        shared
        | one.verdict.model_dump(include=fields)
        | {"certainty": one.verdict.certainty, "disputed": 0, "several": False}
        for one in patterns
    ]
    insert_rows(
        connection,
        standings,
        (
            kinds[key % len(kinds)]
            | {"influencer_id": key, "interactions": mean, "followers": count}
            for key, mean, count in zip(
                keys.tolist(), interactions.tolist(), followers, strict=True
            )
        ),
    )
    insert_rows(
        connection,
        _SHARES,
        (
            share.model_dump(include=set(_COPIED)) | {"pattern": number}
            for number, pattern in enumerate(patterns)
            for share in pattern.verdict.shares
            if share.posts
        ),
    )
    kind = standings.c.influencer_id % len(patterns)
    chosen = (
        select(
            standings.c.influencer_id,
            *(_SHARES.c[name] for name in _COPIED),
            standings.c.certainty,
            standings.c.followers,
            standings.c.interactions,
            standings.c.usable,
        )
        .join(_SHARES, _SHARES.c.pattern == kind)
        .order_by(standings.c.influencer_id, _SHARES.c.category)
    )
    names = ["influencer_id", *_COPIED, "certainty", "followers", "interactions", "usable"]
    connection.execute(insert(standing_shares).from_select(names, chosen))


def _insert_truth(
    connection: Connection, accounts: int, classes: Sequence[str], rng: np.random.Generator
) -> None:
    insert_rows(
        connection,
        truth_labels,
        [
            {"kind": "account", "target": account_name(key), "labeller": "drawn"}
            | {"categories": [str(rng.choice(classes))], "created_at": NOW}
            for key in range(1, accounts + 1)
        ],
    )
