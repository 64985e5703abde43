"""The crawlers read whole what the local stand-ins of their sources serve."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from pydantic import SecretStr

from pipelines.sources import imagenet, instagram, pexels
from pipelines.sources.http import Fetcher, FetchPolicy, ThrottledError
from pipelines.sources.instagram import Edge, GraphAccess
from pipelines.sources.sandbox import (
    INSTAGRAM_TOKEN,
    INSTAGRAM_USER_ID,
    PEXELS_KEY,
    Misbehaviour,
    Sandbox,
    SandboxContent,
    SandboxPlan,
    Server,
)
from schemas.categories import read_categories
from schemas.crawls import FoundPhoto
from schemas.errors import BudgetError, SourceBlockedError

ANIMAL = "n01317541"
CONTENT = SandboxContent(photos_per_term=90, urls_per_synset=5, posts_per_tag=20, accounts=2)

T = TypeVar("T")


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    """One sandbox for all tests of this file."""
    with Sandbox(CONTENT) as started:
        yield started


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    """The sandbox, with nothing going wrong."""
    running.plan = SandboxPlan(misbehaviours={})
    return running


def ask(sandbox: Sandbox, call: Callable[[Fetcher], Awaitable[T]]) -> T:
    async def play() -> T:
        limits = FetchPolicy(allow_loopback=sandbox.loopback_hosts, retries=0)
        async with Fetcher(limits) as fetcher:
            return await call(fetcher)

    return asyncio.run(play())


def graph(sandbox: Sandbox, token: str = INSTAGRAM_TOKEN) -> GraphAccess:
    return GraphAccess(
        base_url=f"{sandbox.instagram_url}/v23.0",
        user_id=INSTAGRAM_USER_ID,
        token=SecretStr(token),
    )


# ImageNet


def test_the_api_and_the_files_of_imagenet_tell_the_same(sandbox: Sandbox, tmp_path: Path) -> None:
    async def crawl(fetcher: Fetcher) -> set[tuple[str, str]]:
        base = sandbox.imagenet_url
        below = await imagenet.read_hyponyms(fetcher, base, ANIMAL, full=True)
        pages = [await imagenet.read_synset_urls(fetcher, base, wnid) for wnid in [ANIMAL, *below]]
        return {(photo.external_id, photo.url) for page in pages for photo in page.items}

    sandbox.write_files(tmp_path)
    wnids = imagenet.expand(ANIMAL, imagenet.read_hierarchy(tmp_path))
    entries = imagenet.iter_urls(tmp_path, wnids)
    # Some lines of the file are broken on purpose, and bear a number that no image has.
    listed = {
        (entry.external_id, entry.url)
        for entry in entries
        if isinstance(entry, FoundPhoto) and not entry.external_id.endswith("_9999999")
    }
    assert ask(sandbox, crawl) == listed
    assert len(listed) == 5 * len(wnids)


def test_the_wnids_of_a_category_name_themselves(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.write_files(tmp_path)
    words, children = imagenet.read_words(tmp_path), imagenet.read_hierarchy(tmp_path)
    terms = read_categories().categories["animal"].imagenet
    senses = imagenet.look_up_terms(terms, words, children)
    assert [sense.chosen[0] for sense in senses][1:] == list(terms[1:])


# Pexels


@pytest.mark.parametrize("way", ["api", "2020", "next"])
def test_a_search_is_read_to_its_last_page(sandbox: Sandbox, way: str) -> None:
    async def crawl(fetcher: Fetcher) -> list[FoundPhoto]:
        found: list[FoundPhoto] = []
        following: str | None = "1"
        while following is not None:
            number = int(following)
            if way == "api":
                key = SecretStr(PEXELS_KEY)
                page, _ = await pexels.search_page(
                    fetcher, sandbox.pexels_url, key, "food", number, per_page=40
                )
            else:
                base = sandbox.pexels_url
                page = await pexels.read_search_page(fetcher, "food", number, base_url=base)
            assert page.problems == ()
            found += page.items
            following = page.next
        return found

    if way != "api":
        sandbox.plan = sandbox.plan.change(pexels_layout=way)
    found = ask(sandbox, crawl)
    assert len({photo.external_id for photo in found}) == 90
    assert all(photo.photographer and photo.photographer_url and photo.page for photo in found)


def test_a_wrong_key_is_told_by_its_setting(sandbox: Sandbox) -> None:
    with pytest.raises(SourceBlockedError, match="AFIN_PEXELS_KEY"):
        ask(
            sandbox,
            lambda fetcher: pexels.search_page(
                fetcher, sandbox.pexels_url, SecretStr("wrong"), "food"
            ),
        )


def test_a_spent_hour_of_pexels_is_told(sandbox: Sandbox) -> None:
    sandbox.plan = sandbox.plan.change(pexels_hourly=0)
    with pytest.raises(BudgetError):
        ask(
            sandbox,
            lambda fetcher: pexels.search_page(
                fetcher, sandbox.pexels_url, SecretStr(PEXELS_KEY), "food"
            ),
        )


def test_the_challenge_of_pexels_stops_the_source(sandbox: Sandbox) -> None:
    sandbox.misbehave(Server.PEXELS, {Misbehaviour.CHALLENGE: 1.0})
    with pytest.raises(SourceBlockedError, match="challenge"):
        ask(
            sandbox,
            lambda fetcher: pexels.read_search_page(fetcher, "food", base_url=sandbox.pexels_url),
        )


# Instagram


@pytest.mark.parametrize("repeat_cursor", [False, True])
@pytest.mark.parametrize("edge", ["recent_media", "top_media"])
def test_a_tag_is_read_to_its_last_page(sandbox: Sandbox, edge: Edge, repeat_cursor: bool) -> None:
    async def crawl(fetcher: Fetcher) -> list[str]:
        access = graph(sandbox)
        tag_id, _ = await instagram.find_tag(fetcher, access, "#Maraton")
        found: list[str] = []
        after = None
        while True:
            page, _ = await instagram.read_tag_page(
                fetcher, access, tag_id, edge=edge, after=after, limit=7
            )
            found += [post.external_id for post in page.items]
            after = page.next
            if after is None:
                return found

    sandbox.plan = sandbox.plan.change(repeat_cursor=repeat_cursor)
    found = ask(sandbox, crawl)
    assert len(found) == len(set(found)) == 20


@pytest.mark.parametrize("repeat_cursor", [False, True])
def test_an_account_is_read_to_its_last_page(sandbox: Sandbox, repeat_cursor: bool) -> None:
    username = sandbox.accounts[0].username

    async def crawl(fetcher: Fetcher) -> tuple[list[str], int | None]:
        found: list[str] = []
        after = None
        while True:
            account, page, _ = await instagram.read_account_page(
                fetcher, graph(sandbox), username, after=after, limit=3
            )
            found += [post.external_id for post in page.items]
            after = page.next
            if after is None:
                return found, account.posts

    sandbox.plan = sandbox.plan.change(repeat_cursor=repeat_cursor)
    found, count = ask(sandbox, crawl)
    assert len(found) == len(set(found)) == count


def test_the_budget_of_tags_is_told_when_it_is_spent(sandbox: Sandbox) -> None:
    tags = read_categories().categories["comida"].instagram[:4]

    async def crawl(fetcher: Fetcher) -> None:
        for tag in tags:
            await instagram.find_tag(fetcher, graph(sandbox), tag)

    sandbox.plan = sandbox.plan.change(tag_budget=3)
    with pytest.raises(BudgetError):
        ask(sandbox, crawl)
    asked, _ = ask(sandbox, lambda fetcher: instagram.read_asked_tags(fetcher, graph(sandbox)))
    assert len(asked) == 3


def test_a_wrong_token_is_told_by_its_setting(sandbox: Sandbox) -> None:
    access = graph(sandbox, "wrong")
    with pytest.raises(SourceBlockedError, match="AFIN_INSTAGRAM_TOKEN"):
        ask(sandbox, lambda fetcher: instagram.find_tag(fetcher, access, "maraton"))


def test_a_throttled_application_is_told_to_wait(sandbox: Sandbox) -> None:
    sandbox.misbehave(Server.INSTAGRAM, {Misbehaviour.GRAPH_ERROR: 1.0})
    with pytest.raises(ThrottledError) as caught:
        ask(sandbox, lambda fetcher: instagram.find_tag(fetcher, graph(sandbox), "maraton"))
    assert caught.value.retry_after_s == pytest.approx(300, abs=2)
