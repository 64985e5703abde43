import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.sandbox import Misbehaviour, SandboxPlan, Server, parse_plan
from pipelines.sources.sandbox.chance import draw, draw_misbehaviour
from pipelines.sources.sandbox.hostile import ANSWERS
from pipelines.sources.sandbox.misbehaviours import LASTING, LISTED, PASSING, find_scope
from schemas.errors import UsageError

PHOTOS = (Server.IMAGENET_PHOTOS, Server.PEXELS_PHOTOS, Server.INSTAGRAM_PHOTOS)
CLEAN = SandboxPlan(misbehaviours={})


def test_some_of_imagenets_links_are_dead_unless_told_otherwise() -> None:
    assert sum(SandboxPlan().shares(Server.IMAGENET_PHOTOS).values()) == pytest.approx(0.3)
    assert parse_plan("none").misbehaviours == {}


def test_nothing_said_changes_nothing() -> None:
    assert parse_plan(" , ") == SandboxPlan()


def test_a_misbehaviour_of_a_server_is_said_of_it_alone() -> None:
    plan = parse_plan("pexels.throttle=0.25", CLEAN)
    assert plan.misbehaviours == {Server.PEXELS: {Misbehaviour.THROTTLE: 0.25}}


def test_a_misbehaviour_without_a_server_is_said_of_all_photo_servers() -> None:
    plan = parse_plan("not-found=0.25", CLEAN)
    assert plan.misbehaviours == {server: {Misbehaviour.NOT_FOUND: 0.25} for server in PHOTOS}


def test_a_misbehaviour_that_only_one_server_has_is_said_of_it() -> None:
    plan = parse_plan("challenge,dead-token=0.5", CLEAN)
    assert plan.misbehaviours == {
        Server.PEXELS: {Misbehaviour.CHALLENGE: 1.0},
        Server.INSTAGRAM: {Misbehaviour.DEAD_TOKEN: 0.5},
    }


def test_dead_links_die_in_many_ways_of_imagenets_photos() -> None:
    plan = parse_plan("dead=0.4", CLEAN)
    assert list(plan.misbehaviours) == [Server.IMAGENET_PHOTOS]
    assert len(plan.shares(Server.IMAGENET_PHOTOS)) > 4
    assert sum(plan.shares(Server.IMAGENET_PHOTOS).values()) == pytest.approx(0.4)


def test_dead_links_of_another_server_leave_out_what_it_cannot_do() -> None:
    plan = parse_plan("pexels-photos.dead=0.4", CLEAN)
    assert Misbehaviour.REFUSED not in plan.shares(Server.PEXELS_PHOTOS)
    assert Misbehaviour.NOT_FOUND in plan.shares(Server.PEXELS_PHOTOS)


def test_settings_are_read_as_what_they_are() -> None:
    plan = parse_plan("retry-after=date, latency-s=0.5,tag-budget=2,pexels-layout=2020", CLEAN)
    assert (plan.retry_after, plan.latency_s, plan.tag_budget) == ("date", 0.5, 2)
    assert plan.pexels_layout == "2020"


def test_a_later_item_adds_to_an_earlier_one() -> None:
    plan = parse_plan("gone=0.2,pexels-photos.svg=0.3", CLEAN)
    assert plan.shares(Server.PEXELS_PHOTOS) == {
        Misbehaviour.GONE: 0.2,
        Misbehaviour.SVG: 0.3,
    }


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "nowhere.throttle=0.5",
        "throttle=often",
        "throttle=2",
        "throttle=nan",
        "gone=0.6,svg=0.6",
        "pexels.dead-token",
        "instagram.refused=1",
        "latency-s",
        "latency-s=-1",
        "pexels-layout=1999",
        "retry-after=dat",
        "misbehaviours=1",
    ],
)
def test_what_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_plan(text, CLEAN)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_plan(text)
    except UsageError as error:
        assert str(error)  # noqa: PT017 - most texts are refused, a few are not


def test_every_misbehaviour_has_an_answer_and_a_server() -> None:
    own = {Misbehaviour.CHALLENGE, Misbehaviour.DEAD_TOKEN, Misbehaviour.GRAPH_ERROR}
    assert set(ANSWERS) == (PASSING | LASTING) - own
    assert set(Misbehaviour) == PASSING | LASTING | LISTED | {Misbehaviour.ROBOTS}
    assert all(find_scope(misbehaviour) for misbehaviour in Misbehaviour)


@given(st.text(), st.integers())
def test_luck_is_a_share_and_always_the_same(name: str, number: int) -> None:
    assert 0 <= draw(name, number) < 1
    assert draw(name, number) == draw(name, number)


def test_luck_is_spread_evenly() -> None:
    lucks = [draw("seed", number) for number in range(2_000)]
    assert all(0.2 < sum(luck < edge for luck in lucks) / 2_000 / edge < 1.2 for edge in (0.1, 0.5))


def test_misbehaviours_come_in_their_shares() -> None:
    shares = {Misbehaviour.GONE: 0.3, Misbehaviour.SVG: 0.1, Misbehaviour.THROTTLE: 0.5}
    drawn = [draw_misbehaviour(shares, LASTING, number) for number in range(2_000)]
    assert drawn.count(Misbehaviour.GONE) / 2_000 == pytest.approx(0.3, abs=0.05)
    assert drawn.count(Misbehaviour.SVG) / 2_000 == pytest.approx(0.1, abs=0.03)
    assert Misbehaviour.THROTTLE not in drawn
