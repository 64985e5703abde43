import socket
from pathlib import Path

import pytest

from pipelines.sources.sandbox import Misbehaviour, Sandbox, SandboxContent, SandboxPlan, Server
from schemas.errors import UsageError
from tests.sandbox import SMALL, WELL_BEHAVED, TurnableClock, ask, ask_all

PHOTO = "/photos/1000001/pexels-photo-1000001.jpeg"
LISTING = "/api/text/imagenet.synset.geturls?wnid=n02084071"


def paths(sandbox: Sandbox) -> list[str]:
    urls = ask(sandbox.imagenet_url + LISTING).text.split()
    return ["/" + url.split("/", 3)[3] for url in urls]


def test_every_server_is_on_loopback(sandbox: Sandbox) -> None:
    assert set(sandbox.servers) == {server.value for server in Server}
    assert all(base.startswith("http://127.0.0.1:") for base in sandbox.servers.values())
    assert len(set(sandbox.servers.values())) == len(Server)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "localhost", "192.168.0.1", ""])  # noqa: S104
def test_no_other_address_is_served(host: str) -> None:
    with pytest.raises(UsageError, match=r"127\.0\.0\.1 only"):
        Sandbox(host=host)


def test_a_taken_port_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="name another --port"):
            Sandbox(port=taken.getsockname()[1])


def test_ports_follow_the_one_that_is_named() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        first = probe.getsockname()[1] % 20_000 + 10_000
    with Sandbox(SMALL, port=first) as running:
        assert running.url == f"http://127.0.0.1:{first}"
        assert {int(base.rpartition(":")[2]) for base in running.servers.values()} <= set(
            range(first, first + 9)
        )


def test_the_desk_tells_what_there_is(sandbox: Sandbox) -> None:
    told = ask(sandbox.url).json()
    assert told == sandbox.describe()
    assert told["accounts"] == [account.username for account in sandbox.accounts]
    assert told["environment"]["AFIN_PEXELS_KEY"] == "sandbox-key"


def test_the_dead_host_may_be_asked_and_the_trap_may_not(sandbox: Sandbox) -> None:
    sandbox.misbehave(Server.IMAGENET_PHOTOS, {Misbehaviour.REFUSED: 1.0})
    dead = ask(sandbox.imagenet_url + LISTING).text.split("/")[2]
    assert dead in sandbox.loopback_hosts
    sandbox.misbehave(Server.PEXELS_PHOTOS, {Misbehaviour.REDIRECT_LOOPBACK: 1.0})
    location = ask(sandbox.base(Server.PEXELS_PHOTOS) + PHOTO).headers["Location"]
    trap = location.split("/")[2].replace("localhost", "127.0.0.1")
    assert trap not in sandbox.loopback_hosts


def test_a_sandbox_that_was_stopped_answers_nobody(sandbox: Sandbox) -> None:
    sandbox.stop()
    with pytest.raises(OSError, match="Cannot connect"):
        ask(sandbox.url)


def test_it_can_be_stopped_twice(sandbox: Sandbox) -> None:
    sandbox.stop()
    sandbox.stop()


# The same for a seed


def test_two_sandboxes_of_a_seed_hold_the_same(sandbox: Sandbox, clock: TurnableClock) -> None:
    with Sandbox(SMALL, WELL_BEHAVED, clock=clock) as other:
        assert paths(sandbox) == paths(other)
        assert sandbox.accounts == other.accounts
        first, second = (
            ask_all([box.base(Server.IMAGENET_PHOTOS) + path for path in paths(sandbox)[:3]])
            for box in (sandbox, other)
        )
        assert [reply.body for reply in first] == [reply.body for reply in second]


def test_another_seed_holds_other_things(sandbox: Sandbox) -> None:
    content = SandboxContent.model_validate({**SMALL.model_dump(), "seed": 8})
    with Sandbox(content, WELL_BEHAVED) as other:
        assert paths(sandbox) != paths(other)
        url = sandbox.base(Server.PEXELS_PHOTOS) + PHOTO
        assert ask(url).body != ask(other.base(Server.PEXELS_PHOTOS) + PHOTO).body


def test_the_same_addresses_die_for_a_seed(clock: TurnableClock) -> None:
    deaths = []
    for _ in range(2):
        with Sandbox(SMALL, SandboxPlan(), clock=clock) as running:
            base = running.base(Server.IMAGENET_PHOTOS)
            replies = ask_all([f"{base}/photos/n02084071_{n}.jpg" for n in range(30)])
            deaths.append([reply.status for reply in replies])
    assert deaths[0] == deaths[1]
    assert len(set(deaths[0])) > 1


# Counts


def test_photos_served_are_counted_by_address(sandbox: Sandbox) -> None:
    url = sandbox.base(Server.PEXELS_PHOTOS) + PHOTO
    ask_all([url, url])
    assert sandbox.ledger.count(Server.PEXELS_PHOTOS, "photo") == 2
    assert sandbox.ledger.targets(Server.PEXELS_PHOTOS, "photo") == {PHOTO: 2}
    assert sandbox.ledger.count(Server.IMAGENET_PHOTOS) == 0


def test_what_went_wrong_is_counted_by_its_name(sandbox: Sandbox) -> None:
    sandbox.misbehave(Server.PEXELS_PHOTOS, {Misbehaviour.GONE: 1.0})
    ask(sandbox.base(Server.PEXELS_PHOTOS) + PHOTO)
    ask(sandbox.base(Server.INSTAGRAM_PHOTOS) + "/nothing")
    assert sandbox.ledger.counts() == {
        "instagram-photos": {"expired": 1},
        "pexels-photos": {"gone": 1},
    }


def test_counts_can_be_read_from_outside_and_reset(sandbox: Sandbox) -> None:
    ask(sandbox.imagenet_url + LISTING)
    assert ask(sandbox.url + "/counts").json() == {"imagenet": {"urls": 1}}
    sandbox.ledger.reset()
    assert ask(sandbox.url + "/counts").json() == {}


def test_no_token_is_among_the_counted_addresses(sandbox: Sandbox) -> None:
    ask(f"{sandbox.instagram_url}/ig_hashtag_search?access_token=sandbox-token&q=maraton")
    ask(f"{sandbox.instagram_url}/ig_hashtag_search?q=maraton&access_token=sandbox-token")
    targets = sandbox.ledger.targets(Server.INSTAGRAM, "error-100")
    assert targets == {"/ig_hashtag_search?q=maraton": 2}


# Photos of a folder


def test_a_folder_serves_its_own_photos_and_the_rest_is_drawn(tmp_path: Path) -> None:
    drawn = b"\xff\xd8\xff\xe0 not really \xff\xd9"
    (tmp_path / "comida").mkdir()
    for number in range(3):
        (tmp_path / "comida" / f"{number}.jpg").write_bytes(drawn + bytes([number]))
    content = SandboxContent(photos_dir=tmp_path, photos_per_term=3)
    with Sandbox(content, WELL_BEHAVED) as running:
        base = f"{running.pexels_url}/v1/search?query="
        key = {"Authorization": "sandbox-key"}
        bodies = {}
        for term in ("cooking", "hiking"):
            photos = ask(base + term, key).json()["photos"]
            bodies[term] = {ask(photo["src"]["original"]).body for photo in photos}
    assert bodies["cooking"] == {drawn + bytes([number]) for number in range(3)}
    assert all(len(body) > 1_000 for body in bodies["hiking"])


@pytest.mark.parametrize("inside", [(), ("comida/note.txt",), ("loose.jpg",)])
def test_a_folder_without_photos_is_refused(tmp_path: Path, inside: tuple[str, ...]) -> None:
    for name in inside:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match="holds no photos"):
        Sandbox(SandboxContent(photos_dir=tmp_path))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no folder"):
        Sandbox(SandboxContent(photos_dir=tmp_path / "nothing"))
