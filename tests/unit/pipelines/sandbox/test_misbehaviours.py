import gzip
import io
import time
from email.utils import parsedate_to_datetime

import aiohttp
import pytest
from PIL import Image

from pipelines.sources.sandbox import PEXELS_KEY, Misbehaviour, Sandbox, Server
from pipelines.sources.sandbox.bombs import BROTLI, UNPACKED_BYTES, make_gzip_bomb, make_zstd_bomb
from tests.sandbox import Reply, TurnableClock, ask, ask_all

PHOTO = "/photos/1000001/pexels-photo-1000001.jpeg"
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"


def photo_url(sandbox: Sandbox) -> str:
    return sandbox.base(Server.PEXELS_PHOTOS) + PHOTO


def ask_badly(sandbox: Sandbox, misbehaviour: Misbehaviour, *, timeout_s: float = 10.0) -> Reply:
    sandbox.misbehave(Server.PEXELS_PHOTOS, {misbehaviour: 1.0})
    return ask(photo_url(sandbox), timeout_s=timeout_s)


# Gone, or no photo


@pytest.mark.parametrize(
    ("misbehaviour", "status"),
    [
        (Misbehaviour.NOT_FOUND, 404),
        (Misbehaviour.GONE, 410),
        (Misbehaviour.SERVER_ERROR, 500),
        (Misbehaviour.UNAVAILABLE, 503),
        (Misbehaviour.THROTTLE, 429),
    ],
)
def test_it_refuses_with_its_status(
    sandbox: Sandbox, misbehaviour: Misbehaviour, status: int
) -> None:
    assert ask_badly(sandbox, misbehaviour).status == status


@pytest.mark.parametrize(
    ("misbehaviour", "content_type", "start"),
    [
        (Misbehaviour.HTML, "text/html", b"<!doctype"),
        (Misbehaviour.HTML_AS_JPEG, "image/jpeg", b"<!doctype"),
        (Misbehaviour.JPEG_AS_HTML, "text/html", JPEG_START),
        (Misbehaviour.SVG, "image/svg+xml", b"<svg"),
        (Misbehaviour.GIF, "image/gif", b"GIF89a"),
        (Misbehaviour.STAND_IN, "image/png", b"\x89PNG"),
    ],
)
def test_it_serves_something_else_with_200(
    sandbox: Sandbox, misbehaviour: Misbehaviour, content_type: str, start: bytes
) -> None:
    reply = ask_badly(sandbox, misbehaviour)
    assert (reply.status, reply.headers["Content-Type"]) == (200, content_type)
    assert reply.body.startswith(start)


def test_an_empty_body_is_empty(sandbox: Sandbox) -> None:
    reply = ask_badly(sandbox, Misbehaviour.EMPTY)
    assert (reply.status, reply.body) == (200, b"")


def test_a_throttled_body_has_93_bytes(sandbox: Sandbox) -> None:
    assert len(ask_badly(sandbox, Misbehaviour.THROTTLED_BODY).body) == 93


def test_the_gif_moves(sandbox: Sandbox) -> None:
    with Image.open(io.BytesIO(ask_badly(sandbox, Misbehaviour.GIF).body)) as image:
        assert getattr(image, "is_animated", False)


def test_a_truncated_photo_is_half_of_it(sandbox: Sandbox) -> None:
    whole = ask(photo_url(sandbox)).body
    half = ask_badly(sandbox, Misbehaviour.TRUNCATED).body
    assert half == whole[: len(whole) // 2]


def test_a_placeholder_is_reached_by_a_redirect(sandbox: Sandbox) -> None:
    reply = ask_badly(sandbox, Misbehaviour.PLACEHOLDER)
    assert reply.status == 302
    assert "photo_unavailable" in reply.headers["Location"]
    with Image.open(io.BytesIO(ask(reply.headers["Location"]).body)) as image:
        image.load()


def test_the_stand_in_is_the_same_for_all_addresses(sandbox: Sandbox) -> None:
    sandbox.misbehave(Server.PEXELS_PHOTOS, {Misbehaviour.STAND_IN: 1.0})
    base = sandbox.base(Server.PEXELS_PHOTOS)
    replies = ask_all([f"{base}/photos/100000{n}/pexels-photo-100000{n}.jpeg" for n in range(3)])
    assert len({reply.body for reply in replies}) == 1


def test_a_photo_can_be_withheld_from_machines(sandbox: Sandbox) -> None:
    reply = ask_badly(sandbox, Misbehaviour.NOAI)
    assert reply.headers["X-Robots-Tag"] == "noai, noimageai"
    assert reply.body.endswith(JPEG_END)


def test_robots_are_barred_on_request(sandbox: Sandbox) -> None:
    url = sandbox.base(Server.PEXELS_PHOTOS) + "/robots.txt"
    assert "Allow: /" in ask(url).text
    sandbox.misbehave(Server.PEXELS_PHOTOS, {Misbehaviour.ROBOTS: 1.0})
    assert "Disallow: /" in ask(url).text


# Retry-After


@pytest.mark.parametrize("misbehaviour", [Misbehaviour.THROTTLE, Misbehaviour.UNAVAILABLE])
@pytest.mark.parametrize(
    ("asked", "told"),
    [("3", "3"), ("absurd", "999999999999"), ("garbage", "soon, probably"), ("absent", None)],
)
def test_the_host_says_when_to_come_back(
    sandbox: Sandbox, misbehaviour: Misbehaviour, asked: str, told: str | None
) -> None:
    sandbox.plan = sandbox.plan.change(retry_after=asked)
    assert ask_badly(sandbox, misbehaviour).headers.get("Retry-After") == told


def test_the_host_says_it_as_a_date(sandbox: Sandbox, clock: TurnableClock) -> None:
    sandbox.plan = sandbox.plan.change(retry_after="date")
    told = ask_badly(sandbox, Misbehaviour.THROTTLE).headers["Retry-After"]
    assert parsedate_to_datetime(told).timestamp() == clock.now + 2


# Broken off, endless, lying


@pytest.mark.parametrize(
    "misbehaviour",
    [
        Misbehaviour.DROPPED,
        Misbehaviour.HALF,
        Misbehaviour.LYING_LENGTH,
        Misbehaviour.HUGE_HEADERS,
    ],
)
def test_it_breaks_the_answer(sandbox: Sandbox, misbehaviour: Misbehaviour) -> None:
    with pytest.raises(aiohttp.ClientError):
        ask_badly(sandbox, misbehaviour)


@pytest.mark.parametrize(
    "misbehaviour",
    [Misbehaviour.SLOW, Misbehaviour.SLOW_HEADERS, Misbehaviour.DRIP, Misbehaviour.ENDLESS],
)
def test_it_takes_longer_than_anybody_waits(sandbox: Sandbox, misbehaviour: Misbehaviour) -> None:
    with pytest.raises(TimeoutError):
        ask_badly(sandbox, misbehaviour, timeout_s=0.3)


def test_a_slow_answer_is_a_whole_one_in_the_end(sandbox: Sandbox) -> None:
    sandbox.plan = sandbox.plan.change(slow_s=0.05)
    assert ask_badly(sandbox, Misbehaviour.SLOW).body.endswith(JPEG_END)


def test_every_answer_can_be_late(sandbox: Sandbox) -> None:
    ask(photo_url(sandbox))
    sandbox.plan = sandbox.plan.change(latency_s=0.2)
    started = time.monotonic()
    ask(photo_url(sandbox))
    assert time.monotonic() - started >= 0.2


def test_hanging_answers_do_not_hold_up_the_end(sandbox: Sandbox) -> None:
    with pytest.raises(TimeoutError):
        ask_badly(sandbox, Misbehaviour.SLOW, timeout_s=0.1)
    started = time.monotonic()
    sandbox.stop()
    assert time.monotonic() - started < 2.0


# Bombs


def test_a_bomb_is_small_on_the_wire_and_huge_unpacked(sandbox: Sandbox) -> None:
    reply = ask_badly(sandbox, Misbehaviour.GZIP_BOMB)
    assert (reply.headers["Content-Encoding"], reply.body) == ("gzip", make_gzip_bomb())
    assert len(reply.body) < 200_000
    with gzip.open(io.BytesIO(reply.body)) as packed:
        assert sum(len(piece) for piece in iter(lambda: packed.read(2**20), b"")) == UNPACKED_BYTES


@pytest.mark.parametrize(
    ("misbehaviour", "encoding", "body"),
    [
        (Misbehaviour.BROTLI_BOMB, "br", BROTLI),
        (Misbehaviour.ZSTD_BOMB, "zstd", make_zstd_bomb()),
    ],
)
def test_other_bombs_say_how_they_are_packed(
    sandbox: Sandbox, misbehaviour: Misbehaviour, encoding: str, body: bytes
) -> None:
    reply = ask_badly(sandbox, misbehaviour)
    assert (reply.headers["Content-Encoding"], reply.body) == (encoding, body)
    assert len(reply.body) < 10_000


def test_a_png_bomb_has_400_million_pixels(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = ask_badly(sandbox, Misbehaviour.PNG_BOMB).body
    assert len(body) < 100_000
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with Image.open(io.BytesIO(body)) as image:
        assert image.size == (20_000, 20_000)


# Where and when


def test_apis_can_break_too(sandbox: Sandbox) -> None:
    sandbox.misbehave(Server.PEXELS, {Misbehaviour.TRUNCATED: 1.0})
    url = f"{sandbox.pexels_url}/v1/search?query=cooking"
    reply = ask(url, {"Authorization": PEXELS_KEY})
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        reply.json()


def test_a_misbehaviour_of_one_server_leaves_the_others_alone(sandbox: Sandbox) -> None:
    sandbox.misbehave(Server.PEXELS, {Misbehaviour.THROTTLE: 1.0})
    assert ask(photo_url(sandbox)).status == 200


def test_a_misbehaviour_ends_when_told(sandbox: Sandbox) -> None:
    assert ask_badly(sandbox, Misbehaviour.GONE).status == 410
    sandbox.misbehave(Server.PEXELS_PHOTOS)
    assert ask(photo_url(sandbox)).status == 200


def test_a_dead_address_stays_dead_and_a_throttled_one_does_not(sandbox: Sandbox) -> None:
    base = sandbox.base(Server.PEXELS_PHOTOS)
    urls = [f"{base}/photos/10000{n}/pexels-photo-10000{n}.jpeg" for n in range(10, 30)]
    sandbox.misbehave(Server.PEXELS_PHOTOS, {Misbehaviour.GONE: 0.4})
    first, second = ([reply.status for reply in ask_all(urls)] for _ in range(2))
    assert first == second
    assert set(first) == {200, 410}
    sandbox.misbehave(Server.PEXELS_PHOTOS, {Misbehaviour.THROTTLE: 0.5})
    tries = [[reply.status for reply in ask_all(urls)] for _ in range(2)]
    assert tries[0] != tries[1]
