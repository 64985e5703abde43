"""Signing and checking webhooks by Standard Webhooks: HMAC-SHA256 over id, time and body."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from schemas.errors import SignatureError, UsageError

PREFIX = "whsec_"
DEFAULT_SENDER = "default"
KEY_BYTES = range(24, 65)
"""What the specification asks of a secret's length."""

MAX_SIGNATURES = 20
"""More in one header are not looked at: each costs a comparison."""

Secrets: TypeAlias = Mapping[str, Sequence[bytes]]
"""The keys of each sender; the first one signs what we send, any of them is believed."""

_SECRET = re.compile(r"(?:([A-Za-z0-9_-]{1,60})[=:])?whsec_([A-Za-z0-9+/_-]+={0,2})", re.ASCII)
_ADDRESS = re.compile(r"(?:([A-Za-z0-9_-]{1,60})=)?(https?://\S+)", re.ASCII | re.IGNORECASE)
_ID = re.compile(r"[\x21-\x7e]{1,200}", re.ASCII)
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)


def parse_secrets(text: str) -> dict[str, tuple[bytes, ...]]:
    """Read ``[SENDER=]whsec_…`` entries parted by blanks or commas; a sender may have several.

    Raises:
        UsageError: an entry is none; its place is named, never its value.
    """
    found: dict[str, list[bytes]] = {}
    for number, entry in enumerate(re.split(r"[\s,]+", text.strip()), 1):
        match = _SECRET.fullmatch(entry)
        key = _decode(match[2]) if match else None
        if match is None or key is None or len(key) not in KEY_BYTES:
            raise UsageError(
                f"Entry {number} of AFIN_EVENT_SECRETS is no secret: use whsec_ and 24-64 bytes in "
                "base64, as 'afin events secret' prints, perhaps after SENDER=."
            )
        found.setdefault(match[1] or DEFAULT_SENDER, []).append(key)
    return {sender: tuple(keys) for sender, keys in found.items()}


def parse_callbacks(text: str) -> dict[str, str]:
    """Read ``[SENDER=]https://…`` entries parted by blanks; one without a name is for everybody.

    Raises:
        UsageError: an entry is none; it may hold a password and is not shown.
    """
    found: dict[str, str] = {}
    for number, entry in enumerate(text.split(), 1):
        match = _ADDRESS.fullmatch(entry)
        if match is None:
            raise UsageError(
                f"Entry {number} of AFIN_CALLBACK_URL is no address: use https://…, or "
                "SENDER=https://… for each sender."
            )
        found[match[1] or ""] = match[2]
    return found


def choose_callback(callbacks: Mapping[str, str], sender: str) -> str | None:
    """Return where a sender's answers go; None where it asks for none."""
    return callbacks.get(sender, callbacks.get(""))


def sign(keys: Sequence[bytes], webhook_id: str, timestamp: int, body: bytes) -> str:
    """Return the ``webhook-signature`` header: a signature of each key, so that they can rotate."""
    return " ".join(f"v1,{_digest(key, webhook_id, str(timestamp), body)}" for key in keys)


def sign_headers(
    keys: Sequence[bytes], webhook_id: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """Return all headers of a signed webhook."""
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(keys, webhook_id, timestamp, body),
    }


def verify(
    secrets: Secrets, headers: Mapping[str, str], body: bytes, *, now: float, tolerance_s: float
) -> tuple[str, str]:
    """Check a webhook and return who sent it and its id; ``now`` in seconds since 1970.

    Every key is compared, in constant time, whichever fits.

    Raises:
        SignatureError: a header is missing, the time is off, or no key fits.
    """
    webhook_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "")
    if not _ID.fullmatch(webhook_id) or not _TIMESTAMP.fullmatch(timestamp) or not given:
        raise SignatureError(
            "The event is not signed: it needs the headers webhook-id, webhook-timestamp (seconds "
            "since 1970) and webhook-signature (v1,…), as Standard Webhooks describes them."
        )
    if abs(now - int(timestamp)) > tolerance_s:
        raise SignatureError(
            f"The event's webhook-timestamp is more than {tolerance_s:.0f} s off: sign it when it "
            "is sent, and check the clock."
        )
    offered = [
        part.removeprefix("v1,").encode("utf-8", "replace")
        for part in given.split(" ", MAX_SIGNATURES)[:MAX_SIGNATURES]
        if part.startswith("v1,")
    ]
    sender = None
    for name, keys in secrets.items():
        for key in keys:
            expected = _digest(key, webhook_id, timestamp, body).encode()
            # All are compared: how long it takes must not tell which one fits.
            if sum(hmac.compare_digest(expected, one) for one in offered):
                sender = sender or name
    if sender is None:
        raise SignatureError("The event's webhook-signature fits none of our secrets.")
    return sender, webhook_id


def _digest(key: bytes, webhook_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{webhook_id}.{timestamp}.".encode("ascii") + body
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")


def _decode(text: str) -> bytes | None:
    padded = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
