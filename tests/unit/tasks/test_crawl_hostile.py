"""A crawl of servers that do everything wrong: each address ends with its reason, in time."""

import resource
from pathlib import Path

import pytest

from pipelines.sources.sandbox import Misbehaviour, Sandbox, Server
from schemas.runs import RunState
from storage.crawl_tables import crawl_urls
from storage.tables import photos, training_examples
from tasks.start_crawl import crawl_imagenet
from tests.unit.tasks.crawling import adds_up, driving

DOG = "n02084071"
HURRIED = {
    # Enough for any answer on a busy machine; those that never end get less.
    "fetch_timeout_s": "30",
    "max_photo_bytes": str(2**20),
    # The sandbox's stand-ins are drawn, and known to nobody beforehand.
    "crawl_placeholder_urls": "3",
}
MOST_GROWTH_KIB = 200 * 1024

BEHAVIOURS: list[tuple[Misbehaviour, set[str]]] = [
    (Misbehaviour.SERVER_ERROR, {"http-500"}),
    (Misbehaviour.UNAVAILABLE, {"throttled", "timeout"}),
    (Misbehaviour.DROPPED, {"broken-answer"}),
    (Misbehaviour.HALF, {"broken-answer"}),
    (Misbehaviour.NOT_FOUND, {"http-404"}),
    (Misbehaviour.GONE, {"http-410"}),
    (Misbehaviour.HTML, {"not-an-image"}),
    (Misbehaviour.HTML_AS_JPEG, {"not-an-image"}),
    (Misbehaviour.PLACEHOLDER, {"placeholder"}),
    (Misbehaviour.STAND_IN, {"placeholder"}),
    (Misbehaviour.THROTTLED_BODY, {"placeholder"}),
    (Misbehaviour.SVG, {"not-an-image", "unsupported-format"}),
    (Misbehaviour.EMPTY, {"empty"}),
    (Misbehaviour.TRUNCATED, {"truncated"}),
    (Misbehaviour.NOAI, {"noai"}),
    (Misbehaviour.ROBOTS, {"robots"}),
    (Misbehaviour.SLOW, {"timeout"}),
    (Misbehaviour.SLOW_HEADERS, {"timeout"}),
    (Misbehaviour.DRIP, {"timeout", "too-slow"}),
    (Misbehaviour.ENDLESS, {"too-big"}),
    (Misbehaviour.LYING_LENGTH, {"broken-answer"}),
    (Misbehaviour.HUGE_HEADERS, {"broken-answer"}),
    (Misbehaviour.GZIP_BOMB, {"too-big", "timeout"}),
    (Misbehaviour.BROTLI_BOMB, {"bad-encoding"}),
    (Misbehaviour.ZSTD_BOMB, {"bad-encoding"}),
    (Misbehaviour.PNG_BOMB, {"too-many-pixels"}),
    (Misbehaviour.REDIRECT_LOOP, {"too-many-redirects"}),
    (Misbehaviour.REDIRECT_CHAIN, {"too-many-redirects"}),
    (Misbehaviour.REDIRECT_FILE, {"bad-url"}),
    (Misbehaviour.REDIRECT_DATA, {"bad-url"}),
    (Misbehaviour.REDIRECT_LOOPBACK, {"forbidden-address"}),
    (Misbehaviour.REDIRECT_HEX, {"forbidden-address"}),
    (Misbehaviour.REDIRECT_DECIMAL, {"forbidden-address"}),
    (Misbehaviour.REDIRECT_MAPPED_LOOPBACK, {"forbidden-address"}),
    (Misbehaviour.REDIRECT_LINK_LOCAL, {"forbidden-address"}),
    (Misbehaviour.REDIRECT_PRIVATE, {"forbidden-address"}),
    (Misbehaviour.REDIRECT_CGNAT, {"forbidden-address"}),
    (Misbehaviour.REDIRECT_ULA, {"forbidden-address"}),
    (Misbehaviour.REDIRECT_MAPPED, {"forbidden-address"}),
    # The host left alone after many failures in a row says the same.
    (Misbehaviour.REFUSED, {"refused"}),
]


@pytest.mark.parametrize(("misbehaviour", "reasons"), BEHAVIOURS)
def test_each_misbehaviour_is_recorded_and_hurts_only_itself(
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    misbehaviour: Misbehaviour,
    reasons: set[str],
) -> None:
    # About every second address; which ones is drawn from their names.
    share = 1.0 if misbehaviour is Misbehaviour.ROBOTS else 0.5
    sandbox.misbehave(Server.IMAGENET_PHOTOS, {misbehaviour: share})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    settings = HURRIED | ({"fetch_timeout_s": "2"} if "timeout" in reasons else {})
    with driving(sandbox, tmp_path, monkeypatch, **settings) as driver:
        run_id = crawl_imagenet(driver.resources, [(DOG, "animal")], recursive=False, limit=None)[0]
        report = driver.finish(run_id, hurry=True)
        rows = driver.rows(crawl_urls)
        examples = len(driver.rows(training_examples))
        stored = len(driver.rows(photos))
    assert report.state is RunState.DONE
    assert adds_up(report)
    assert report.waiting == 0
    ended = {row.outcome for row in rows} - {"stored", "duplicate", "near-duplicate"}
    assert ended <= reasons
    # Of twelve at least one, unless another try did better.
    assert ended or misbehaviour in {
        Misbehaviour.SERVER_ERROR,
        Misbehaviour.DROPPED,
        Misbehaviour.HALF,
        Misbehaviour.UNAVAILABLE,
    }
    # The row of a learned placeholder stays.
    assert report.stored == examples <= stored
    assert report.stored > 0 or misbehaviour is Misbehaviour.ROBOTS
    assert sandbox.trap_hits == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_GROWTH_KIB


@pytest.mark.parametrize(
    "misbehaviour", [Misbehaviour.JPEG_AS_HTML, Misbehaviour.GIF, Misbehaviour.ODD_NAME]
)
def test_what_is_only_odd_is_stored(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, misbehaviour: Misbehaviour
) -> None:
    sandbox.misbehave(Server.IMAGENET_PHOTOS, {misbehaviour: 0.5})
    with driving(sandbox, tmp_path, monkeypatch, fetch_timeout_s="30") as driver:
        run_id = crawl_imagenet(driver.resources, [(DOG, "animal")], recursive=False, limit=None)[0]
        report = driver.finish(run_id)
    assert (report.dead, report.refused) == ({}, {})
    assert report.stored + report.duplicates == report.found


def test_secrets_of_one_host_never_go_to_another(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = {Misbehaviour.ODD_NAME: 1.0, Misbehaviour.REDIRECT_ELSEWHERE: 1.0}
    sandbox.misbehave(Server.IMAGENET_PHOTOS, shares)
    with driving(sandbox, tmp_path, monkeypatch, **HURRIED) as driver:
        run_id = crawl_imagenet(driver.resources, [(DOG, "animal")], recursive=False, limit=None)[0]
        report = driver.finish(run_id)
    assert report.stored > 0
    assert sandbox.ledger.count(Server.PEXELS_PHOTOS, "photo") > 0
    assert sandbox.ledger.count(Server.PEXELS_PHOTOS, "credentials") == 0
