"""What keeps pages fast: no question more for more data, files zipped once, one thread for BLAS."""

import asyncio
import gzip
from collections.abc import Callable
from typing import Any

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from schemas.runs import RunKind
from storage.accounts import save_account
from storage.runs import create_run
from tasks.context import Context
from tasks.verdicts import conclude
from tests.pages import ACCOUNTS, Visitor, World
from tests.statements import listening
from tests.unit.storage.builders import new_post
from tests.unit.tasks.builders import start_run
from web import server
from web.statics import STATIC, read_files

PAGES = (
    "/",
    "/?category=comida",
    "/?order=uncertain",
    "/accounts/ana.cocina",
    "/review",
    "/runs",
    "/models",
    "/api/v1/accounts",
    "/api/v1/accounts/ana.cocina/posts",
    "/api/v1/reviews/next",
    "/api/v1/runs",
)


@pytest.mark.parametrize("path", PAGES)
def test_more_accounts_posts_and_runs_take_no_more_questions(
    visitor: Visitor, resources: Context, world: World, path: str
) -> None:
    def questions() -> int:
        with listening(resources.database) as asked:
            assert visitor.get(path).status == 200
        return len(asked)

    questions()
    before = questions()
    with resources.database.write() as connection:
        posts = [new_post(f"more{number}") for number in range(5)]
        for username in (*ACCOUNTS, "dora", "eva"):
            save_account(
                connection,
                username=username,
                followers=9,
                imported_from="test",
                new_posts=posts,
            )
        for _ in range(4):
            create_run(connection, RunKind.CLASSIFY, params={}, bundle_id=world.bundle_id)
    run = start_run(resources, world.bundle_id, world.ids.values())
    for influencer_id in world.ids.values():
        assert conclude(run.id, run.generation, influencer_id) == "concluded=1"
    assert questions() == before


def test_a_static_file_comes_zipped_to_who_can_read_that(visitor: Visitor) -> None:
    body = (STATIC / "afin.css").read_bytes()
    plain = visitor.get("/static/afin.css")
    zipped = visitor.get("/static/afin.css", {"Accept-Encoding": "br, gzip"})
    assert plain.body == body
    assert plain.headers["Content-Encoding"] is None
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped.body) == body
    assert plain.headers["Content-Type"] == "text/css; charset=utf-8"


@pytest.mark.parametrize("path", ["/static/htmx.min.js", "/api/v1/openapi.json", "/api/v1/runs"])
def test_what_somebody_has_already_is_not_sent_again(visitor: Visitor, path: str) -> None:
    tag = visitor.get(path).headers["ETag"]
    again = visitor.get(path, {"If-None-Match": tag})
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)


@pytest.mark.parametrize("name", ["nothing.css", "../app.py", "%2e%2e/app.py", ""])
def test_only_static_files_are_static(visitor: Visitor, name: str) -> None:
    assert visitor.get(f"/static/{name}").status == 404


def test_every_static_file_is_held() -> None:
    assert {path.name for path in STATIC.rglob("*.*")} == set(read_files())


def test_pages_judge_with_one_thread(resources: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    async def serve(_settings: Any, _port: int, _ready: Callable[[str], None]) -> None:
        await asyncio.sleep(0)
        seen.extend(library["num_threads"] for library in threadpool_info())

    monkeypatch.setattr(server, "_serve", serve)
    with threadpool_limits(limits=None):
        server.run_web(resources.settings, 0)
    assert set(seen) == {1}
