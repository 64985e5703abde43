"""Nobody sees or changes what is not theirs to see or change."""

from pathlib import Path

import pytest

from schemas.errors import UsageError
from schemas.users import Role
from storage.users import add_token, list_users
from tasks.context import context
from tests.adopted import adopted
from tests.pages import Visitor
from tests.unit.web.conftest import environment, sign_in
from web.app import create_app
from web.security import Attempts

CLOSED = ("/", "/accounts/ana.cocina", "/review", "/runs", "/models", "/api", "/campaigns")


@pytest.mark.parametrize("path", CLOSED)
def test_a_stranger_is_sent_to_sign_in(stranger: Visitor, path: str) -> None:
    reply = stranger.get(path)
    assert reply.status == 303
    assert reply.headers["Location"].startswith("/sign-in?to=")


@pytest.mark.parametrize("path", ["/api/v1/accounts", "/api/v1/openapi.json", "/metrics"])
def test_a_strangers_program_is_told_to_send_a_token(stranger: Visitor, path: str) -> None:
    reply = stranger.get(path)
    assert reply.status == 401
    assert reply.headers["Content-Type"].startswith("application/problem+json")


def test_a_stranger_chooses_the_language_before_signing_in(stranger: Visitor) -> None:
    chosen = stranger.post("/choices?to=/sign-in%3Fto%3D/runs", {"language": "es"})
    assert (chosen.status, chosen.headers["Location"]) == (303, "/sign-in?to=/runs")
    shown = stranger.get(chosen.headers["Location"]).text
    assert '<html lang="es"' in shown
    assert 'name="to" value="/runs"' in shown
    assert stranger.post("/choices?to=/", {"language": "en"}, csrf="wrong").status == 403


def test_a_user_signs_in_and_out(stranger: Visitor) -> None:
    assert sign_in(stranger, "viewer") == 303
    assert stranger.get("/").status == 200
    stranger.post("/sign-out", {}, csrf=_token(stranger))
    assert stranger.get("/").status == 303


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(stranger: Visitor) -> None:
    assert sign_in(stranger, "viewer", "something else") == 403
    assert sign_in(stranger, "nobody", "something else") == 403


def test_guessing_is_stopped_after_five_attempts(stranger: Visitor) -> None:
    statuses = [sign_in(stranger, "viewer", f"guess {number}") for number in range(6)]
    assert statuses == [403] * 5 + [429]
    assert sign_in(stranger, "viewer") == 429


def test_attempts_are_forgotten_only_after_their_window() -> None:
    attempts = Attempts(at_most=2, window_s=3600)
    attempts.note("ana")
    assert attempts.wait_s("ana") == 0
    attempts.note("ana")
    assert 3590 < attempts.wait_s("ana") <= 3600
    assert attempts.wait_s("beto") == 0


@pytest.mark.parametrize(
    ("role", "path", "allowed"),
    [
        ("viewer", "/accounts/ana.cocina/override", False),
        ("reviewer", "/accounts/ana.cocina/override", True),
        ("reviewer", "/runs/1/cancel", False),
        ("viewer", "/runs", False),
    ],
)
def test_a_role_may_do_only_what_it_covers(
    stranger: Visitor, role: str, path: str, *, allowed: bool
) -> None:
    sign_in(stranger, role)
    reply = stranger.post(path, {"reason": "x", "categories": []}, csrf=_token(stranger))
    assert (reply.status == 303) is allowed
    assert reply.status in {303, 403}


def test_a_form_without_its_token_changes_nothing(visitor: Visitor) -> None:
    visitor.get("/")
    assert visitor.post("/accounts/ana.cocina/override", {"reason": "x"}, csrf="").status == 403
    assert visitor.get("/api/v1/accounts/ana.cocina").json["override"] is None


def test_another_sites_page_can_send_no_form(visitor: Visitor) -> None:
    token = visitor.csrf()
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
        sent = visitor.ask(
            "POST", "/accounts/ana.cocina/override", data=f"csrf={token}".encode(), headers=headers
        )
        assert sent.status == 403


def test_a_name_that_was_made_to_lead_here_is_refused(visitor: Visitor) -> None:
    assert visitor.get("/", {"Host": "evil.example"}).status == 421


def test_a_token_opens_the_api_with_its_users_role(stranger: Visitor) -> None:
    with context().database.write() as connection:
        stranger.token = add_token(connection, "viewer")
    assert stranger.get("/api/v1/me").json == {"name": "viewer", "role": "viewer"}
    refused = stranger.send("POST", "/api/v1/runs", {})
    assert refused.status == 403
    stranger.token += "x"
    assert stranger.get("/api/v1/me").status == 401


def test_passwords_and_tokens_are_kept_as_hashes_only(stranger: Visitor, tmp_path: Path) -> None:
    with context().database.write() as connection:
        token = add_token(connection, "viewer")
        assert [user.role for user in list_users(connection)] == ["operator", "reviewer", "viewer"]
    context().database.close()
    kept = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("afin.db*"))
    assert token.encode() not in kept
    assert b"correct horse battery" not in kept
    assert b"$argon2id$" in kept


def test_a_photo_needs_a_sign_in_or_a_signature(stranger: Visitor) -> None:
    with context().database.write() as connection:
        token = add_token(connection, "viewer")
    program = Visitor(stranger.base, token=token)
    (post, *_) = program.get("/api/v1/accounts/ana.cocina/posts").json
    signed = post["photo_urls"][0]
    assert stranger.get(signed).status == 200
    assert stranger.get(signed.partition("?")[0]).status == 401
    assert stranger.get(signed[:-1] + "0" if signed[-1] != "0" else signed[:-1] + "1").status == 401
    other = signed.replace(post["photos"][0], "0" * 64)
    assert stranger.get(other).status == 401


def test_sign_in_leads_only_to_our_own_pages(stranger: Visitor) -> None:
    page = stranger.get("/sign-in?to=//evil.example/x").text
    assert "evil.example" not in page


def test_every_answer_forbids_inline_scripts_and_guessing_of_types(visitor: Visitor) -> None:
    for path in ("/", "/api/v1/runs", "/static/afin.css", "/nothing"):
        headers = visitor.get(path).headers
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("extra", [{"AFIN_WEB_ADDRESS": "192.0.2.1"}, {"AFIN_WEB_SIGN_IN": "true"}])
def test_pages_that_nobody_could_sign_in_to_are_not_served(
    tmp_path: Path, extra: dict[str, str]
) -> None:
    with adopted({**environment(tmp_path), **extra}), pytest.raises(UsageError, match="users add"):
        create_app(context())


def test_roles_are_ordered() -> None:
    assert Role.OPERATOR.covers(Role.REVIEWER)
    assert not Role.VIEWER.covers(Role.REVIEWER)


def _token(visitor: Visitor) -> str:
    return visitor.csrf()
