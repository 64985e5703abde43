"""How fetches of a crawl ended, stored: photos with what they are for, and reasons for the rest."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from schemas.runs import Run
from schemas.settings import Settings
from storage.crawl_ends import SettledUrl, lock_unsettled, rest_urls, settle_urls
from storage.crawl_urls import STORED, Use, read_uses
from storage.likeness import (
    PLACEHOLDER,
    alike_within,
    find_alike,
    known_placeholders,
    learn_placeholders,
)
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

LEAST_REST_S, MOST_REST_S = 15.0, 900.0
"""How long an address rests whose host asked for patience, whatever it said."""


class Catch(NamedTuple):
    """What one fetch brought: a photo's row, or the reason why there is none.

    ``rest_s`` is how long its host asked for patience, and ``asked`` whether it did so of this
    fetch; ``shown`` what may be read of an address that holds more than that.
    """

    url_id: int
    row: PhotoRow | None = None
    reason: str = ""
    rest_s: float | None = None
    asked: bool = True
    size_bytes: int | None = None
    shown: str | None = None


def settle(resources: Context, run_id: int, caught: Sequence[Catch]) -> set[int]:
    """Store how fetches ended, in one transaction; return the addresses whose photo is stored.

    Storing it twice changes nothing: the first end of an address counts.
    """
    settings = resources.settings
    # Two messages of one shard may end in one batch.
    caught = list({one.url_id: one for one in reversed(caught)}.values())[::-1]
    with resources.database.write() as connection:
        run = read_run(connection, run_id)
        # Locked before their uses are read: a page that adds one meanwhile waits, and then knows.
        undecided = lock_unsettled(connection, [one.url_id for one in caught])
        tired = [one for one in caught if one.rest_s is not None and one.url_id in undecided]
        resting = rest_urls(
            connection,
            {one.url_id: min(max(one.rest_s or 0.0, LEAST_REST_S), MOST_REST_S) for one in tired},
            # Nobody waits for ever on a host that asks for more than that.
            unasked={
                one.url_id for one in tired if not one.asked and (one.rest_s or 0.0) <= MOST_REST_S
            },
            timeout_s=settings.member_timeout_s,
        )
        ends = [one for one in caught if one.url_id in undecided - resting]
        settled = _keep(connection, settings, run, [one for one in ends if one.row])
        settled += _lose(connection, [one for one in ends if one.row is None])
        settle_urls(connection, settled)
        arrived = {one.photo_sha256 for one in settled if one.photo_sha256 is not None}
        learn_placeholders(connection, arrived, from_urls=settings.crawl_placeholder_urls)
        return {one.id for one in settled if one.photo_sha256 is not None}


def _lose(connection: Connection, caught: Sequence[Catch]) -> list[SettledUrl]:
    """Tell posts which photos of theirs did not arrive, and why."""
    uses = read_uses(connection, [one.url_id for one in caught], of_posts=True)
    settled = []
    for one in caught:
        _settle_posts(connection, uses.get(one.url_id, ()), None, one.reason)
        failed = one.reason not in JUDGED
        # One that may be tried again keeps its whole address.
        shown = None if failed else one.shown
        settled.append(
            SettledUrl(one.url_id, one.reason, failed, size_bytes=one.size_bytes, shown=shown)
        )
    return settled


def fulfil(connection: Connection, source: str, served: Sequence[tuple[Use, str]]) -> None:
    """Give stored photos to what they are for."""
    add_examples(
        connection,
        [_example(source, use.category, sha256) for use, sha256 in served if use.use == "example"],
    )
    for use, sha256 in served:
        _settle_posts(connection, (use,), sha256, None)


def _keep(
    connection: Connection, settings: Settings, run: Run, caught: Sequence[Catch]
) -> list[SettledUrl]:
    """Give photos that arrived to what they are for, or say why not."""
    if not caught:
        return []
    source = str(run.params.get("source", ""))
    uses = read_uses(connection, [one.url_id for one in caught])
    rows = {one.url_id: one.row for one in caught if one.row is not None}
    refused = _refuse(connection, settings, rows, uses)
    kept = {url_id: row for url_id, row in rows.items() if url_id not in refused}
    hashes = {row.sha256 for row in kept.values()}
    add_photos(connection, list(kept.values()))
    pairs = example_pairs(connection, source, hashes)
    served = [(use, row.sha256) for url_id, row in kept.items() for use in uses.get(url_id, ())]
    fulfil(connection, source, served)
    settled = []
    for one in caught:
        row, given = rows[one.url_id], uses.get(one.url_id, ())
        outcome = refused.get(one.url_id)
        if outcome is not None:
            _settle_posts(connection, given, None, outcome)
        settled.append(
            SettledUrl(
                id=one.url_id,
                outcome=outcome or _name_outcome(row.sha256, given, pairs),
                photo_sha256=None if outcome is not None else row.sha256,
                size_bytes=one.size_bytes,
                shown=one.shown,
            )
        )
        pairs |= {(row.sha256, use.category) for use in given if outcome is None}
    return settled


def _refuse(
    connection: Connection,
    settings: Settings,
    rows: Mapping[int, PhotoRow],
    uses: Mapping[int, Sequence[Use]],
) -> dict[int, str]:
    """Say which photos are not wanted, and why."""
    hashes = {row.sha256 for row in rows.values()}
    stand_ins = known_placeholders(connection, hashes)
    refused = {url_id: PLACEHOLDER for url_id, row in rows.items() if row.sha256 in stand_ins}
    # Posts show what they show; examples must be usable, and not look like one there is.
    examples = {
        url_id: row
        for url_id, row in rows.items()
        if url_id not in refused
        and uses.get(url_id)
        and all(use.use == "example" for use in uses[url_id])
    }
    for url_id, row in examples.items():
        short, long = sorted((row.width, row.height))
        if short < settings.crawl_min_side:
            refused[url_id] = "too-small"
        elif long > short * settings.crawl_max_aspect:
            refused[url_id] = "too-narrow"
    before = known_photos(connection, hashes)
    fresh: dict[tuple[str, ...], dict[int, PhotoRow]] = {}
    for url_id, row in examples.items():
        if url_id not in refused and row.phash is not None and row.sha256 not in before:
            categories = tuple(sorted({use.category for use in uses[url_id]}))
            fresh.setdefault(categories, {})[url_id] = row
    for categories, some in fresh.items():
        alike = _find_twins(connection, some, categories)
        refused |= {url_id: "near-duplicate" for url_id, row in some.items() if row.sha256 in alike}
    return refused


def _find_twins(
    connection: Connection, rows: Mapping[int, PhotoRow], categories: Collection[str]
) -> set[str]:
    """Which photos look like one there is already in their categories, or like another of these."""
    phashes = {row.sha256: row.phash for row in rows.values() if row.phash is not None}
    alike = set(find_alike(connection, phashes, categories=categories))
    return alike | alike_within(
        {sha256: phash for sha256, phash in phashes.items() if sha256 not in alike}
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


def _name_outcome(sha256: str, uses: Sequence[Use], pairs: Collection[tuple[str, str]]) -> str:
    new = any(use.use != "example" or (sha256, use.category) not in pairs for use in uses)
    return STORED if new else "duplicate"


def _example(source: str, category: str, sha256: str) -> NewExample:
    return NewExample(
        source=source, photo_sha256=sha256, category=category, split=TRAIN, caption=""
    )
