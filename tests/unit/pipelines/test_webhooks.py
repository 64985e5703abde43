"""Webhooks are signed and checked as Standard Webhooks 1.0 says."""

import base64

import pytest

from pipelines.webhooks import (
    choose_callback,
    parse_callbacks,
    parse_secrets,
    sign,
    sign_headers,
    verify,
)
from schemas.errors import SignatureError, UsageError

# The example of the specification's reference libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIME = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
KEYS = parse_secrets(SECRET)


def check(headers: dict[str, str], body: bytes = BODY, *, now: float = TIME) -> tuple[str, str]:
    return verify(KEYS, headers, body, now=now, tolerance_s=300)


def signed(**changes: str) -> dict[str, str]:
    headers = {"webhook-id": ID, "webhook-timestamp": str(TIME), "webhook-signature": SIGNATURE}
    return headers | {name.replace("_", "-"): value for name, value in changes.items()}


def test_a_signature_is_that_of_the_specification() -> None:
    assert sign(KEYS["default"], ID, TIME, BODY) == SIGNATURE


def test_a_signed_event_tells_its_sender_and_id() -> None:
    assert check(signed()) == ("default", ID)


def test_one_of_several_signatures_is_enough() -> None:
    assert check(signed(webhook_signature=f"v1,AAAA v2,x {SIGNATURE}"))


@pytest.mark.parametrize("moment", [TIME - 301, TIME + 301])
def test_an_old_or_early_timestamp_is_refused(moment: float) -> None:
    with pytest.raises(SignatureError, match="check the clock"):
        check(signed(), now=moment)


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook_id": "msg_other"},
        {"webhook_timestamp": str(TIME + 1)},
        {"webhook_signature": SIGNATURE.replace("v1,", "v2,")},
        {"webhook_signature": SIGNATURE.removeprefix("v1,")},
        {"webhook_signature": SIGNATURE[:-2]},
        {"webhook_signature": "v1,é"},
    ],
)
def test_whatever_was_changed_the_signature_no_longer_fits(changes: dict[str, str]) -> None:
    with pytest.raises(SignatureError, match="fits none"):
        check(signed(**changes))


def test_another_body_is_refused() -> None:
    with pytest.raises(SignatureError):
        check(signed(), BODY + b" ")


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook_id": ""},
        {"webhook_id": "with blank"},
        {"webhook_timestamp": "1614265330.0"},
        {"webhook_timestamp": "-1"},
        {"webhook_timestamp": "١٦"},
        {"webhook_timestamp": "9" * 13},
        {"webhook_signature": ""},
    ],
)
def test_a_missing_or_odd_header_is_told(changes: dict[str, str]) -> None:
    with pytest.raises(SignatureError, match="not signed"):
        check(signed(**changes))


def test_while_secrets_rotate_old_and_new_are_believed() -> None:
    keys = parse_secrets(f"{OTHER} {SECRET}")
    assert verify(keys, signed(), BODY, now=TIME, tolerance_s=1) == ("default", ID)
    both = sign_headers(keys["default"], ID, TIME, BODY)["webhook-signature"]
    assert len(both.split()) == 2
    assert check(signed(webhook_signature=both))


def test_a_senders_secret_tells_who_it_is() -> None:
    keys = parse_secrets(f"agency={OTHER},press={SECRET}")
    assert verify(keys, signed(), BODY, now=TIME, tolerance_s=1) == ("press", ID)


def test_without_secrets_nobody_is_believed() -> None:
    with pytest.raises(SignatureError):
        verify({}, signed(), BODY, now=TIME, tolerance_s=1)


@pytest.mark.parametrize("text", ["", "hunter2", "whsec_", "whsec_aGk=", "a b=whsec_x", "whsec_!"])
def test_a_malformed_secret_is_told_without_being_shown(text: str) -> None:
    with pytest.raises(UsageError, match="Entry 1 of AFIN_EVENT_SECRETS") as caught:
        parse_secrets(text)
    assert "hunter2" not in str(caught.value)


def test_answers_go_where_their_sender_wants_them() -> None:
    callbacks = parse_callbacks("agency=https://a.example/x https://b.example/y?q=1")
    assert choose_callback(callbacks, "agency") == "https://a.example/x"
    assert choose_callback(callbacks, "press") == "https://b.example/y?q=1"
    assert choose_callback(parse_callbacks("agency=https://a.example"), "press") is None


def test_a_malformed_callback_is_told_without_being_shown() -> None:
    with pytest.raises(UsageError, match="Entry 1 of AFIN_CALLBACK_URL") as caught:
        parse_callbacks("ftp://user:hunter2@example.org")
    assert "hunter2" not in str(caught.value)
