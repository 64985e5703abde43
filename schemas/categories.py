"""The thirteen categories, the sets trained together, and the search terms of each source."""

import tomllib
from functools import cache
from importlib.resources import files

from schemas.base import Frozen
from schemas.errors import UsageError

OTRA = "otra"
"""None of the categories: a reject class in training, never in a verdict."""


class Category(Frozen):
    """One thing an influencer can be about, with what to ask each source for."""

    slug: str
    spanish: str
    english: str
    meaning: str
    pexels: tuple[str, ...]
    imagenet: tuple[str, ...]
    instagram: tuple[str, ...]


class CategoryFile(Frozen):
    """The contents of categories.toml."""

    categories: dict[str, Category]
    sets: dict[str, tuple[str, ...]]


@cache
def read_categories() -> CategoryFile:
    """Read categories.toml, which is part of the package."""
    raw = tomllib.loads(files("schemas").joinpath("categories.toml").read_text("utf-8"))
    categories = {
        slug: Category.model_validate({"slug": slug, **fields})
        for slug, fields in raw["categories"].items()
    }
    return CategoryFile(categories=categories, sets=raw["sets"])


def known_categories() -> tuple[str, ...]:
    """Return the slugs of all categories, in the file's order, without ``otra``."""
    return tuple(read_categories().categories)


def parse_category_set(text: str) -> tuple[str, ...]:
    """Turn ``five``, ``eight``, ``thirteen`` or ``a,b,c`` into category slugs.

    Raises:
        UsageError: a name is unknown, or nothing (or only ``otra``) was named.
    """
    sets = read_categories().sets
    if text.strip() in sets:
        return sets[text.strip()]
    slugs = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [slug for slug in slugs if slug not in read_categories().categories]
    if unknown or not slugs:
        wrong = f"Unknown category {unknown[0]!r}" if unknown else "No category named"
        raise UsageError(
            f"{wrong}: use {', '.join(sets)}, or a comma-separated list of "
            f"{', '.join(known_categories())}."
        )
    return slugs
