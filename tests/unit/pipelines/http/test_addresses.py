import string
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.http import redact
from pipelines.sources.http.addresses import is_global, join_url, may_ask, parse_url
from schemas.errors import FetchError

URLISH = st.text(st.sampled_from("htps:/.@[]%0x7f1a#?&=\\ -_é。\uff11\ud800\n\x00")) | st.text()


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 (nothing is bound to it)
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:c0a8:101::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "2a00:1450::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_an_address_off_the_public_internet_is_not_global(address: str) -> None:
    assert not is_global(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.1",
        "172.32.0.1",
        "223.255.255.255",
        "2a00:1450:4003::1",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ],
)
def test_an_address_of_the_public_internet_is_global(address: str) -> None:
    assert is_global(ip_address(address))


@given(st.ip_addresses())
def test_nothing_is_global_that_python_knows_as_special(address: object) -> None:
    parsed = ip_address(str(address))
    if parsed.is_private or parsed.is_loopback or parsed.is_multicast or parsed.is_link_local:
        mapped = getattr(parsed, "ipv4_mapped", None)
        assert not is_global(parsed) or (mapped is not None and is_global(mapped))


def test_allowed_loopback_lets_nothing_else_private_in() -> None:
    assert may_ask("127.0.0.1", "x", 80, True)
    assert may_ask("::1", "x", 80, True)
    assert not may_ask("::ffff:127.0.0.1", "x", 80, True)
    assert not may_ask("10.0.0.1", "x", 80, True)
    assert not may_ask("169.254.169.254", "x", 80, True)


def test_an_allow_list_names_host_and_port() -> None:
    allowed = frozenset({"127.0.0.1:8000", "[::1]:8000"})
    assert may_ask("127.0.0.1", "127.0.0.1", 8000, allowed)
    assert may_ask("::1", "::1", 8000, allowed)
    assert not may_ask("127.0.0.1", "127.0.0.1", 8001, allowed)
    assert not may_ask("127.0.0.1", "evil.example", 8000, allowed)


@pytest.mark.parametrize(
    ("spelling", "host"),
    [
        ("http://0x7f.1/", "127.0.0.1"),
        ("http://2130706433/", "127.0.0.1"),
        ("http://0177.0.0.1/", "127.0.0.1"),
        ("http://127.1/", "127.0.0.1"),
        ("http://127.0.0.1./", "127.0.0.1"),
        ("http://\uff11\uff12\uff17.0.0.1/", "127.0.0.1"),
        ("http://127。0。0。1/", "127.0.0.1"),
        ("http://[::FFFF:7f00:1]/", "::ffff:7f00:1"),
        ("http://EXAMPLE.org./", "example.org"),
        ("http://bücher.example/", "xn--bcher-kva.example"),
        ("http://under_score.example/", "under_score.example"),
    ],
)
def test_odd_spellings_of_a_host_become_one(spelling: str, host: str) -> None:
    assert parse_url(spelling).raw_host == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        "photo.jpg",
        "//host/photo.jpg",
        "ftp://host/photo.jpg",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "http://",
        "http://:80/",
        "http://host:0/",
        "http://host:99999/",
        "http://1.2.3.4.5/",
        "http://256.1.1.1/",
        "http://a..b/",
        "http://host\\@other/",
        "http://[::1",
        "http://[fe80::1%25eth0]/",
        "http://host/a\nb",
        "http://host/" + "a" * 9000,
        "http://" + "a" * 64 + ".example/",
    ],
)
def test_what_is_no_web_address_is_a_bad_url(text: str) -> None:
    with pytest.raises(FetchError) as caught:
        parse_url(text)
    assert caught.value.reason == "bad-url"


@pytest.mark.parametrize("name", ["/a b.jpg", "/../../x.jpg", "/niño.jpg", "/%C3%B1?q=ñ&x=a b"])
def test_odd_names_of_photos_can_be_asked(name: str) -> None:
    assert str(parse_url("http://host" + name)).isascii()


@given(URLISH | URLISH.map("http://".__add__))
def test_any_text_is_an_address_or_our_own_error(text: str) -> None:
    try:
        url = parse_url(text)
    except FetchError:
        return
    assert url.scheme in ("http", "https")
    assert parse_url(str(url)) == url


@given(URLISH)
def test_any_location_is_an_address_or_our_own_error(location: str) -> None:
    header = location.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    try:
        url = join_url(parse_url("http://host/a/b"), header)
    except FetchError:
        return
    assert url.scheme in ("http", "https")
    assert url.raw_user is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://host/a.jpg", "http://host/a.jpg"),
        ("HTTPS://host:81/a?token=x#y", "https://host:81/a?…"),
        ("http://user:pass@host/a", "http://host/a"),
        ("http://user:p@ss@host/a", "http://host/a"),
        ("http://user:pass\uff20host/a", "http://host/a"),
        ("http://host/@user/photo@2x.jpg", "http://host/@user/photo@2x.jpg"),
        ("http://user:pa/ss@host/a", "http://(an address that cannot be shown)"),
        ("http://user:pass\\@host/a", "http://(an address that cannot be shown)"),
        ("http://[::1]:80/a", "http://[::1]:80/a"),
        ("user:pass@host", "(an address that cannot be shown)"),
        ("http://host/a\nb", "http://host/a�b"),
    ],
)
def test_a_redacted_url_shows_where_but_no_secret(url: str, shown: str) -> None:
    assert redact(url) == shown


@given(URLISH | URLISH.map("http://".__add__))
def test_any_text_can_be_redacted(text: str) -> None:
    shown = redact(text)
    assert len(shown) <= 300
    assert shown.isprintable()
    assert redact(shown) in (shown, "(an address that cannot be shown)")


SECRET = st.text(string.ascii_letters + string.digits, min_size=8, max_size=20).map("S3".__add__)


@given(SECRET, SECRET, SECRET)
def test_no_password_query_or_fragment_survives(password: str, token: str, part: str) -> None:
    shown = redact(f"http://me:{password}@host/photo.jpg?access_token={token}#{part}")
    assert not any(secret in shown for secret in (password, token, part))
