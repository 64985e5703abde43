"""Starting crawls: what a command asks for becomes a run with parts to list."""

from collections.abc import Sequence
from typing import Any

from pipelines.sources.imagenet import (
    expand,
    look_up_terms,
    parse_wnid,
    read_hierarchy,
    read_words,
)
from pipelines.sources.instagram import TOKEN_SETTING, USER_SETTING, normalise_tag
from pipelines.sources.pexels.api import KEY_SETTING
from pipelines.sources.values import parse_username
from schemas.categories import known_categories, read_categories
from schemas.crawls import PartKind
from schemas.errors import UsageError
from schemas.runs import MemberState, RunKind, RunState
from schemas.settings import Settings
from storage.crawl_counts import count_urls
from storage.crawl_parts import NewPart, add_parts, count_parts, retry_parts
from storage.crawl_urls import retry_urls
from storage.runs import clear_run_error, create_run, lock_run, read_run, reopen_run
from tasks.app import app
from tasks.context import Context
from tasks.crawl_pages import read_access
from tasks.start import require_workers

CRAWLING = ("control", "scrape")

Wanted = Sequence[tuple[str, str]]
"""Pairs of a term, wnid, tag or username, and the category that it stands for."""


def start_crawl(
    resources: Context,
    source: str,
    parts: Sequence[NewPart],
    *,
    urgent: bool = False,
    categories: Sequence[str] | None = None,
    **params: Any,
) -> int:
    """Start listing parts of one source and fetching what they name; return the run's id.

    Raises:
        UsageError: there is nothing to list.
        BrokerError, WorkersError: nobody would do the work.
    """
    if not parts:
        raise UsageError("There is nothing to crawl: name a term, or give --from-categories.")
    require_workers(resources, CRAWLING)
    if categories is None:
        categories = sorted({part.category for part in parts})
    known = {name: value for name, value in params.items() if value is not None}
    with resources.database.write() as connection:
        run_id = create_run(
            connection,
            RunKind.CRAWL,
            params={"source": source, "categories": list(categories), "urgent": urgent, **known},
        )
        add_parts(connection, run_id, parts)
    app.send_task("runs.feed", (run_id,))
    return run_id


def crawl_imagenet(
    resources: Context, wanted: Wanted, *, recursive: bool, limit: int | None
) -> tuple[int, list[str]]:
    """Start crawling synsets, given by id or by name; return the run and remarks for a person.

    With ImageNet's files at hand (AFIN_IMAGENET_FILES) names are looked up and addresses read from
    them; else the historical API is asked, which knows ids only.

    Raises:
        UsageError: neither files nor API are set, or only names are given to the API.
        SourceError: a file cannot be read.
    """
    settings = resources.settings
    if settings.imagenet_files is not None:
        return _crawl_files(resources, wanted, recursive=recursive, limit=limit)
    if not settings.imagenet_url:
        raise UsageError(
            "ImageNet needs AFIN_IMAGENET_URL (its historical API) or AFIN_IMAGENET_FILES (a "
            "folder with fall11_urls.txt, words.txt and wordnet.is_a.txt); 'afin sandbox' has both."
        )
    parts, remarks = [], []
    for name, category in wanted:
        try:
            parts.append(NewPart(kind="synset", name=parse_wnid(name), category=category))
        except UsageError:
            remarks.append(
                f"{name!r} is left out: the API knows ids only; set AFIN_IMAGENET_FILES to look "
                "names up."
            )
    run_id = start_crawl(resources, "imagenet", parts, recursive=recursive, limit=limit)
    return run_id, remarks


def _crawl_files(
    resources: Context, wanted: Wanted, *, recursive: bool, limit: int | None
) -> tuple[int, list[str]]:
    folder = resources.settings.imagenet_files
    assert folder is not None, "looked at by the caller"  # noqa: S101
    words, children = read_words(folder), read_hierarchy(folder)
    wnids: dict[str, list[str]] = {}
    remarks: list[str] = []
    for category in dict.fromkeys(category for _, category in wanted):
        terms = [name for name, of in wanted if of == category]
        for sense in look_up_terms(terms, words, children):
            if sense.remark:
                remarks.append(sense.remark)
            for chosen in sense.chosen:
                for wnid in expand(chosen, children) if recursive else [chosen]:
                    wnids.setdefault(wnid, [])
                    if category not in wnids[wnid]:
                        wnids[wnid].append(category)
    if not wnids:
        raise UsageError(f"No synset was found: {' '.join(remarks)}")
    parts = [NewPart(kind="files", name=folder.name or "files")]
    categories = sorted({category for _, category in wanted})
    run_id = start_crawl(
        resources, "imagenet", parts, wnids=wnids, limit=limit, categories=categories
    )
    return run_id, remarks


def crawl_pexels(resources: Context, wanted: Wanted, *, pages: bool, limit: int | None) -> int:
    """Start crawling searches, through the API or, if ``pages``, the pages people see.

    Raises:
        UsageError: the API's key is not set, or a term is empty.
    """
    if not pages and resources.settings.pexels_key is None:
        raise UsageError(
            f"Pexels' API needs a key: set {KEY_SETTING} (from your account at Pexels), or crawl "
            "its pages with --pages."
        )
    kind: PartKind = "pages" if pages else "search"
    parts = [
        NewPart(kind=kind, name=term.strip()[:200], category=category)
        for term, category in wanted
        if term.strip()
    ]
    return start_crawl(resources, "pexels", parts, limit=limit)


def crawl_tags(resources: Context, wanted: Wanted, *, posts: int | None) -> int:
    """Start crawling posts by tag.

    Raises:
        UsageError: a tag is none.
        SourceBlockedError: the token or the account that asks is not set.
    """
    read_access(resources.settings)
    parts = [
        NewPart(kind="tag", name=normalise_tag(tag), category=category) for tag, category in wanted
    ]
    return start_crawl(resources, "instagram", parts, posts=posts)


def crawl_accounts(
    resources: Context, usernames: Sequence[str], *, posts: int | None, urgent: bool = True
) -> int:
    """Start fetching accounts with their posts, ahead of other crawls.

    Raises:
        UsageError: a username is none.
        SourceBlockedError: the token or the account that asks is not set.
    """
    read_access(resources.settings)
    try:
        names = [parse_username(name) for name in usernames]
    except ValueError as error:
        raise UsageError(str(error)) from None
    parts = [NewPart(kind="account", name=name) for name in names]
    return start_crawl(resources, "instagram", parts, posts=posts, urgent=urgent)


def terms_of_categories(source: str, categories: Sequence[str]) -> list[tuple[str, str]]:
    """Return every search term of the category file for one source, with its category."""
    known = read_categories().categories
    return [(term, name) for name in categories for term in getattr(known[name], source)]


def require_category(name: str) -> str:
    """Return a category's slug.

    Raises:
        UsageError: there is no such category.
    """
    if name not in (*known_categories(), "otra"):
        raise UsageError(
            f"Unknown category {name!r}: use one of {', '.join(known_categories())}, or otra."
        )
    return name


def retry_crawl(resources: Context, run_id: int) -> tuple[int, int]:
    """Try again what a crawl gave up; return how many lists and how many addresses that are.

    Raises:
        NotFoundError, UsageError: there is no such run, or it is no crawl, or was cancelled.
    """
    with resources.database.read() as connection:
        run = read_run(connection, run_id)
    if run.kind is not RunKind.CRAWL or run.state is RunState.CANCELLED:
        raise UsageError(f"Run {run_id} is no crawl that could go on: see 'afin runs list'.")
    with resources.database.read() as connection:
        dead = count_parts(connection, run_id)[MemberState.DEAD]
        dead += count_urls(connection, run_id)[MemberState.DEAD]
    if not dead:
        return 0, 0
    require_workers(resources, CRAWLING)
    with resources.database.write() as connection:
        run = lock_run(connection, run_id)
        lists, urls = retry_parts(connection, run_id), retry_urls(connection, run_id)
        if run.state.final and (lists or urls):
            reopen_run(connection, run_id)
        elif lists:
            clear_run_error(connection, run_id)
    app.send_task("runs.feed", (run_id,))
    return lists, urls


def missing_settings(settings: Settings) -> dict[str, str]:
    """Name the settings that each source lacks before it can be asked; empty where none."""
    instagram = {
        TOKEN_SETTING: settings.instagram_token,
        USER_SETTING: settings.instagram_user_id,
    }
    listed = settings.imagenet_url or settings.imagenet_files
    return {
        "imagenet": "" if listed else "AFIN_IMAGENET_FILES or AFIN_IMAGENET_URL",
        "pexels": "" if settings.pexels_key else KEY_SETTING,
        "instagram": " and ".join(name for name, value in instagram.items() if not value),
    }
