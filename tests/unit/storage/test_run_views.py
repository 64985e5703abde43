"""What a page shows of failures, and what is tried again from there."""

import pytest
from sqlalchemy import update

from schemas.errors import UsageError
from schemas.runs import RunKind, RunState
from storage.crawl_counts import count_urls
from storage.crawl_parts import NewPart, add_parts, list_parts
from storage.crawl_tables import crawl_urls
from storage.crawl_urls import NewUrl, Use, add_urls
from storage.database import Database
from storage.run_views import group_problems, retry_failed
from storage.runs import create_run, end_run, read_run


def crawl(database: Database) -> int:
    """A crawl that has ended with two dead addresses of one host."""
    with database.write() as connection:
        run_id = create_run(connection, RunKind.CRAWL, params={"source": "pexels"})
        add_parts(connection, run_id, [NewPart(kind="search", name="cooking", category="comida")])
        (part,) = list_parts(connection, run_id)
        found = [
            NewUrl(
                url=f"https://example.org/{number}.jpg",
                host="example.org",
                external_id=str(number),
                use=Use(use="example", category="comida"),
            )
            for number in range(3)
        ]
        add_urls(connection, run_id, part.id, found)
        connection.execute(
            update(crawl_urls)
            .where(crawl_urls.c.external_id != "0")
            .values(state="dead", outcome="http-404")
        )
        end_run(connection, run_id, RunState.DONE)
        return run_id


def test_dead_addresses_of_a_crawl_are_grouped_by_reason_with_their_hosts(
    database: Database,
) -> None:
    run_id = crawl(database)
    with database.read() as connection:
        (group,) = group_problems(connection, run_id)
    assert (group.reason, group.count) == ("http-404: example.org", 2)


def test_what_a_crawl_gave_up_is_tried_again_under_a_new_generation(database: Database) -> None:
    run_id = crawl(database)
    with database.write() as connection:
        assert retry_failed(connection, run_id) == 2
        run, counts = read_run(connection, run_id), count_urls(connection, run_id)
    assert (run.state, run.generation) == (RunState.RUNNING, 1)
    assert {state.value: number for state, number in counts.items() if number} == {"pending": 3}


def test_where_nothing_failed_there_is_nothing_to_try_again(database: Database) -> None:
    with database.write() as connection:
        run_id = create_run(connection, RunKind.CLASSIFY, params={})
        with pytest.raises(UsageError, match="nothing to try again"):
            retry_failed(connection, run_id)
