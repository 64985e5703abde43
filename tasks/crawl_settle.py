"""How fetches of a crawl ended, stored: photos with what they are for, and reasons for the rest."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from schemas.settings import Settings
from storage.crawl_urls import STORED, SettledUrl, Use, read_uses, rest_urls, settle_urls
from storage.likeness import NEAR, PLACEHOLDER, find_alike, known_placeholders, learn_placeholders
from storage.photos import PhotoRow, add_photos, known_photos, settle_place
from storage.runs import read_run
from storage.tagged import settle_tagged_photo
from storage.training import TRAIN, NewExample, add_examples, example_pairs
from tasks.context import Context

JUDGED = frozenset(
    {
        "duplicate",
        "near-duplicate",
        PLACEHOLDER,
        "noai",
        "robots",
        "too-big",
        "too-many-bytes",
        "too-many-pixels",
        "too-narrow",
        "too-small",
        "unsupported-format",
    }
)
"""Reasons that another fetch would meet again; any other may pass."""


@dataclass(frozen=True)
class Catch:
    """What one fetch brought: a photo's row, or the reason why there is none.

    ``throttled`` is one whose host only asked for patience.
    """

    url_id: int
    row: PhotoRow | None = None
    reason: str = ""
    throttled: bool = False
    size_bytes: int | None = None


def settle(resources: Context, run_id: int, caught: Sequence[Catch]) -> set[int]:
    """Store how fetches ended, in one transaction; return the addresses whose photo is stored.

    Storing it twice changes nothing.
    """
    with resources.database.write() as connection:
        run = read_run(connection, run_id)
        resting = rest_urls(connection, [one.url_id for one in caught if one.throttled])
        ends = [one for one in caught if one.url_id not in resting]
        # Settled before their uses are read: a page that adds one meanwhile waits, and then knows.
        settle_urls(connection, [_first_end(one) for one in ends])
        uses = read_uses(connection, [one.url_id for one in ends])
        decided = _Decision(resources.settings, str(run.params.get("source", "")))
        stored = decided.store(connection, [one for one in ends if one.row is not None], uses)
        for one in ends:
            if one.row is None:
                _settle_posts(connection, uses.get(one.url_id, ()), None, one.reason)
        return stored


def fulfil(connection: Connection, source: str, served: Sequence[tuple[Use, str]]) -> None:
    """Give stored photos to what they are for."""
    add_examples(
        connection,
        [_example(source, use.category, sha256) for use, sha256 in served if use.use == "example"],
    )
    for use, sha256 in served:
        _settle_posts(connection, (use,), sha256, None)


class _Decision:
    """What becomes of photos that arrived: examples, photos of posts, or nothing, and why."""

    def __init__(self, settings: Settings, source: str) -> None:
        self._settings = settings
        self._source = source

    def store(
        self, connection: Connection, caught: Sequence[Catch], uses: Mapping[int, Sequence[Use]]
    ) -> set[int]:
        rows = {one.url_id: one.row for one in caught if one.row is not None}
        hashes = {row.sha256 for row in rows.values()}
        stand_ins = known_placeholders(connection, hashes)
        before = known_photos(connection, hashes)
        outcomes = {
            url_id: self._refuse(row, uses.get(url_id, ()), stand_ins)
            for url_id, row in rows.items()
        }
        self._find_twins(connection, rows, outcomes, uses, before)
        kept = {url_id: row for url_id, row in rows.items() if outcomes[url_id] is None}
        add_photos(connection, list(kept.values()))
        pairs = example_pairs(connection, self._source, {row.sha256 for row in kept.values()})
        served = [(use, row.sha256) for url_id, row in kept.items() for use in uses.get(url_id, ())]
        fulfil(connection, self._source, served)
        sizes = {one.url_id: one.size_bytes for one in caught}
        settled, stored = [], set()
        for url_id, row in rows.items():
            outcome = outcomes[url_id]
            if outcome is None:
                new = _adds_something(row.sha256, uses.get(url_id, ()), pairs)
                outcome = STORED if new else "duplicate"
                pairs |= {(row.sha256, use.category) for use in uses.get(url_id, ())}
                stored.add(url_id)
            else:
                _settle_posts(connection, uses.get(url_id, ()), None, outcome)
            settled.append(
                SettledUrl(
                    id=url_id,
                    outcome=outcome,
                    photo_sha256=row.sha256 if url_id in kept else None,
                    size_bytes=sizes[url_id],
                )
            )
        settle_urls(connection, settled)
        learn_placeholders(
            connection,
            {row.sha256 for row in kept.values()},
            from_urls=self._settings.crawl_placeholder_urls,
        )
        return stored

    def _refuse(self, row: PhotoRow, uses: Sequence[Use], stand_ins: Collection[str]) -> str | None:
        """Say why a photo is not wanted; posts show what they show, examples must be usable."""
        if row.sha256 in stand_ins:
            return PLACEHOLDER
        if not uses or any(use.use != "example" for use in uses):
            return None
        short, long = sorted((row.width, row.height))
        if short < self._settings.crawl_min_side:
            return "too-small"
        if long > short * self._settings.crawl_max_aspect:
            return "too-narrow"
        return None

    def _find_twins(
        self,
        connection: Connection,
        rows: Mapping[int, PhotoRow],
        outcomes: dict[int, str | None],
        uses: Mapping[int, Sequence[Use]],
        before: Collection[str],
    ) -> None:
        """Refuse examples that look like one there is already, or like another of this batch."""
        fresh: dict[str, list[int]] = {}
        for url_id, row in rows.items():
            given = uses.get(url_id, ())
            only_example = given and all(use.use == "example" for use in given)
            new = outcomes[url_id] is None and row.phash is not None and row.sha256 not in before
            if only_example and new:
                fresh.setdefault(row.sha256, []).append(url_id)
        phashes = {rows[ids[0]].sha256: rows[ids[0]].phash or 0 for ids in fresh.values()}
        categories = {use.category for ids in fresh.values() for one in ids for use in uses[one]}
        alike = set(find_alike(connection, phashes, categories=categories))
        alike |= _alike_within(phashes, alike)
        for sha256 in alike:
            for url_id in fresh[sha256]:
                outcomes[url_id] = "near-duplicate"


def _first_end(one: Catch) -> SettledUrl:
    """What is noted of a fetch before its photo is decided on."""
    return SettledUrl(
        id=one.url_id,
        outcome=one.reason or STORED,
        failed=one.row is None and one.reason not in JUDGED,
        size_bytes=one.size_bytes,
    )


def _settle_posts(
    connection: Connection, uses: Sequence[Use], sha256: str | None, problem: str | None
) -> None:
    reason = problem[:40] if problem else None
    for use in uses:
        if use.use == "tagged":
            settle_tagged_photo(connection, use.target, use.position, sha256=sha256, problem=reason)
        elif use.use == "post":
            settle_place(connection, use.target, use.position, sha256=sha256, problem=reason)


def _adds_something(sha256: str, uses: Sequence[Use], pairs: Collection[tuple[str, str]]) -> bool:
    return any(use.use != "example" or (sha256, use.category) not in pairs for use in uses)


def _alike_within(phashes: Mapping[str, int], found: Collection[str]) -> set[str]:
    """Of photos of one batch that look the same, all but the first."""
    kept: list[int] = []
    alike: set[str] = set()
    for sha256, phash in phashes.items():
        if sha256 in found:
            continue
        if any((phash ^ other).bit_count() <= NEAR for other in kept):
            alike.add(sha256)
        else:
            kept.append(phash)
    return alike


def _example(source: str, category: str, sha256: str) -> NewExample:
    return NewExample(
        source=source, photo_sha256=sha256, category=category, split=TRAIN, caption=""
    )
