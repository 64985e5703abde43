import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.http import Fetcher
from pipelines.sources.imagenet import (
    iter_urls,
    parse_wnid,
    read_hyponyms,
    read_synset_urls,
)
from pipelines.sources.imagenet.api import parse_hyponyms, parse_mapping, parse_urls
from pipelines.sources.imagenet.listing import parse_bare, parse_listed
from schemas.crawls import FoundPhoto
from schemas.errors import AfinError, FetchError, NotFoundError, SourceError, UsageError
from schemas.posts import Problem
from tests.unit.pipelines.http.stand_in import Handler, StandIn, by_path, policy, reply, serve

FORMATS = Path(__file__).parents[4] / "../shared/formats/imagenet"
DOG, CAT = "n02084071", "n02121808"
API = "/api/text/"
MAPPING = f"{API}imagenet.synset.geturls.getmapping?wnid={DOG}"
PLAIN = f"{API}imagenet.synset.geturls?wnid={DOG}"
BELOW = f"{API}wordnet.structure.hyponym?wnid={DOG}&full="

T = TypeVar("T")


def ask(handler: Handler, call: Callable[[Fetcher, str], Awaitable[T]]) -> tuple[T, StandIn]:
    async def play() -> tuple[T, StandIn]:
        async with serve(handler) as server, Fetcher(policy()) as fetcher:
            return await call(fetcher, server.url("/")), server

    return asyncio.run(play())


def photo(image_id: str, url: str) -> FoundPhoto:
    return FoundPhoto(source="imagenet", external_id=image_id, url=url)


# The API


def test_a_synset_is_asked_for_its_images_with_their_ids() -> None:
    body = f"{DOG}_1 http://a.test/1.jpg\r\n{DOG}_7 http://b.test/ein bild.jpg\r\n".encode()
    page, server = ask(
        by_path({MAPPING: reply(body)}), lambda fetcher, url: read_synset_urls(fetcher, url, DOG)
    )
    assert page.items == (
        photo(f"{DOG}_1", "http://a.test/1.jpg"),
        photo(f"{DOG}_7", "http://b.test/ein bild.jpg"),
    )
    assert (page.next, page.problems, server.paths) == (None, (), [MAPPING])


@pytest.mark.parametrize("mapping", [reply(b"", "404 Not Found"), reply(b"<html>off</html>")])
def test_without_a_mapping_the_plain_list_serves(mapping: bytes) -> None:
    pages = {MAPPING: mapping, PLAIN: reply(b"http://a.test/1.jpg\r\nhttp://a.test/2.jpg\r\n")}
    page, _ = ask(by_path(pages), lambda fetcher, url: read_synset_urls(fetcher, url, DOG))
    assert [item.url for item in page.items] == ["http://a.test/1.jpg", "http://a.test/2.jpg"]
    assert all(item.external_id.startswith(f"{DOG}-") for item in page.items)


def test_ids_made_from_addresses_do_not_depend_on_their_order() -> None:
    first, second = (
        parse_urls(body, DOG).items
        for body in (b"http://a.test/1\nhttp://a.test/2\n", b"http://a.test/2\nhttp://a.test/1\n")
    )
    assert first == second[::-1]


def test_an_unknown_synset_is_not_found() -> None:
    unknown = by_path({MAPPING: reply(b"Invalid url!\r\n"), PLAIN: reply(b"http://a.test/1\n")})
    with pytest.raises(NotFoundError, match=DOG):
        ask(unknown, lambda fetcher, url: read_synset_urls(fetcher, url, DOG))


def test_a_synset_without_images_has_an_empty_page() -> None:
    page, _ = ask(
        by_path({MAPPING: reply(b"\r\n")}), lambda fetcher, url: read_synset_urls(fetcher, url, DOG)
    )
    assert (page.items, page.total) == ((), 0)


def test_a_web_page_in_place_of_lists_is_a_broken_answer() -> None:
    html = reply(b"<html>\n<p>gone\n")
    with pytest.raises(FetchError) as caught:
        ask(
            by_path({MAPPING: html, PLAIN: html}),
            lambda fetcher, url: read_synset_urls(fetcher, url, DOG),
        )
    assert caught.value.reason == "broken-answer"


@pytest.mark.parametrize("full", [False, True])
def test_hyponyms_come_without_the_synset_and_each_once(full: bool) -> None:
    body = f"{DOG}\r\n-n02085272\r\n--n02085374\r\n-n02085272\r\n".encode()
    found, server = ask(
        by_path({f"{BELOW}{int(full)}": reply(body)}),
        lambda fetcher, url: read_hyponyms(fetcher, url, DOG, full=full),
    )
    assert found == ["n02085272", "n02085374"]
    assert server.paths == [f"{BELOW}{int(full)}"]


def test_a_leaf_has_no_hyponyms() -> None:
    assert parse_hyponyms(f"{DOG}\r\n".encode(), DOG) == []


@pytest.mark.parametrize(
    "wnid", ["", "dog", "n0208407", "n020840711", "n02084071&x=1", "n\uff102084071"]
)
def test_what_is_no_wnid_is_never_asked_for(wnid: str) -> None:
    with pytest.raises(UsageError):
        ask(by_path({}), lambda fetcher, url: read_hyponyms(fetcher, url, wnid))


def test_a_wnid_may_be_typed_loosely() -> None:
    assert parse_wnid(" N02084071 ") == DOG


# Lines


@pytest.mark.parametrize(
    ("raw", "spelt"),
    [
        ("http://a.test/ñ.jpg".encode(), "http://a.test/%C3%B1.jpg"),
        ("http://a.test/ñ.jpg".encode("latin-1"), "http://a.test/%F1.jpg"),
        (b"http://a.test/caf\xe9\x96%20x y.jpg", "http://a.test/caf%E9%96%20x y.jpg"),
        ("http://ñandú.test/ñ".encode(), "http://ñandú.test/%C3%B1"),
        ("http://ñandú.test/x".encode("latin-1"), "http://ñandú.test/x"),
        (b"http://me:pass@a.test/../x?a=b&c", "http://me:pass@a.test/../x?a=b&c"),
    ],
)
def test_an_address_asks_for_the_bytes_of_the_list(raw: bytes, spelt: str) -> None:
    assert parse_listed(f"{DOG}_1\t".encode() + raw + b"\r", "list") == photo(f"{DOG}_1", spelt)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"n02084071_1", "bad-line"),
        (b"n02084071_1\t", "bad-line"),
        (b"no id http://a.test/", "bad-line"),
        (b"n02084071_1\tfile:///etc/passwd", "bad-url"),
        (b"n02084071_1\thttp://a.test/\x00", "bad-url"),
        (b"n02084071_1\t\xff\xfe", "bad-url"),
        (b"n02084071_1\thttp://a.test/" + b"a" * 9000, "bad-url"),
    ],
)
def test_an_unusable_line_is_a_problem(line: bytes, reason: str) -> None:
    problem = parse_listed(line, "list")
    assert isinstance(problem, Problem)
    assert problem.reason == reason


@given(
    st.binary(max_size=80), st.sampled_from([b"", b"n02084071_1\t", b"n02084071_1 http://a.test/"])
)
def test_any_line_is_a_photo_or_a_problem(junk: bytes, start: bytes) -> None:
    for entry in (parse_listed(start + junk, "list"), parse_bare(start + junk, DOG, "list")):
        if isinstance(entry, FoundPhoto):
            assert entry.url.isprintable()
            assert not entry.url.encode().count(b"\0")


@given(st.binary(max_size=200))
def test_any_answer_is_read_or_refused_in_our_words(body: bytes) -> None:
    for parse in (parse_mapping, parse_urls, parse_hyponyms):
        try:
            parse(body, DOG)
        except AfinError:
            continue


# The files


def write_urls(folder: Path, body: bytes) -> Path:
    (folder / "fall11_urls.txt").write_bytes(body)
    return folder


def test_the_photos_of_the_wanted_synsets_are_streamed(tmp_path: Path) -> None:
    lines = [f"{CAT}_1\thttp://a.test/1", f"{DOG}_2\thttp://a.test/2", f"{CAT}_3\thttp://a.test/3"]
    folder = write_urls(tmp_path, "\n".join(lines).encode())
    assert list(iter_urls(folder, {CAT})) == [
        photo(f"{CAT}_1", "http://a.test/1"),
        photo(f"{CAT}_3", "http://a.test/3"),
    ]


def test_no_synset_wanted_gives_nothing(tmp_path: Path) -> None:
    assert list(iter_urls(write_urls(tmp_path, f"{DOG}_1\thttp://a.test/".encode()), ())) == []


def test_lines_cut_by_the_reading_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.sources.imagenet.files._CHUNK_BYTES", 7)
    lines = [f"{DOG}_{n}\thttp://a.test/{n}" for n in range(50)]
    folder = write_urls(tmp_path, "\r\n".join(lines).encode())
    assert [item.url for item in iter_urls(folder, {DOG}) if isinstance(item, FoundPhoto)] == [
        f"http://a.test/{n}" for n in range(50)
    ]


def test_a_line_without_end_is_a_problem_and_the_rest_goes_on(tmp_path: Path) -> None:
    endless = f"{DOG}_1\thttp://a.test/".encode() + b"a" * 5_000_000
    after = f"\n{DOG}_2\thttp://a.test/2\n".encode()
    first, second = iter_urls(write_urls(tmp_path, endless + after), {DOG})
    assert isinstance(first, Problem)
    assert first.reason == "line-too-long"
    assert second == photo(f"{DOG}_2", "http://a.test/2")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"fall11_urls\.txt"):
        list(iter_urls(tmp_path, {DOG}))


def stream_measured(folder: Path, wnids: set[str]) -> tuple[int, int]:
    """How many entries came, and the most bytes held at once on the way."""
    tracemalloc.start()
    try:
        count = sum(1 for _ in iter_urls(folder, wnids))
        return count, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_line_without_end_is_not_held_in_memory(tmp_path: Path) -> None:
    folder = write_urls(tmp_path, f"{DOG}_1\thttp://a.test/".encode() + b"a" * 20_000_000)
    count, peak_bytes = stream_measured(folder, {DOG})
    assert count == 1
    assert peak_bytes < 3_000_000


def test_a_long_list_is_streamed_in_flat_memory(tmp_path: Path) -> None:
    with (tmp_path / "fall11_urls.txt").open("wb") as file:
        for start in range(0, 200_000, 10_000):
            numbers = range(start, start + 10_000)
            file.writelines(b"n%08d_%d\thttp://a.test/%d.jpg\n" % (n % 9, n, n) for n in numbers)
    count, peak_bytes = stream_measured(tmp_path, {"n00000001", "n00000005"})
    assert count == 44_445
    assert (tmp_path / "fall11_urls.txt").stat().st_size > 7_000_000
    assert peak_bytes < 3_000_000


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_any_file_is_streamed(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    body = b"\n".join(f"{DOG}_1\thttp://".encode() + part for part in parts)
    folder = write_urls(tmp_path_factory.mktemp("list"), body)
    entries = list(iter_urls(folder, {DOG}))
    assert len(entries) == len(parts)


@pytest.mark.skipif(
    not (FORMATS / "n02084071_urls.txt").exists(),
    reason="the excerpts of real answers (../shared/formats) are absent",
)
def test_every_line_of_the_real_list_is_read(tmp_path: Path) -> None:
    body = (FORMATS / "n02084071_urls.txt").read_bytes()
    entries = list(iter_urls(write_urls(tmp_path, body), {DOG}))
    assert len(entries) == 400
    assert all(isinstance(entry, FoundPhoto) for entry in entries)
    assert "Perro+Coste%C3%B1o.bmp" in str(entries[54])
