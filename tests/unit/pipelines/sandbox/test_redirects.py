import pytest

from pipelines.sources.sandbox import Misbehaviour, Sandbox, Server
from tests.sandbox import Reply, ask

PHOTO = "/photos/1000001/pexels-photo-1000001.jpeg"


def ask_badly(sandbox: Sandbox, misbehaviour: Misbehaviour) -> Reply:
    sandbox.misbehave(Server.PEXELS_PHOTOS, {misbehaviour: 1.0})
    return ask(sandbox.base(Server.PEXELS_PHOTOS) + PHOTO)


@pytest.mark.parametrize(
    ("misbehaviour", "target"),
    [
        (Misbehaviour.REDIRECT_FILE, "file:///"),
        (Misbehaviour.REDIRECT_DATA, "data:image/"),
        (Misbehaviour.REDIRECT_LOOPBACK, "http://localhost:"),
        (Misbehaviour.REDIRECT_HEX, "http://0x7f.1:"),
        (Misbehaviour.REDIRECT_DECIMAL, "http://2130706433:"),
        (Misbehaviour.REDIRECT_MAPPED_LOOPBACK, "http://[::ffff:127.0.0.1]:"),
        (Misbehaviour.REDIRECT_LINK_LOCAL, "http://169.254.169.254/"),
        (Misbehaviour.REDIRECT_PRIVATE, "http://10.0.0.1/"),
        (Misbehaviour.REDIRECT_CGNAT, "http://100.64.0.1/"),
        (Misbehaviour.REDIRECT_ULA, "http://[fd00::1]/"),
        (Misbehaviour.REDIRECT_MAPPED, "http://[::ffff:192.168.0.1]/"),
    ],
)
def test_it_leads_where_nobody_may_go(
    sandbox: Sandbox, misbehaviour: Misbehaviour, target: str
) -> None:
    reply = ask_badly(sandbox, misbehaviour)
    assert reply.status == 302
    assert reply.headers["Location"].startswith(target)


def test_who_goes_there_all_the_same_is_counted(sandbox: Sandbox) -> None:
    location = ask_badly(sandbox, Misbehaviour.REDIRECT_LOOPBACK).headers["Location"]
    assert sandbox.trap_hits == 0
    ask(location.replace("localhost", "127.0.0.1"))
    assert sandbox.trap_hits == 1


def follow(sandbox: Sandbox, misbehaviour: Misbehaviour, most: int) -> list[Reply]:
    replies = [ask_badly(sandbox, misbehaviour)]
    while replies[-1].status == 302 and len(replies) < most:
        location = replies[-1].headers["Location"]
        replies.append(ask(sandbox.base(Server.PEXELS_PHOTOS) + location))
    return replies


def test_a_loop_never_ends(sandbox: Sandbox) -> None:
    replies = follow(sandbox, Misbehaviour.REDIRECT_LOOP, 8)
    assert [reply.status for reply in replies] == [302] * 8
    assert len({reply.headers["Location"] for reply in replies}) == 2


def test_a_chain_ends_in_a_photo_after_25_hops(sandbox: Sandbox) -> None:
    replies = follow(sandbox, Misbehaviour.REDIRECT_CHAIN, 40)
    assert [reply.status for reply in replies] == [302] * 25 + [200]
    assert replies[-1].body.endswith(b"\xff\xd9")


@pytest.mark.parametrize(("headers", "count"), [({}, 0), ({"Authorization": "secret"}, 1)])
def test_credentials_taken_to_another_host_are_counted(
    sandbox: Sandbox, headers: dict[str, str], count: int
) -> None:
    location = ask_badly(sandbox, Misbehaviour.REDIRECT_ELSEWHERE).headers["Location"]
    assert location.startswith(sandbox.base(Server.INSTAGRAM_PHOTOS))
    assert ask(location, headers).status == 200
    assert sandbox.ledger.count(Server.INSTAGRAM_PHOTOS, "credentials") == count
