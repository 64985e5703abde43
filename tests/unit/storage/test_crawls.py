"""What a crawl lists and fetches: each address once, each try counted, nothing lost for good."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, select, update

from schemas.crawls import RateState
from schemas.runs import MemberState, RunKind
from storage.budgets import (
    hash_account,
    lock_budgets,
    note_request,
    pause_source,
    read_pause,
    read_rate,
    read_requests,
    save_rate,
)
from storage.crawl_counts import (
    count_handed_out,
    count_in_flight,
    count_photos,
    count_urls,
    count_waiting,
)
from storage.crawl_ends import MOST_RESTS, SettledUrl, lock_unsettled, rest_urls, settle_urls
from storage.crawl_parts import (
    NewPart,
    add_parts,
    begin_part,
    claim_parts,
    count_parts,
    give_up_parts,
    keep_page,
    next_start,
    open_parts,
    postpone_part,
    read_part,
    recall_parts,
    retry_parts,
)
from storage.crawl_report import read_crawl_report
from storage.crawl_tables import crawl_urls
from storage.crawl_urls import (
    STORED,
    NewUrl,
    Use,
    add_urls,
    begin_shard,
    claim_urls,
    read_uses,
    recall_urls,
    retry_urls,
    skip_urls,
)
from storage.database import Database
from storage.likeness import add_bands, find_alike, known_placeholders, learn_placeholders
from storage.photos import PhotoRow, add_photos, forget_unused_photos
from storage.runs import create_run
from storage.tagged import NewTaggedPost, save_tagged_posts, settle_tagged_photo
from storage.training import NewExample, add_examples
from tests.unit.storage.builders import photo

DOGS = NewPart(kind="synset", name="n02084071", category="animal")
TIMEOUT_S = 60.0


def start(connection: Connection, *parts: NewPart) -> int:
    run_id = create_run(connection, RunKind.CRAWL, params={"source": "imagenet"})
    add_parts(connection, run_id, parts or [DOGS])
    return run_id


def url(name: str, *, category: str = "animal", use: Use | None = None) -> NewUrl:
    return NewUrl(
        url=f"http://example.org/{name}.jpg",
        host="example.org",
        external_id=name,
        category=category,
        use=use or Use(use="example", category=category),
    )


def list_urls(connection: Connection, names: str, run_id: int | None = None) -> tuple[int, int]:
    run_id = start(connection) if run_id is None else run_id
    (part_id, *_) = open_parts(connection, run_id)
    new, _served = add_urls(connection, run_id, part_id, [url(name) for name in names])
    return run_id, new


def send(connection: Connection, run_id: int, shard: int = 1, most: int = 100) -> list[int]:
    claim_urls(connection, run_id, shard=shard, most=most)
    return [one.id for one in begin_shard(connection, run_id, shard)]


def keep(connection: Connection, url_id: int, name: str) -> None:
    row = PhotoRow(sha256=photo(name), size_bytes=9, width=80, height=80, format="jpeg")
    add_photos(connection, [row])
    end = SettledUrl(id=url_id, outcome=STORED, photo_sha256=row.sha256, size_bytes=9)
    settle_urls(connection, [end])


def grow_old(connection: Connection, seconds: float = 2 * TIMEOUT_S) -> None:
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    connection.execute(update(crawl_urls).values(touched_at=moment))


def recall(connection: Connection, run_id: int, max_attempts: int = 2) -> int:
    return recall_urls(connection, run_id, timeout_s=TIMEOUT_S, max_attempts=max_attempts)


# Addresses


def test_an_address_listed_twice_is_one_with_two_uses(database: Database) -> None:
    with database.write() as connection:
        run_id = start(connection)
        (part_id,) = open_parts(connection, run_id)
        same = [url("a"), url("a", use=Use(use="example", category="familia")), url("b")]
        assert add_urls(connection, run_id, part_id, same) == (2, [])
        assert add_urls(connection, run_id, part_id, same) == (0, [])
        (first, _second) = send(connection, run_id)
        uses = read_uses(connection, [first])[first]
        assert read_uses(connection, [first], of_posts=True) == {}
    assert {use.category for use in uses} == {"animal", "familia"}


def test_an_address_stored_by_an_earlier_crawl_is_served_at_once(database: Database) -> None:
    with database.write() as connection:
        first, _ = list_urls(connection, "ab")
        keep(connection, send(connection, first)[0], "a")
        second = start(connection)
        (part_id,) = open_parts(connection, second)
        new, served = add_urls(connection, second, part_id, [url("a"), url("b")])
        assert (new, served) == (2, [(url("a").use, photo("a"))])
        assert count_waiting(connection, second, most=9) == 1
        assert count_photos(connection, second) == {"animal": 1}


def test_what_is_known_beyond_a_limit_is_left_out(database: Database) -> None:
    with database.write() as connection:
        first, _ = list_urls(connection, "ab")
        for url_id, name in zip(send(connection, first), "ab", strict=True):
            keep(connection, url_id, name)
        second = start(connection)
        (part_id,) = open_parts(connection, second)
        found, room = [url("a"), url("b")], {"animal": 1}
        _new, served = add_urls(connection, second, part_id, found, room=room)
        assert len(served) == 1
        report = read_crawl_report(connection, second)
    assert (report.known, report.beyond_limit, report.found) == (1, 1, 2)


def test_a_photo_that_was_forgotten_is_fetched_again(database: Database) -> None:
    with database.write() as connection:
        first, _ = list_urls(connection, "a")
        keep(connection, send(connection, first)[0], "a")
        assert forget_unused_photos(connection, [photo("a")]) == [photo("a")]
        assert connection.scalars(select(crawl_urls.c.url)).all() == [""]
        second = start(connection)
        (part_id,) = open_parts(connection, second)
        assert add_urls(connection, second, part_id, [url("a")]) == (1, [])
        assert count_waiting(connection, second, most=9) == 1


def test_claiming_takes_the_oldest_of_a_category(database: Database) -> None:
    with database.write() as connection:
        run_id, _ = list_urls(connection, "abc")
        assert claim_urls(connection, run_id, shard=1, most=2, category="animal") == 2
        assert claim_urls(connection, run_id, shard=2, most=2, category="moda") == 0
        assert count_in_flight(connection, run_id) == {"animal": 2}


def test_a_message_that_waits_is_no_try(database: Database) -> None:
    with database.write() as connection:
        run_id, _ = list_urls(connection, "a")
        for shard in range(5):
            claim_urls(connection, run_id, shard=shard, most=1)
            grow_old(connection)
            assert recall(connection, run_id) == 1
        assert count_urls(connection, run_id)[MemberState.PENDING] == 1


def test_an_address_begun_too_often_is_given_up_and_may_be_retried(database: Database) -> None:
    with database.write() as connection:
        run_id, _ = list_urls(connection, "a")
        for shard in range(2):
            send(connection, run_id, shard)
            grow_old(connection)
            recall(connection, run_id)
        assert read_crawl_report(connection, run_id).dead == {"lost": 1}
        assert retry_urls(connection, run_id) == 1
        assert count_urls(connection, run_id)[MemberState.PENDING] == 1


def test_a_shard_that_was_recalled_is_stale(database: Database) -> None:
    with database.write() as connection:
        run_id, _ = list_urls(connection, "a")
        claim_urls(connection, run_id, shard=1, most=1)
        grow_old(connection)
        recall(connection, run_id)
        claim_urls(connection, run_id, shard=2, most=1)
        assert begin_shard(connection, run_id, 1) == []
        assert len(begin_shard(connection, run_id, 2)) == 1


def test_only_what_is_not_decided_on_is_settled(database: Database) -> None:
    with database.write() as connection:
        run_id, _ = list_urls(connection, "abc")
        first, second, third = send(connection, run_id)
        keep(connection, first, "a")
        settle_urls(connection, [SettledUrl(id=second, outcome="timeout", failed=True)])
        # One that was given up may still come late.
        assert lock_unsettled(connection, [first, second, third]) == {second, third}


def test_failures_are_told_apart_however_many_are_settled_at_once(database: Database) -> None:
    with database.write() as connection:
        run_id, _ = list_urls(connection, "abcdef")
        a, b, c, d, e, f = send(connection, run_id)
        settled = [
            SettledUrl(id=e, outcome="too-small", size_bytes=70),
            SettledUrl(id=d, outcome="x" * 60, failed=True),
            SettledUrl(id=c, outcome="robots", shown="http://example.org/"),
            SettledUrl(id=b, outcome="timeout", failed=True),
            SettledUrl(id=a, outcome="timeout", failed=True),
        ]
        settle_urls(connection, settled)
        rows = {row.id: row for row in connection.execute(select(crawl_urls))}
    assert {url_id: (row.state, row.outcome) for url_id, row in rows.items()} == {
        a: (MemberState.DEAD, "timeout"),
        b: (MemberState.DEAD, "timeout"),
        c: (MemberState.DONE, "robots"),
        d: (MemberState.DEAD, "x" * 40),
        e: (MemberState.DONE, "too-small"),
        f: (MemberState.IN_FLIGHT, None),
    }
    assert [rows[e].size_bytes, rows[c].url] == [70, "http://example.org/"]
    assert [rows[url_id].shard for url_id in (a, e, f)] == [None, None, 1]


def test_an_address_that_rests_is_in_nobodys_hands(database: Database) -> None:
    with database.write() as connection:
        run_id, _ = list_urls(connection, "abc")
        first, *_ = send(connection, run_id, most=2)
        assert count_handed_out(connection, run_id) == 2
        rest_urls(connection, {first: 300.0}, timeout_s=TIMEOUT_S)
        assert count_handed_out(connection, run_id) == 1
        assert count_in_flight(connection, run_id) == {"animal": 2}


def test_an_address_rests_as_long_as_its_host_asked_and_not_for_ever(database: Database) -> None:
    with database.write() as connection:
        run_id, _ = list_urls(connection, "a")
        for turn in range(MOST_RESTS):
            (url_id,) = send(connection, run_id, shard=turn)
            rested = rest_urls(connection, {url_id: 300.0}, timeout_s=TIMEOUT_S)
            if turn == MOST_RESTS - 1:
                assert rested == set()
                break
            assert rested == {url_id}
            assert recall(connection, run_id, max_attempts=9) == 0
            grow_old(connection)
            assert recall(connection, run_id, max_attempts=9) == 1


def test_resting_unasked_is_no_try(database: Database) -> None:
    with database.write() as connection:
        run_id, _ = list_urls(connection, "a")
        for turn in range(3 * MOST_RESTS):
            (url_id,) = send(connection, run_id, shard=turn)
            rested = rest_urls(connection, {url_id: 300.0}, unasked={url_id}, timeout_s=TIMEOUT_S)
            assert rested == {url_id}
            grow_old(connection)
            assert recall(connection, run_id, max_attempts=2) == 1


def test_a_second_failure_keeps_nothing_of_the_first(database: Database) -> None:
    with database.write() as connection:
        run_id, _ = list_urls(connection, "a")
        (url_id,) = send(connection, run_id)
        settle_urls(connection, [SettledUrl(url_id, "truncated", failed=True, size_bytes=555)])
        retry_urls(connection, run_id)
        send(connection, run_id)
        settle_urls(connection, [SettledUrl(url_id, "refused", failed=True)])
        row = connection.execute(select(crawl_urls)).one()
    assert (row.outcome, row.size_bytes) == ("refused", None)


def test_what_waits_beyond_the_limit_is_skipped(database: Database) -> None:
    with database.write() as connection:
        run_id, _ = list_urls(connection, "abc")
        send(connection, run_id, most=1)
        skip_urls(connection, run_id, "animal")
        report = read_crawl_report(connection, run_id)
    assert (report.beyond_limit, report.waiting) == (2, 1)


def test_two_workers_never_claim_the_same(database: Database) -> None:
    if database.kind == "sqlite":
        pytest.skip("SQLite has one writer at a time.")
    with database.write() as connection:
        run_id, _ = list_urls(connection, "abcd")
    with database.write() as one, database.write() as other:
        assert claim_urls(one, run_id, shard=1, most=2) == 2
        assert claim_urls(other, run_id, shard=2, most=4) == 2


def test_touching_and_recalling_wait_for_no_lock(database: Database) -> None:
    if database.kind == "sqlite":
        pytest.skip("SQLite has one writer at a time.")
    with database.write() as connection:
        run_id, _ = list_urls(connection, "ab")
        first, _second = send(connection, run_id)
        grow_old(connection)
    with database.write() as settling, database.write() as sweeping:
        lock_unsettled(settling, [first])
        assert recall(sweeping, run_id, max_attempts=9) == 1


# Lists


def test_a_list_goes_from_page_to_page_to_its_end(database: Database) -> None:
    with database.write() as connection:
        run_id = start(connection)
        for number in range(2):
            (part_id,) = claim_parts(connection, run_id, window=4)
            part = begin_part(connection, part_id)
            assert part is not None
            assert (part.pages, part.attempts) == (number, 1)
            cursor = None if number else "2"
            assert keep_page(connection, part, cursor=cursor, found=3, idle=False, problem=None)
            assert not keep_page(connection, part, cursor=cursor, found=3, idle=False, problem=None)
        assert count_parts(connection, run_id)[MemberState.DONE] == 1
        ended = read_part(connection, part_id)
    assert ended is not None
    assert (ended.found, ended.pages) == (6, 2)


def test_a_list_that_is_only_sent_out_dies_of_nothing(database: Database) -> None:
    with database.write() as connection:
        run_id = start(connection)
        for _ in range(4):
            claim_parts(connection, run_id, window=4)
            recall_parts(connection, run_id, timeout_s=-1, max_attempts=2)
        assert count_parts(connection, run_id)[MemberState.PENDING] == 1
        for _ in range(2):
            (part_id,) = claim_parts(connection, run_id, window=4)
            begin_part(connection, part_id)
            recall_parts(connection, run_id, timeout_s=-1, max_attempts=2)
        assert count_parts(connection, run_id)[MemberState.DEAD] == 1
        assert retry_parts(connection, run_id) == 1
        assert open_parts(connection, run_id) == [part_id]


def test_a_list_that_waits_is_told_with_its_reason(database: Database) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    with database.write() as connection:
        run_id = start(connection)
        (part_id,) = claim_parts(connection, run_id, window=1)
        begin_part(connection, part_id)
        postpone_part(connection, part_id, until=later, problem="Spent.", attempt=False)
        assert claim_parts(connection, run_id, window=1) == []
        assert next_start(connection, run_id) == (later, "Spent.")
        part = read_part(connection, part_id)
        assert part is not None
        assert part.attempts == 0
        give_up_parts(connection, [part_id], problem="Enough.")
        assert next_start(connection, run_id) is None


# Budgets


def test_requests_are_kept_by_account_without_its_key(database: Database) -> None:
    account = hash_account("key")
    assert "key" not in account
    with database.write() as connection:
        lock_budgets(connection)
        note_request(connection, "pexels", account, "search")
        note_request(connection, "pexels", hash_account("other"), "search")
        since = datetime.now(UTC) - timedelta(hours=1)
        assert len(read_requests(connection, "pexels", account, since=since)) == 1


def test_what_a_source_does_not_say_stays(database: Database) -> None:
    moment = datetime(2026, 1, 5, tzinfo=UTC)
    with database.write() as connection:
        save_rate(connection, "pexels", "a", RateState(limit=9, remaining=3, reset_at=moment))
        save_rate(connection, "pexels", "a", RateState(remaining=2))
        save_rate(connection, "pexels", "a", RateState())
        assert read_rate(connection, "pexels", "a") == RateState(
            limit=9, remaining=2, reset_at=moment
        )


def test_a_pause_ends_by_itself(database: Database) -> None:
    now = datetime.now(UTC)
    with database.write() as connection:
        pause_source(connection, "instagram", "a", until=now + timedelta(hours=1))
        assert read_pause(connection, "instagram", "a") == now + timedelta(hours=1)
        pause_source(connection, "instagram", "a", until=now - timedelta(hours=1))
        assert read_pause(connection, "instagram", "a") is None


# Looks


def add_example(connection: Connection, name: str, phash: int, category: str) -> None:
    row = PhotoRow(
        sha256=photo(name), size_bytes=9, width=80, height=80, format="jpeg", phash=phash
    )
    add_photos(connection, [row])
    example = NewExample(
        source="imagenet", photo_sha256=row.sha256, category=category, split="train", caption=""
    )
    add_examples(connection, [example])


@pytest.mark.parametrize("bits", [0, 1, 0x8000_0000_0000_0000, 0x8000_0001_0000_0001])
def test_looks_within_three_bits_are_found_in_their_category(database: Database, bits: int) -> None:
    phash = 0xF0F0_1234_5678_9ABC
    with database.write() as connection:
        add_example(connection, "a", phash, "animal")
        wanted = {photo("b"): phash ^ bits}
        assert find_alike(connection, wanted, categories=["animal"]) == {photo("b"): photo("a")}
        assert find_alike(connection, wanted, categories=["moda"]) == {}


def test_looks_of_four_bits_apart_are_others(database: Database) -> None:
    with database.write() as connection:
        add_example(connection, "a", 0, "animal")
        assert find_alike(connection, {photo("b"): 0b1111}, categories=["animal"]) == {}
        add_bands(connection, {photo("a"): 0})


def test_the_same_bytes_for_many_photos_stand_in_for_them(database: Database) -> None:
    with database.write() as connection:
        run_id, _ = list_urls(connection, "abc")
        ids = send(connection, run_id)
        keep(connection, ids[0], "same")
        keep(connection, ids[1], "same")
        assert learn_placeholders(connection, [photo("same")], from_urls=3) == []
        keep(connection, ids[2], "same")
        assert learn_placeholders(connection, [photo("same")], from_urls=3) == [photo("same")]
        assert known_placeholders(connection, [photo("same")]) == {photo("same")}
        assert read_crawl_report(connection, run_id).placeholders == 3


def test_one_photo_listed_under_many_ids_is_no_placeholder(database: Database) -> None:
    with database.write() as connection:
        for number in range(3):
            run_id = start(connection)
            (part_id,) = open_parts(connection, run_id)
            listed = url("a")._replace(external_id=f"n{number}_1")
            add_urls(connection, run_id, part_id, [listed])
            for url_id in send(connection, run_id):
                keep(connection, url_id, "same")
        assert learn_placeholders(connection, [photo("same")], from_urls=2) == []


# Tagged posts


def test_a_tagged_post_keeps_its_photos_and_no_address(database: Database) -> None:
    post = NewTaggedPost(
        source="instagram",
        external_id="1",
        tag="perro",
        category="animal",
        caption="Hola",
        caption_sha256=photo("Hola"),
        photos=("http://example.org/a.jpg?oe=1", "http://example.org/b.jpg?oe=1"),
    )
    with database.write() as connection:
        (post_id,) = save_tagged_posts(connection, [post]).values()
        row = PhotoRow(sha256=photo("a"), size_bytes=9, width=80, height=80, format="jpeg")
        add_photos(connection, [row])
        settle_tagged_photo(connection, post_id, 0, sha256=photo("a"), problem=None)
        settle_tagged_photo(connection, post_id, 0, sha256=None, problem="timeout")
        settle_tagged_photo(connection, post_id, 1, sha256=None, problem="timeout")
        again = save_tagged_posts(connection, [post.model_copy(update={"caption": "Adiós"})])
        assert again == {"1": post_id}
        places = connection.exec_driver_sql(
            "SELECT photo_sha256, url, problem FROM tagged_post_photos ORDER BY position"
        ).all()
    assert [tuple(place) for place in places] == [
        (photo("a"), None, None),
        (None, None, "timeout"),
    ]
