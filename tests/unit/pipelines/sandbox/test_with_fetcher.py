"""What the guarded fetcher makes of each misbehaviour: the two are held against each other."""

import asyncio
import time

import pytest

from pipelines.sources.http import Fetcher, FetchPolicy
from pipelines.sources.sandbox import Misbehaviour, Sandbox, Server
from schemas.errors import FetchError
from tests.sandbox import ask

PHOTO = "/photos/1000001/pexels-photo-1000001.jpeg"
IMPATIENT = FetchPolicy(
    total_timeout_s=3.0, headers_timeout_s=0.4, min_rate_grace_s=0.3, retries=0, max_bytes=2**20
)


def fetch(sandbox: Sandbox, url: str) -> str:
    """Fetch a photo, with only the sandbox's own hosts allowed, and tell how it ended."""
    policy = IMPATIENT.model_copy(update={"allow_loopback": sandbox.loopback_hosts})

    async def play() -> str:
        async with Fetcher(policy) as fetcher:
            try:
                await fetcher.fetch(url)
            except FetchError as error:
                return error.reason
        return "ok"

    return asyncio.run(play())


@pytest.mark.parametrize(
    ("misbehaviour", "reason"),
    [
        (Misbehaviour.THROTTLE, "throttled"),
        (Misbehaviour.SERVER_ERROR, "http-500"),
        (Misbehaviour.UNAVAILABLE, "throttled"),
        (Misbehaviour.DROPPED, "broken-answer"),
        (Misbehaviour.HALF, "broken-answer"),
        (Misbehaviour.NOT_FOUND, "http-404"),
        (Misbehaviour.GONE, "http-410"),
        (Misbehaviour.THROTTLED_BODY, "placeholder"),
        (Misbehaviour.NOAI, "noai"),
        (Misbehaviour.ROBOTS, "robots"),
        (Misbehaviour.SLOW, "timeout"),
        (Misbehaviour.SLOW_HEADERS, "timeout"),
        (Misbehaviour.DRIP, "too-slow"),
        (Misbehaviour.ENDLESS, "too-big"),
        (Misbehaviour.LYING_LENGTH, "broken-answer"),
        (Misbehaviour.HUGE_HEADERS, "broken-answer"),
        (Misbehaviour.GZIP_BOMB, "too-big"),
        (Misbehaviour.BROTLI_BOMB, "bad-encoding"),
        (Misbehaviour.ZSTD_BOMB, "bad-encoding"),
        (Misbehaviour.REDIRECT_LOOP, "too-many-redirects"),
        (Misbehaviour.REDIRECT_CHAIN, "too-many-redirects"),
        (Misbehaviour.REDIRECT_FILE, "bad-url"),
        (Misbehaviour.REDIRECT_DATA, "bad-url"),
        (Misbehaviour.REDIRECT_LOOPBACK, "forbidden-address"),
        (Misbehaviour.REDIRECT_HEX, "forbidden-address"),
        (Misbehaviour.REDIRECT_DECIMAL, "forbidden-address"),
        (Misbehaviour.REDIRECT_MAPPED_LOOPBACK, "forbidden-address"),
        (Misbehaviour.REDIRECT_LINK_LOCAL, "forbidden-address"),
        (Misbehaviour.REDIRECT_PRIVATE, "forbidden-address"),
        (Misbehaviour.REDIRECT_CGNAT, "forbidden-address"),
        (Misbehaviour.REDIRECT_ULA, "forbidden-address"),
        (Misbehaviour.REDIRECT_MAPPED, "forbidden-address"),
    ],
)
def test_a_photo_is_refused_in_time(
    sandbox: Sandbox, misbehaviour: Misbehaviour, reason: str
) -> None:
    sandbox.misbehave(Server.PEXELS_PHOTOS, {misbehaviour: 1.0})
    started = time.monotonic()
    assert fetch(sandbox, sandbox.base(Server.PEXELS_PHOTOS) + PHOTO) == reason
    assert time.monotonic() - started < 3.0
    assert sandbox.trap_hits == 0


def test_a_dead_host_refuses(sandbox: Sandbox) -> None:
    sandbox.misbehave(Server.IMAGENET_PHOTOS, {Misbehaviour.REFUSED: 1.0})
    listed = f"{sandbox.imagenet_url}/api/text/imagenet.synset.geturls?wnid=n02084071"
    assert fetch(sandbox, ask(listed).text.split()[0]) == "refused"


def test_nothing_secret_goes_to_another_host(sandbox: Sandbox) -> None:
    sandbox.misbehave(Server.PEXELS_PHOTOS, {Misbehaviour.REDIRECT_ELSEWHERE: 1.0})
    url = sandbox.base(Server.PEXELS_PHOTOS).replace("://", "://user:pass@") + PHOTO
    assert fetch(sandbox, url) == "ok"
    assert sandbox.ledger.count(Server.INSTAGRAM_PHOTOS, "photo") == 1
    assert sandbox.ledger.count(Server.INSTAGRAM_PHOTOS, "credentials") == 0
