"""What logs tell of a request, also from the threads that ask the database for it."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from schemas.settings import Settings
from tests.logs import logging_to
from tests.pages import Visitor
from web.site import Site

log = logging.getLogger(__name__)

Records = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Iterator[Records]:
    """Log whenever a thread asks the database; return what is written so far, once."""
    out = io.StringIO()
    in_thread = Site._in_thread

    async def telling(self: Site, call: Callable[[], Any]) -> Any:
        def tell() -> Any:
            log.warning("asked")
            return call()

        return await in_thread(self, tell)

    def read() -> list[dict[str, Any]]:
        lines = out.getvalue().splitlines()
        out.truncate(0)
        out.seek(0)
        return [json.loads(line) for line in lines]

    monkeypatch.setattr(Site, "_in_thread", telling)
    with logging_to(out, Settings(log_format="json"), "web"):
        yield read


def test_a_record_tells_request_route_and_username(visitor: Visitor, records: Records) -> None:
    assert visitor.get("/accounts/ana.cocina").status == 200
    assert visitor.get("/accounts/beto_gol").status == 200
    said = records()
    route = "GET /accounts/{username}"
    assert {(one["route"], one["username"]) for one in said} == {
        (route, "ana.cocina"),
        (route, "beto_gol"),
    }
    assert len({one["request_id"] for one in said}) == 2


def test_a_record_tells_the_run_and_nothing_of_the_request_before(
    visitor: Visitor, records: Records
) -> None:
    assert visitor.get("/accounts/ana.cocina").status == 200
    assert records()
    assert visitor.get("/runs/1").status == 200
    assert {(one["run"], one.get("username")) for one in records()} == {(1, None)}
