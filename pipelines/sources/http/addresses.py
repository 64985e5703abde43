"""Which addresses may be asked: URLs made canonical, IP ranges judged, secrets kept out of text."""

import re
import socket
import unicodedata
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from yarl import URL

from schemas.errors import FetchError

LONGEST_URL = 8190
LONGEST_SHOWN = 300
UNSHOWABLE = "(an address that cannot be shown)"

# The IANA special-purpose registries, written out because ``is_global`` of Python before 3.11.10
# and 3.12.4 calls some of these global.
SPECIAL_V4: tuple[IPv4Network, ...] = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
UNICAST_V6 = IPv6Network("2000::/3")
SPECIAL_V6: tuple[IPv6Network, ...] = tuple(
    # 2001::/23 holds Teredo (2001::/32), which tunnels to any IPv4 address.
    IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "3fff::/20")
)
MAPPED_V4 = IPv6Network("::ffff:0:0/96")
NAT64 = IPv6Network("64:ff9b::/96")
SIX_TO_FOUR = IPv6Network("2002::/16")
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_WEB = re.compile(r"https?://[^/]", re.IGNORECASE | re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_SHOWN = re.compile(r"\s*(https?)://([^/?#\\]*)([^?#]*)(\??)", re.IGNORECASE | re.ASCII)
# What most addresses look like: printable ASCII, nothing that could be a secret.
_PLAIN = re.compile(r"https?://([a-z0-9.-]+(?::[0-9]+)?)/[!$-.0-9:;=A-Z_a-z~/]*")
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(:[0-9]*)?", re.IGNORECASE | re.ASCII)


def redact(url: str) -> str:
    """Write a URL so that it can be logged or stored: no user, password, query or fragment.

    Takes any text at all; what cannot be told apart safely is not shown.
    """
    if len(url) <= LONGEST_SHOWN and _PLAIN.fullmatch(url):
        return url
    match = _SHOWN.match(url)
    if match is None:
        return UNSHOWABLE
    scheme, authority, path, query = match.groups()
    # Normalised, because a full-width @ parts user and host just as well.
    host = unicodedata.normalize("NFKC", authority).rpartition("@")[2]
    # "http://user:pa/ss@host" ends its authority inside the password: host and port don't fit.
    if not _AUTHORITY.fullmatch(host):
        return f"{scheme.lower()}://{UNSHOWABLE}"
    shown = f"{scheme.lower()}://{host}{path}{'?…' if query else ''}"
    if not shown.isprintable():
        shown = "".join(char if char.isprintable() else "�" for char in shown)
    return shown if len(shown) <= LONGEST_SHOWN else shown[: LONGEST_SHOWN - 1] + "…"


def plain_host(url: str) -> str | None:
    """The host and port of a URL in plain spelling, without a look at the rest; None of others."""
    match = _PLAIN.match(url)
    return match.group(1) if match else None


def looks_fetchable(text: str) -> bool:
    """Whether ``text`` may be a web address at all: a quick look before it is stored as one."""
    return (
        len(text) <= LONGEST_URL
        and _WEB.match(text) is not None
        and _CONTROL.search(text) is None
        and not _SURROGATE.search(text)
    )


def parse_url(text: str) -> URL:
    """Read a URL from outside into one canonical spelling, which is also the one connected to.

    The host becomes lower-case ASCII without a trailing dot, and every old spelling of an IPv4
    address (``0x7f.1``, ``2130706433``) the dotted one. User and password are kept: take them
    with ``split_credentials``.

    Raises:
        FetchError: ``bad-url``.
    """
    text = text.strip()
    if len(text) > LONGEST_URL or _CONTROL.search(text):
        raise _bad_url(text, "is too long or holds control characters")
    try:
        return _canonical(URL(text), text)
    except (ValueError, TypeError):
        raise _bad_url(text, "cannot be read as an address") from None


def join_url(base: URL, location: str) -> URL:
    """Where a redirect leads; any user and password in it are dropped.

    Raises:
        FetchError: ``bad-url``.
    """
    # Header bytes that are not UTF-8 arrive as lone surrogates.
    text = location.encode("utf-8", "surrogateescape").decode("utf-8", "replace").strip()
    try:
        joined = str(base.join(URL(text)))
    except (ValueError, TypeError):
        raise _bad_url(text, "is where a redirect leads and cannot be read") from None
    return split_credentials(parse_url(joined))[0]


def split_credentials(url: URL) -> tuple[URL, tuple[str, str] | None]:
    """Part a URL from its user and password."""
    if url.raw_user is None and url.raw_password is None:
        return url, None
    return url.with_user(None), (url.user or "", url.password or "")


def _canonical(url: URL, text: str) -> URL:
    if url.scheme not in ("http", "https"):
        raise _bad_url(text, "is neither http nor https")
    if not url.raw_host or url.port == 0:
        raise _bad_url(text, "names no host that can be asked")
    try:
        host = _canonical_host(url.raw_host)
    except _BadHostError as error:
        raise _bad_url(text, str(error)) from None
    if host != url.raw_host:
        url = url.with_host(host)
    return url.with_fragment(None) if url.raw_fragment else url


class _BadHostError(Exception):
    """Why a host cannot be asked."""


@lru_cache(4096)
def _canonical_host(host: str) -> str:
    if ":" in host:
        if "%" in host:
            raise _BadHostError("names a network interface of this machine")
        return IPv6Address(host).compressed
    host = host.removesuffix(".").lower()
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            return str(IPv4Address(socket.inet_aton(host)))
        except OSError:
            raise _BadHostError("looks like an IPv4 address and is none") from None
    if not _NAME.fullmatch(host):
        raise _BadHostError("names no host that can be asked")
    return host


def _bad_url(text: str, why: str) -> FetchError:
    return FetchError("bad-url", f"{redact(text)} {why}; correct or drop it.")


def is_global(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address belongs to the public internet, and so does any IPv4 address within it.

    Source: the IANA IPv4 and IPv6 special-purpose address registries (RFC 6890).
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in SPECIAL_V4)
    if address.scope_id is not None:
        return False
    packed = address.packed
    if address in MAPPED_V4 or address in NAT64:
        return is_global(IPv4Address(packed[12:]))
    if address in SIX_TO_FOUR and not is_global(IPv4Address(packed[2:6])):
        return False
    return address in UNICAST_V6 and not any(address in network for network in SPECIAL_V6)


@lru_cache(4096)
def may_ask(address: str, host: str, port: int, allow_loopback: bool | frozenset[str]) -> bool:
    """Whether ``address``, found for ``host`` and ``port`` of a URL, may be connected to."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if any(parsed in network for network in LOOPBACK):
        if isinstance(allow_loopback, bool):
            return allow_loopback
        return f"{f'[{host}]' if ':' in host else host}:{port}" in allow_loopback
    return is_global(parsed)


@lru_cache(4096)
def is_literal(host: str) -> bool:
    """Whether a canonical host is an IP address, so that nothing has to be resolved."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def forbidden(host: str) -> FetchError:
    """The error for a host that leads to an address which may not be asked."""
    return FetchError(
        "forbidden-address",
        f"{host} leads to an address that is not on the public internet; only an address of this "
        "machine can be allowed, and only by the allow-list.",
    )
