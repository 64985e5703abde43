"""Kinds of accounts, drawn by lot: how their posts were judged, and the verdict of that."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import numpy as np

from pipelines.verdict import conclude_account
from schemas.bundles import BundleManifest
from schemas.verdicts import PostOutcome, Verdict

PATTERNS = 100
NOW = datetime(2026, 1, 5, tzinfo=UTC)
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


def draw_patterns(manifest: BundleManifest, posts_each: int) -> list[Pattern]:
    """Return the kinds of accounts there are; account ``n`` begins as kind ``n % PATTERNS``."""
    rng = np.random.default_rng(12)
    return [_pattern(manifest, posts_each, rng) for _ in range(PATTERNS)]


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


class VerdictText:
    """A verdict's JSON with holes where its posts stand."""

    def __init__(self, verdict: Verdict) -> None:
        text = json.dumps([verdict.model_dump(mode="json")])
        self._parts = re.split(r"(?<=\"evidence\": \[)([^\]]*)(?=\])", text)

    def write(self, offset: int) -> str:
        """Return it for an account whose posts come after ``offset``."""
        parts = list(self._parts)
        for place in range(1, len(parts), 2):
            posts = [int(post) + offset for post in parts[place].split(", ") if post]
            parts[place] = ", ".join(map(str, posts))
        return "".join(parts)


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
