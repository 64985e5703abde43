import json

import pytest
from pydantic import ValidationError
from yarl import URL

from pipelines.sources.sandbox import (
    INSTAGRAM_TOKEN,
    INSTAGRAM_USER_ID,
    Misbehaviour,
    Sandbox,
    SandboxContent,
    Server,
)
from schemas.errors import UsageError
from tests.sandbox import SMALL, TurnableClock, ask, ask_all
from tests.unit.pipelines.sandbox.graph_calls import call, discover, find_tag, list_posts

WEEK_S = 7 * 24 * 3600

# Tags and their posts


def test_posts_are_paged_until_there_is_no_next(sandbox: Sandbox) -> None:
    document = list_posts(sandbox, limit="12")
    ids, pages = [post["id"] for post in document["data"]], 1
    while "paging" in document:
        document = ask(document["paging"]["next"]).json()
        ids += [post["id"] for post in document["data"]]
        pages += 1
    assert pages == 3
    assert len(set(ids)) == len(ids) == SMALL.posts_per_tag


def test_a_repeated_cursor_is_no_loop(sandbox: Sandbox) -> None:
    sandbox.plan = sandbox.plan.change(repeat_cursor=True)
    ids: list[str] = []
    query: dict[str, str] = {}
    for _ in range(3):
        document = list_posts(sandbox, limit="12", **query)
        ids += [post["id"] for post in document["data"]]
        if "paging" in document:
            query = {"after": document["paging"]["cursors"]["after"]}
            assert query == {"after": "after"}
    assert len(set(ids)) == SMALL.posts_per_tag


def test_the_next_address_carries_the_token(sandbox: Sandbox) -> None:
    following = list_posts(sandbox, limit="5")["paging"]["next"]
    assert URL(following).query["access_token"] == INSTAGRAM_TOKEN


def test_almost_every_caption_holds_the_tag(sandbox: Sandbox) -> None:
    captions = [post["caption"].split() for post in list_posts(sandbox, "montaña")["data"]]
    assert all("#montaña" in words for words in captions)


def test_tagged_posts_have_no_author(sandbox: Sandbox) -> None:
    document = list_posts(sandbox, fields="id,username")
    assert document["error"]["code"] == 100


def test_recent_posts_are_of_the_last_day(sandbox: Sandbox) -> None:
    stamps = [post["timestamp"] for post in list_posts(sandbox)["data"]]
    assert stamps == sorted(stamps, reverse=True)
    assert all(stamp >= "2026-02-05T12:00:00+0000" for stamp in stamps)


def test_top_posts_are_the_most_liked_and_partly_recent(sandbox: Sandbox) -> None:
    top = list_posts(sandbox, edge="top_media")["data"]
    recent = {post["id"] for post in list_posts(sandbox)["data"]}
    likes = [post["like_count"] for post in top]
    assert likes == sorted(likes, reverse=True)
    assert 0 < len(recent & {post["id"] for post in top}) < len(top)


def test_albums_and_some_videos_have_no_address_of_their_own(sandbox: Sandbox) -> None:
    posts = [
        post
        for tag in ("maraton", "comida", "perros", "moda", "outdoor")
        for post in list_posts(sandbox, tag)["data"]
    ]
    albums = [post for post in posts if post["media_type"] == "CAROUSEL_ALBUM"]
    videos = [post for post in posts if post["media_type"] == "VIDEO"]
    assert albums
    assert all("media_url" not in post and len(post["children"]["data"]) > 1 for post in albums)
    assert {"media_url" in post for post in videos} == {True, False}


def test_what_an_album_holds_can_be_fetched(sandbox: Sandbox) -> None:
    posts = [post for tag in ("maraton", "comida") for post in list_posts(sandbox, tag)["data"]]
    album = next(post for post in posts if "children" in post)
    replies = ask_all([child["media_url"] for child in album["children"]["data"]])
    assert {reply.headers["Content-Type"] for reply in replies} == {"image/jpeg"}
    assert len({reply.body for reply in replies}) == len(replies)


def test_an_address_that_ends_in_heic_serves_a_jpeg(sandbox: Sandbox) -> None:
    urls = [post.get("media_url", "") for post in list_posts(sandbox)["data"]]
    heic = next(url for url in urls if ".heic?stp=dst-jpg" in url)
    assert ask(heic).body.startswith(b"\xff\xd8")


def test_a_video_is_no_picture(sandbox: Sandbox) -> None:
    posts = [post for tag in ("comida", "moda", "pet") for post in list_posts(sandbox, tag)["data"]]
    url = next(post["media_url"] for post in posts if ".mp4" in post.get("media_url", ""))
    assert ask(url).headers["Content-Type"] == "video/mp4"


@pytest.mark.parametrize("limit", ["0", "51", "x"])
def test_more_than_fifty_posts_a_page_are_refused(sandbox: Sandbox, limit: str) -> None:
    assert list_posts(sandbox, limit=limit)["error"]["code"] == 100


def test_an_unknown_tag_is_not_found(sandbox: Sandbox) -> None:
    reply = find_tag(sandbox, "xyzzy")
    assert (reply.status, reply.json()["error"]["code"]) == (400, 100)


def test_a_tag_cannot_be_asked_for_without_an_account(sandbox: Sandbox) -> None:
    assert call(sandbox, "/ig_hashtag_search", q="maraton").json()["error"]["code"] == 100


# Accounts


def test_an_accounts_posts_are_paged_newest_first(sandbox: Sandbox) -> None:
    account = max(sandbox.accounts, key=lambda account: len(account.posts))
    stamps: list[str] = []
    after = ""
    for _ in range(len(account.posts)):
        fields = f"media{after}.limit(3){{id,timestamp,username}}"
        media = discover(sandbox, account.username, fields).json()["business_discovery"]["media"]
        stamps += [post["timestamp"] for post in media["data"]]
        assert {post["username"] for post in media["data"]} == {account.username}
        if "after" not in media.get("paging", {}).get("cursors", {}):
            break
        after = f".after({media['paging']['cursors']['after']})"
    assert stamps == sorted(stamps, reverse=True)
    assert len(stamps) == len(account.posts)


def test_an_account_tells_its_followers(sandbox: Sandbox) -> None:
    account = sandbox.accounts[0]
    profile = discover(sandbox, account.username, "followers_count,media_count").json()
    told = profile["business_discovery"]
    assert (told["followers_count"], told["media_count"]) == (
        account.followers,
        len(account.posts),
    )


def test_captions_of_an_account_are_as_planned(sandbox: Sandbox) -> None:
    account = sandbox.accounts[0]
    told = discover(sandbox, account.username, "media.limit(50){caption}").json()
    captions = [post.get("caption", "") for post in told["business_discovery"]["media"]["data"]]
    assert sorted(captions) == sorted(post.caption for post in account.posts)


def test_accounts_are_about_the_topics_that_were_named() -> None:
    content = SandboxContent(accounts=9, account_topics=("moda", "comida"))
    with Sandbox(content) as running:
        about = {topic for account in running.accounts for topic in account.categories or ()}
    assert about == {"moda", "comida"}


@pytest.mark.parametrize("topics", [("nonsense",), ()])
def test_accounts_cannot_be_about_nothing(topics: tuple[str, ...]) -> None:
    with pytest.raises((UsageError, ValidationError)):
        SandboxContent(account_topics=topics)


def test_an_account_that_is_not_there_is_not_found(sandbox: Sandbox) -> None:
    reply = discover(sandbox, "nobody.at.all", "id")
    assert (reply.status, reply.json()["error"]["code"]) == (400, 100)


def test_photos_of_a_faulty_account_have_their_faults(sandbox: Sandbox) -> None:
    account = next(account for account in sandbox.accounts if account.categories is None)
    told = discover(sandbox, account.username, "media.limit(50){media_url}").json()
    urls = [post["media_url"] for post in told["business_discovery"]["media"]["data"]]
    replies = ask_all(urls)
    assert {reply.status for reply in replies} <= {200, 404}
    assert all(not reply.body.endswith(b"\xff\xd9") for reply in replies)


# Token, budgets, expiry


@pytest.mark.parametrize(("token", "code"), [("another", 190), ("", 190)])
def test_a_wrong_token_is_error_190(sandbox: Sandbox, token: str, code: int) -> None:
    reply = call(sandbox, "/ig_hashtag_search", token=token)
    assert (reply.status, reply.json()["error"]["code"]) == (400, code)


def test_a_token_may_come_in_a_header(sandbox: Sandbox) -> None:
    url = f"{sandbox.instagram_url}/{INSTAGRAM_USER_ID}"
    assert ask(url, {"Authorization": f"Bearer {INSTAGRAM_TOKEN}"}).status == 200
    assert ask(url).json()["error"]["code"] == 104


def test_no_more_tags_than_the_budget_in_seven_days(sandbox: Sandbox, clock: TurnableClock) -> None:
    sandbox.plan = sandbox.plan.change(tag_budget=2)
    names = ["maraton", "comida", "maraton", "perros"]
    replies = [find_tag(sandbox, name) for name in names]
    assert [reply.status for reply in replies] == [200, 200, 200, 400]
    error = replies[3].json()["error"]
    assert (error["code"], error["error_subcode"]) == (18, 2207034)
    clock.now += WEEK_S
    assert find_tag(sandbox, "perros").status == 200


def test_usage_grows_until_calls_are_refused(sandbox: Sandbox, clock: TurnableClock) -> None:
    sandbox.plan = sandbox.plan.change(graph_calls=4)
    replies = [find_tag(sandbox, "maraton") for _ in range(5)]
    usage = [json.loads(reply.headers["X-App-Usage"])["call_count"] for reply in replies]
    assert usage == [25, 50, 75, 100, 100]
    assert replies[4].json()["error"]["code"] == 4
    details = json.loads(replies[4].headers["X-Business-Use-Case-Usage"])
    assert details[INSTAGRAM_USER_ID][0]["estimated_time_to_regain_access"] == 60
    clock.now += 3600
    assert find_tag(sandbox, "maraton").status == 200


@pytest.mark.parametrize("code", [4, 17, 32, 613, 190, 18, 100])
def test_any_error_can_be_had(sandbox: Sandbox, code: int) -> None:
    sandbox.plan = sandbox.plan.change(graph_code=code)
    sandbox.misbehave(Server.INSTAGRAM, {Misbehaviour.GRAPH_ERROR: 1.0})
    reply = find_tag(sandbox, "maraton")
    assert (reply.status, reply.json()["error"]["code"]) == (400, code)


def test_a_token_can_die(sandbox: Sandbox) -> None:
    sandbox.misbehave(Server.INSTAGRAM, {Misbehaviour.DEAD_TOKEN: 1.0})
    assert find_tag(sandbox, "maraton").json()["error"]["code"] == 190


def test_an_address_expires(sandbox: Sandbox, clock: TurnableClock) -> None:
    sandbox.plan = sandbox.plan.change(media_ttl_s=60)
    url = next(post["media_url"] for post in list_posts(sandbox)["data"] if "media_url" in post)
    assert ask(url).status == 200
    clock.now += 61
    assert ask(url).status == 403


def test_an_address_without_its_signature_is_refused(sandbox: Sandbox) -> None:
    url = next(post["media_url"] for post in list_posts(sandbox)["data"] if "media_url" in post)
    assert ask(url.partition("?")[0]).status == 403
