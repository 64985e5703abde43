"""Plans the accounts of a sample: what each is about, its posts, and what is wrong with some."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Literal

from pipelines.sources.samples.captions import WORDS, compose_caption
from schemas.categories import OTRA

Fault = Literal["truncated", "html", "missing"]
Kind = Literal["broken-photos", "silent", "single-post", "unusable"]

_FAULTS: tuple[Fault, ...] = ("truncated", "html", "missing")
_KINDS: tuple[Kind, ...] = ("broken-photos", "silent", "single-post", "unusable")
_ORDINARY_FIRST = 2
_ON_TOPIC = 0.8
_WITHOUT_CAPTION = 0.1
_EVERY = 9  # of so many posts one has no photo, and one is an album
_TEXT_ONLY, _ALBUM = 4, 1
_FIRST_DAY = datetime(2026, 1, 5, 12, tzinfo=UTC)


@dataclass(frozen=True)
class PlannedPost:
    """A post to write: ``photos`` is how many, ``fault`` what is wrong with all of them."""

    id: str
    category: str
    caption: str
    photos: int
    posted_at: str
    likes: int
    comments: int
    fault: Fault | None = None


@dataclass(frozen=True)
class PlannedAccount:
    """An account to write; ``categories`` is None where its posts could not show any."""

    username: str
    followers: int
    categories: tuple[str, ...] | None
    posts: tuple[PlannedPost, ...]


def plan_accounts(
    random: Random, topics: Sequence[str], count: int, posts: tuple[int, int]
) -> list[PlannedAccount]:
    """Plan accounts about one or two topics each; the last few have something wrong with them.

    Of those, one has broken photos, one empty captions, one a single post and one no usable post.
    """
    names = _name_accounts(topics)
    planned = []
    for index in range(count):
        about = [topics[index % len(topics)]]
        if index % 3 == 1 and len(topics) > 1:
            about.append(random.choice([topic for topic in topics if topic not in about]))
        followers = random.randint(30, 9_000) * 100 + random.randint(0, 99)
        made = _plan_posts(random, about, topics, random.randint(*posts))
        planned.append(PlannedAccount(next(names[about[0]]), followers, tuple(about), made))
    faulty = range(max(_ORDINARY_FIRST, count - len(_KINDS)), count)
    for index, kind in zip(faulty, _KINDS, strict=False):
        planned[index] = _spoil(planned[index], kind)
    return planned


def _name_accounts(topics: Sequence[str]) -> dict[str, Iterator[str]]:
    return {topic: _vary(WORDS[topic].usernames) for topic in topics}


def _vary(names: Sequence[str]) -> Iterator[str]:
    yield from names
    number = 2
    while True:
        yield from (f"{name}{number}" for name in names)
        number += 1


def _plan_posts(
    random: Random, about: Sequence[str], topics: Sequence[str], count: int
) -> tuple[PlannedPost, ...]:
    on_topic = max(1, round(count * _ON_TOPIC))
    others = [OTRA, *(topic for topic in topics if topic not in about)]
    categories = [about[number % len(about)] for number in range(on_topic)]
    # Mostly about nothing: stray posts in one and the same category would make it a topic.
    categories += [
        OTRA if number % 2 == 0 else random.choice(others) for number in range(count - on_topic)
    ]
    random.shuffle(categories)
    made = (_plan_post(random, number, category) for number, category in enumerate(categories))
    return tuple(made)


def _plan_post(random: Random, number: int, category: str) -> PlannedPost:
    text_only, album = number % _EVERY == _TEXT_ONLY, number % _EVERY == _ALBUM
    silent = not text_only and random.random() < _WITHOUT_CAPTION
    hours = number * 31 + random.randint(0, 12)
    return PlannedPost(
        id=f"p{number:03d}",
        category=category,
        caption="" if silent else compose_caption(category, random),
        photos=0 if text_only else random.randint(2, 3) if album else 1,
        posted_at=(_FIRST_DAY + timedelta(hours=hours)).isoformat().replace("+00:00", "Z"),
        likes=random.randint(20, 5_000),
        comments=random.randint(0, 200),
    )


def _spoil(account: PlannedAccount, kind: Kind) -> PlannedAccount:
    posts = account.posts
    if kind == "silent":
        spoilt = tuple(replace(post, caption="", photos=max(1, post.photos)) for post in posts)
        return replace(account, posts=spoilt)
    if kind == "single-post":
        about = account.categories or (OTRA,)
        own = next(post for post in posts if post.category in about)
        return replace(account, posts=(own,), categories=(own.category,))
    if kind == "broken-photos":
        # Every fourth post of an account that is fine otherwise.
        broken = {number: _FAULTS[number // 4 % 3] for number in range(0, len(posts), 4)}
        spoilt = tuple(
            replace(post, photos=max(1, post.photos), fault=broken[number])
            if number in broken
            else post
            for number, post in enumerate(posts)
        )
        return replace(account, posts=spoilt)
    spoilt = tuple(
        replace(post, caption="", photos=1, fault=_FAULTS[number % 3])
        for number, post in enumerate(posts)
    )
    return replace(account, posts=spoilt, categories=None)
