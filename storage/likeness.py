"""Photos that look the same: found by their perceptual hashes, and learned placeholders."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, Select, and_, delete, func, select, tuple_, update

from storage.bulk import among
from storage.crawl_tables import crawl_urls, placeholders, tagged_post_photos
from storage.database import in_parts, insert_or_update
from storage.tables import photo_bands, photos, post_photos, training_examples

BANDS = 4
BITS = 16
NEAR = 3
"""Two photos whose hashes differ in at most this many of 64 bits look the same.

Of four quarters at least one is then equal, which is what makes them findable by an index.
"""

KEYS_AT_ONCE = 200

PLACEHOLDER = "placeholder"


def to_stored(phash: int) -> int:
    """Turn 64 unsigned bits into the signed number that databases keep."""
    return phash - 2**64 if phash >= 2**63 else phash


def from_stored(number: int) -> int:
    """Turn what a database keeps back into 64 unsigned bits."""
    return number % 2**64


def add_bands(connection: Connection, hashes: Mapping[str, int]) -> None:
    """Make photos findable by their perceptual hashes (unsigned, by content hash)."""
    rows = [
        {"band": band, "bits": bits, "photo_sha256": sha256}
        for sha256, phash in hashes.items()
        # An even picture looks like every other one: its hash says nothing.
        if phash
        for band, bits in enumerate(_cut(phash))
    ]
    insert_or_update(connection, photo_bands, rows, key=["band", "bits", "photo_sha256"])


def find_alike(
    connection: Connection, hashes: Mapping[str, int], *, categories: Collection[str]
) -> dict[str, str]:
    """Return for each photo one that looks the same and is an example of these categories already.

    Both sides are content hashes; photos without such a twin are left out.
    """
    wanted: dict[tuple[int, int], list[str]] = {}
    for sha256, phash in hashes.items():
        for key in enumerate(_cut(phash)):
            wanted.setdefault(key, []).append(sha256)
    near: dict[str, list[str]] = {}
    keys = sorted(wanted)
    for start in range(0, len(keys), KEYS_AT_ONCE):
        query = _same_quarter(connection, keys[start : start + KEYS_AT_ONCE])
        for row in connection.execute(query):
            like = from_stored(row.phash)
            for sha256 in wanted[row.band, row.bits]:
                differing = (hashes[sha256] ^ like).bit_count()
                if sha256 != row.sha256 and differing <= NEAR:
                    near.setdefault(sha256, []).append(row.sha256)
    # Only now: few photos look alike, and many are examples.
    examples = _examples_among(
        connection, {one for some in near.values() for one in some}, categories
    )
    first = {
        sha256: next((one for one in some if one in examples), None)
        for sha256, some in near.items()
    }
    return {sha256: one for sha256, one in first.items() if one is not None}


def _same_quarter(
    connection: Connection, keys: Sequence[tuple[int, int]]
) -> Select[tuple[int, int, str, int]]:
    """Ask for photos that have one of these quarters in their hash."""
    columns = photo_bands.c
    query = select(columns.band, columns.bits, photos.c.sha256, photos.c.phash).join(
        photos, photos.c.sha256 == columns.photo_sha256
    )
    if connection.dialect.name != "sqlite":
        return query.where(tuple_(columns.band, columns.bits).in_(keys))
    listed = func.json_each(json.dumps(keys)).table_valued("value")
    return query.join(
        listed,
        and_(
            columns.band == func.json_extract(listed.c.value, "$[0]"),
            columns.bits == func.json_extract(listed.c.value, "$[1]"),
        ),
    )


def _examples_among(
    connection: Connection, hashes: Collection[str], categories: Collection[str]
) -> set[str]:
    found: set[str] = set()
    for part in in_parts(hashes):
        query = select(training_examples.c.photo_sha256).where(
            among(connection, training_examples.c.photo_sha256, part),
            training_examples.c.category.in_(categories),
        )
        found.update(connection.scalars(query))
    return found


def alike_within(hashes: Mapping[str, int]) -> set[str]:
    """Of photos that look the same, all but the first; by their hashes, unsigned."""
    kept: dict[tuple[int, int], list[int]] = {}
    alike: set[str] = set()
    for sha256, phash in hashes.items():
        keys = list(enumerate(_cut(phash)))
        if any((phash ^ other).bit_count() <= NEAR for key in keys for other in kept.get(key, ())):
            alike.add(sha256)
            continue
        for key in keys:
            kept.setdefault(key, []).append(phash)
    return alike


def known_placeholders(connection: Connection, hashes: Collection[str]) -> set[str]:
    """Return those contents that stand in for photos that are gone."""
    found: set[str] = set()
    for part in in_parts(hashes):
        query = select(placeholders.c.sha256).where(among(connection, placeholders.c.sha256, part))
        found.update(connection.scalars(query))
    return found


def learn_placeholders(
    connection: Connection, hashes: Collection[str], *, from_urls: int
) -> list[str]:
    """Recognise contents that ``from_urls`` different photos of lists turned out to be.

    They are no examples any more, and the addresses that led to them count as placeholders.
    """
    if not hashes:
        return []
    counted = (
        select(crawl_urls.c.photo_sha256)
        .where(among(connection, crawl_urls.c.photo_sha256, hashes), crawl_urls.c.category != "")
        .group_by(crawl_urls.c.photo_sha256)
        # Of one photo under several addresses, or in several synsets, only one side is many.
        .having(
            func.count(func.distinct(crawl_urls.c.external_id)) >= from_urls,
            func.count(func.distinct(crawl_urls.c.url_sha256)) >= from_urls,
        )
    )
    learned: list[str] = [found for found in connection.scalars(counted) if found]
    if learned:
        _disown(connection, learned)
    return learned


def _disown(connection: Connection, learned: Sequence[str]) -> None:
    rows = [{"sha256": sha256, "learned_at": datetime.now(UTC)} for sha256 in learned]
    insert_or_update(connection, placeholders, rows, key=["sha256"])
    connection.execute(
        delete(training_examples).where(training_examples.c.photo_sha256.in_(learned))
    )
    for places in (tagged_post_photos, post_photos):
        connection.execute(
            update(places)
            .where(places.c.photo_sha256.in_(learned))
            .values(photo_sha256=None, problem=PLACEHOLDER)
        )
    connection.execute(
        update(crawl_urls)
        .where(crawl_urls.c.photo_sha256.in_(learned))
        .values(photo_sha256=None, outcome=PLACEHOLDER)
    )


def _cut(phash: int) -> list[int]:
    return [(phash >> (BITS * band)) & (2**BITS - 1) for band in range(BANDS)]
