import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.http.robots import parse_robots, refuses_ai, robot_token
from tests.unit.pipelines.http.stand_in import by_path, fetch_from, policy, reply

RULES = """\ufeff# ours
User-agent: other
Disallow: /

User-agent: AFIN/2.0
User-agent: second
Disallow: /private
Allow: /private/open
Disallow: /*.gif$
Disallow: /caf%c3%a9
Disallow:

User-agent: *
Disallow: /all
"""


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/", True),
        ("/all", True),
        ("/private/x", False),
        ("/private/open/x", True),
        ("/a/b.gif", False),
        ("/a/b.gif?x", True),
        ("/caf%C3%A9", False),
    ],
)
def test_the_longest_rule_for_us_decides(path: str, allowed: bool) -> None:
    assert parse_robots(RULES, "afin").allow(path) is allowed


def test_who_is_not_named_follows_the_rules_for_all() -> None:
    assert not parse_robots(RULES, "third").allow("/all")
    assert parse_robots(RULES, "third").allow("/private")


def test_of_two_rules_as_long_the_one_that_allows_wins() -> None:
    assert parse_robots("user-agent: *\ndisallow: /ab\nallow: /a*", "afin").allow("/abc")


@given(st.text(), st.text())
def test_any_text_is_a_robots_file(text: str, path: str) -> None:
    parse_robots("user-agent: *\n" + text + "\ndisallow: " + path, "afin").allow("/" + path)


def test_stars_upon_stars_cost_no_time() -> None:
    rules = parse_robots("user-agent: *\ndisallow: /" + "*a" * 5000 + "b$", "afin")
    assert rules.allow("/" + "a" * 8000)


def test_the_token_of_a_user_agent_is_its_first_word() -> None:
    assert robot_token("Afin/0.1 (crawler)") == "afin"


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        (["noai"], True),
        (["noindex, NoImageAI"], True),
        (["noindex", "noai"], True),
        (["afin: noai"], True),
        (["googlebot: noai"], False),
        (["googlebot: noindex, noai"], False),
        (["googlebot: noindex, afin: noai"], True),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST, noai"], True),
        (["max-snippet:20, noai"], True),
        (["noindex, nofollow"], False),
        ([], False),
    ],
)
def test_x_robots_tag_is_heard_where_it_concerns_us(values: list[str], refused: bool) -> None:
    assert refuses_ai(values, "afin") is refused


@given(st.lists(st.text()))
def test_any_x_robots_tag_is_read(values: list[str]) -> None:
    refuses_ai(values, "afin")


HONOURING = policy(honour_robots=True)
BARRED = {"/robots.txt": reply(b"User-agent: *\nDisallow: /"), "/photo.jpg": reply()}


def test_a_barred_photo_is_not_even_asked_for() -> None:
    outcome = fetch_from(by_path(BARRED), limits=HONOURING)
    assert outcome.reason == "robots"
    assert outcome.server.paths == ["/robots.txt"]


def test_robots_are_asked_once_for_many_photos() -> None:
    pages = {"/robots.txt": reply(b"User-agent: *\nDisallow: /x"), "/photo.jpg": reply()}
    outcome = fetch_from(by_path(pages), times=3, limits=HONOURING)
    assert outcome.server.paths == ["/robots.txt", *["/photo.jpg"] * 3]


def test_a_redirect_does_not_lead_around_robots() -> None:
    pages = {
        "/robots.txt": reply(b"User-agent: *\nDisallow: /secret"),
        "/photo.jpg": reply(b"", "302 Found", Location="/secret"),
    }
    assert fetch_from(by_path(pages), limits=HONOURING).reason == "robots"


def test_without_a_robots_file_all_is_allowed() -> None:
    assert fetch_from(by_path({"/photo.jpg": reply()}), limits=HONOURING).reason == "ok"


@pytest.mark.parametrize("status", ["500 Oops", "503 Busy", "429 Slow down"])
def test_a_host_in_trouble_over_its_robots_file_bars_all(status: str) -> None:
    pages = {"/robots.txt": reply(b"", status), "/photo.jpg": reply()}
    outcome = fetch_from(by_path(pages), times=2, limits=HONOURING)
    assert outcome.reason == "robots"
    assert outcome.server.paths == ["/robots.txt"]


def test_an_endless_robots_file_is_read_to_its_limit() -> None:
    text = b"User-agent: *\nDisallow: /photo\n" + b"# more\n" * 200_000
    outcome = fetch_from(by_path({"/robots.txt": reply(text)}), limits=HONOURING)
    assert outcome.reason == "robots"


def test_robots_files_that_lead_nowhere_allow_all() -> None:
    pages = {"/robots.txt": reply(b"", "302 F", Location="/robots.txt"), "/photo.jpg": reply()}
    assert fetch_from(by_path(pages), limits=HONOURING).reason == "ok"


def test_an_api_is_not_held_against_robots() -> None:
    outcome = fetch_from(by_path(BARRED), kind="api", limits=HONOURING)
    assert outcome.server.paths == ["/photo.jpg"]


def test_a_photo_withheld_from_machine_learning_is_refused() -> None:
    pages = {"/photo.jpg": reply(X_Robots_Tag="noimageai")}
    assert fetch_from(by_path(pages), limits=HONOURING).reason == "noai"


def test_a_setting_ignores_robots_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    pages = BARRED | {"/photo.jpg": reply(X_Robots_Tag="noai")}
    outcome = fetch_from(by_path(pages), limits=policy(honour_robots=False))
    assert outcome.reason == "ok"
    assert "ignored" in caplog.text
