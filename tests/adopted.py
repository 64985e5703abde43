"""Lets tests run under settings of their own, and gives back those that were in force."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from schemas.settings import Settings
from tasks.context import adopt_settings, context

PREFIX = "AFIN_"
TEST_PREFIX = "AFIN_TEST_"
"""Variables that tell tests where servers are: no settings of the product."""


@contextmanager
def adopted(environment: Mapping[str, str]) -> Iterator[Settings]:
    """Run a block under these settings alone, with resources that are closed at its end."""
    before = _settings()
    close_resources()
    _forget(before)
    try:
        yield adopt_settings(environment)
    finally:
        close_resources()
        _forget(_settings())
        adopt_settings(before)


def close_resources() -> None:
    """Close what this process's context has opened; a forgotten connection would be a warning."""
    resources = context()
    if "database" in vars(resources):
        resources.database.close()


def _settings() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(PREFIX) and not name.startswith(TEST_PREFIX)
    }


def _forget(environment: Mapping[str, str]) -> None:
    for name in environment:
        del os.environ[name]
