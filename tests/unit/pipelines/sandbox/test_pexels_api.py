import json
from pathlib import Path

import pytest
from yarl import URL

from pipelines.sources.sandbox import PEXELS_KEY, Misbehaviour, Sandbox, Server
from tests.sandbox import SMALL, Reply, TurnableClock, ask, ask_all
from tests.unit.pipelines.sandbox.shapes import shape

RATE_HEADERS = ("X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset")
HOUR_S, MONTH_S = 3600, 30 * 24 * 3600


def search(sandbox: Sandbox, query: str = "query=cooking", key: str = PEXELS_KEY) -> Reply:
    return ask(f"{sandbox.pexels_url}/v1/search?{query}", {"Authorization": key})


def test_an_answer_has_the_structure_of_a_real_one(sandbox: Sandbox, formats: Path) -> None:
    real = json.loads((formats / "pexels" / "api_search.json").read_text("utf-8"))
    served = search(sandbox, "query=cooking&per_page=80").json()
    assert shape(served) == shape(real)
    assert list(served["photos"][0]) == list(real["photos"][0])
    assert list(served["photos"][0]["src"]) == list(real["photos"][0]["src"])


def test_the_sizes_are_asked_for_as_in_a_real_answer(sandbox: Sandbox, formats: Path) -> None:
    real = json.loads((formats / "pexels" / "api_search.json").read_text("utf-8"))
    served = search(sandbox).json()
    for name, url in real["photos"][0]["src"].items():
        assert URL(served["photos"][0]["src"][name]).query == URL(url).query


def test_pages_follow_each_other_until_there_is_no_next(sandbox: Sandbox) -> None:
    url, ids, pages = f"{sandbox.pexels_url}/v1/search?query=cooking&per_page=20", [], 0
    while url:
        document = ask(url, {"Authorization": PEXELS_KEY}).json()
        ids += [photo["id"] for photo in document["photos"]]
        url, pages = document.get("next_page"), pages + 1
    assert pages == 4
    assert len(set(ids)) == len(ids) == SMALL.photos_per_term == document["total_results"]
    assert len(document["photos"]) == 5


def test_a_page_after_the_last_is_empty(sandbox: Sandbox) -> None:
    document = search(sandbox, "query=cooking&per_page=80&page=2").json()
    assert document["photos"] == []
    assert "next_page" not in document


def test_more_than_eighty_a_page_are_eighty(sandbox: Sandbox) -> None:
    assert search(sandbox, "query=cooking&per_page=500").json()["per_page"] == 80


def test_fifteen_a_page_are_usual(sandbox: Sandbox) -> None:
    assert len(search(sandbox).json()["photos"]) == 15


@pytest.mark.parametrize("query", ["query=COOKING", "query=cooking&page=1", "query=+cooking+"])
def test_a_term_is_found_however_it_is_written(sandbox: Sandbox, query: str) -> None:
    assert search(sandbox, query).json()["total_results"] == SMALL.photos_per_term


def test_an_unknown_term_finds_nothing(sandbox: Sandbox) -> None:
    document = search(sandbox, "query=xyzzy").json()
    assert (document["total_results"], document["photos"]) == (0, [])


@pytest.mark.parametrize(
    "query", ["", "query=", "query=cooking&page=0", "query=cooking&page=x", "query=a&per_page=-1"]
)
def test_a_wrong_question_is_refused(sandbox: Sandbox, query: str) -> None:
    assert search(sandbox, query).status == 400


@pytest.mark.parametrize("key", ["", "Bearer sandbox-key", "another"])
def test_without_the_key_nothing_is_told(sandbox: Sandbox, key: str) -> None:
    reply = search(sandbox, key=key)
    assert reply.status == 401
    assert not any(name in reply.headers for name in RATE_HEADERS)


def test_without_a_user_agent_nothing_is_told(sandbox: Sandbox) -> None:
    url = f"{sandbox.pexels_url}/v1/search?query=cooking"
    assert ask(url, {"Authorization": PEXELS_KEY, "User-Agent": ""}).status == 403


def test_the_budget_is_told_with_every_answer(sandbox: Sandbox, clock: TurnableClock) -> None:
    first, second = search(sandbox), search(sandbox)
    assert [int(first.headers[name]) for name in RATE_HEADERS] == [
        20_000,
        19_999,
        clock.now + MONTH_S,
    ]
    assert second.headers["X-Ratelimit-Remaining"] == "19998"


def test_a_spent_hour_is_refused_without_a_word_about_the_budget(
    sandbox: Sandbox, clock: TurnableClock
) -> None:
    sandbox.plan = sandbox.plan.change(pexels_hourly=2)
    replies = [search(sandbox) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert not any(name in replies[2].headers for name in (*RATE_HEADERS, "Retry-After"))
    clock.now += HOUR_S
    assert search(sandbox).status == 200


def test_a_spent_month_is_refused_until_it_is_over(sandbox: Sandbox, clock: TurnableClock) -> None:
    sandbox.plan = sandbox.plan.change(pexels_monthly=1)
    assert search(sandbox).headers["X-Ratelimit-Remaining"] == "0"
    clock.now += HOUR_S
    assert search(sandbox).status == 429
    clock.now += MONTH_S
    assert search(sandbox).status == 200


def test_a_refused_question_costs_nothing(sandbox: Sandbox) -> None:
    sandbox.plan = sandbox.plan.change(pexels_hourly=1)
    assert [search(sandbox, key="x").status, search(sandbox, "").status] == [401, 400]
    assert search(sandbox).status == 200


@pytest.mark.parametrize("size", ["original", "large2x", "tiny"])
def test_the_files_are_photos(sandbox: Sandbox, size: str) -> None:
    reply = ask(search(sandbox).json()["photos"][0]["src"][size])
    assert (reply.status, reply.headers["Content-Type"]) == (200, "image/jpeg")
    assert reply.body.startswith(b"\xff\xd8")


def test_all_sizes_are_the_same_file(sandbox: Sandbox) -> None:
    sizes = search(sandbox).json()["photos"][0]["src"]
    assert len({reply.body for reply in ask_all([sizes["original"], sizes["small"]])}) == 1


def test_credits_lead_somewhere(sandbox: Sandbox) -> None:
    photo = search(sandbox).json()["photos"][0]
    assert photo["photographer"]
    replies = ask_all([photo["url"], photo["photographer_url"]])
    assert [reply.status for reply in replies] == [200, 200]


def test_a_photo_that_does_not_exist_is_not_found(sandbox: Sandbox) -> None:
    base = sandbox.base(Server.PEXELS_PHOTOS)
    assert ask(f"{base}/photos/999999999999/pexels-photo-999999999999.jpeg").status == 404


def test_a_throttled_api_says_nothing_about_the_budget(sandbox: Sandbox) -> None:
    sandbox.misbehave(Server.PEXELS, {Misbehaviour.THROTTLE: 1.0})
    reply = search(sandbox)
    assert reply.status == 429
    assert not any(name in reply.headers for name in RATE_HEADERS)
