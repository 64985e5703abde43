"""Folders that download tools leave behind: which folder is whose, and which post is whose."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from pipelines.sources.assemble import Notes, build_account, build_post
from pipelines.sources.gallerydl import claim_gallerydl, read_gallerydl
from pipelines.sources.instaloader import read_instaloader
from pipelines.sources.metadata import DumpPost, DumpProfile
from pipelines.sources.values import make_problem, parse_username
from schemas.errors import SourceError
from schemas.posts import Problem, SourceAccount, SourcePost

SECTIONS = frozenset({"posts", "reels", "igtv"})
"""Folders within an account's folder that hold more of its own posts."""

NOT_POSTS = frozenset({"tagged", "stories", ":stories", "highlights", "avatar"})
"""Folders within an account's folder that hold other people's posts, or none."""


@dataclass
class _Gathered:
    """One folder's posts by the name of their owner ("" where the metadata name none)."""

    posts: dict[str, list[SourcePost]] = field(default_factory=dict)
    followers: dict[str, object] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_dump(folder: Path, *, max_caption_chars: int) -> Iterator[SourceAccount | Problem]:
    """Stream the accounts in a folder left by Instaloader or gallery-dl, or in many of them.

    A folder is its account's if it bears the account's name; the posts of others (a tag's, say)
    go to whom the metadata name.

    Raises:
        SourceError: nothing in the folder is named as either tool names it.
    """
    found = False
    for item in _walk(folder):
        if isinstance(item, Problem):
            yield item
            continue
        home, names = item
        gathered = _gather(home, names, max_caption_chars)
        found = found or bool(gathered.posts)
        yield from gathered.problems
        yield from _file_accounts(home, gathered)
    if not found:
        raise SourceError(
            f"{folder} holds no posts as Instaloader or gallery-dl save them: name an account's "
            "folder or the folder above several, with the files as the tool left them."
        )


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]] | Problem]:
    """Yield every folder that may be an account's, with its files' names relative to it."""
    unreadable: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=unreadable.append):
        home = Path(parent).resolve()
        shown = sorted(name for name in folders if not name.startswith("."))
        outside = {name for name in shown if not (home / name).resolve().is_relative_to(home)}
        for name in sorted(outside):
            detail = f"The link {name} leads out of the folder, and was left out."
            yield make_problem(where=home.name, reason="outside-folder", detail=detail)
        for name in sorted(NOT_POSTS.intersection(shown) - outside):
            detail = f"{name} holds no posts of this account, and was left out."
            yield make_problem(where=home.name, reason="skipped-folder", detail=detail)
        kept = [name for name in shown if name not in outside | NOT_POSTS]
        sections = [name for name in kept if name in SECTIONS and files]
        folders[:] = [name for name in kept if name not in sections]
        names = [name for name in files if not name.startswith(".")]
        for section in sections:
            _, _, more = next(os.walk(home / section, onerror=unreadable.append), ("", [], []))
            names += [f"{section}/{name}" for name in more if not name.startswith(".")]
        if names:
            yield home, sorted(names)
    for error in unreadable:
        where = Path(error.filename).name
        yield make_problem(where=where, reason="unreadable-folder", detail=f"{error.strerror}.")


def _gather(home: Path, names: list[str], max_caption_chars: int) -> _Gathered:
    gathered = _Gathered()
    claimed = claim_gallerydl(names)
    others = [name for name in names if name not in claimed]
    for item in chain(read_gallerydl(home, claimed), read_instaloader(home, others)):
        if isinstance(item, Problem):
            gathered.problems.append(item)
        elif isinstance(item, DumpProfile):
            gathered.followers[_read_owner(item.username)] = item.followers
        else:
            post = _build(home, item, max_caption_chars)
            gathered.posts.setdefault(_read_owner(item.owner), []).append(post)
    return gathered


def _build(home: Path, post: DumpPost, max_caption_chars: int) -> SourcePost:
    where = f"{home.name}/{post.name}"
    return build_post(post.raw, where=where, folder=home, max_caption_chars=max_caption_chars)


def _read_owner(value: object) -> str:
    try:
        return parse_username(value)
    except ValueError:
        return ""


def _file_accounts(home: Path, gathered: _Gathered) -> Iterator[SourceAccount | Problem]:
    posts = gathered.posts
    own = _read_owner(home.name)
    known = [name for name in posts if name]
    if own and (own in known or not known):
        # The account's own folder: what it shows there is its own, also a post made with others.
        posts = {own: list(chain.from_iterable(posts.values()))} if posts else {}
    elif "" in posts and len(known) == 1:
        posts = {known[0]: list(chain.from_iterable(posts.values()))}
    for username, mine in posts.items():
        if username:
            notes = Notes(home.name)
            followers = gathered.followers.get(username)
            yield from build_account(username, mine, notes, followers=followers, truth=None)
        else:
            detail = f"{len(mine)} posts have no metadata that name their account, and were left."
            yield make_problem(where=home.name, reason="unknown-owner", detail=detail)
