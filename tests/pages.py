"""The pages for tests: a few accounts with drawn photos and real verdicts, served on loopback."""

import asyncio
import io
import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import web
from PIL import Image

from schemas.runs import Run
from storage.accounts import NewPost, PhotoPlace
from storage.photos import PhotoRow, add_photos
from storage.vectors import save_image_vectors, save_text_vectors
from tasks.context import Context
from tasks.verdicts import conclude
from tests.unit.storage import builders as rows
from tests.unit.tasks.builders import BACKBONE, TEXT_WIDTH, publish_toy_bundle, start_run
from web.app import create_app

ACCOUNTS = ("ana.cocina", "beto_gol", "carla.viaja")
POSTS_EACH = 4


@dataclass(frozen=True)
class World:
    """What was put into the stores."""

    bundle_id: str
    run: Run
    ids: Mapping[str, int]


def populate(resources: Context, folder: Path) -> World:
    """Store accounts with photos and captions, and judge them by a bundle drawn by lot."""
    bundle_id = publish_toy_bundle(resources, folder)
    rng = np.random.default_rng(5)
    ids = {name: _add(resources, bundle_id, name, rng) for name in ACCOUNTS}
    run = start_run(resources, bundle_id, ids.values())
    for influencer_id in ids.values():
        assert conclude(run.id, run.generation, influencer_id) == "concluded=1"
    return World(bundle_id, run, ids)


def _add(resources: Context, bundle_id: str, name: str, rng: np.random.Generator) -> int:
    manifest = resources.bundle(bundle_id).manifest
    posts: list[NewPost] = []
    with resources.database.write() as connection:
        for number in range(POSTS_EACH):
            sha256 = _photo(resources, rng)
            row = PhotoRow(sha256=sha256, size_bytes=9, width=64, height=64, format="png")
            add_photos(connection, [row])
            vector = rng.normal(size=BACKBONE.width).astype(np.float32) * 3
            save_image_vectors(connection, manifest.backbone.hash, {sha256: vector})
            caption = f"hola {name} {number} <b>&"
            posts.append(
                rows.new_post(f"p{number}", caption=caption, photos=[PhotoPlace(sha256=sha256)])
            )
            if manifest.text_model is not None:
                words = rng.normal(size=TEXT_WIDTH).astype(np.float32)
                hashed = {rows.photo(caption): words}
                save_text_vectors(connection, manifest.text_model.hash, hashed)
        return rows.add_account(connection, name, posts)


def _photo(resources: Context, rng: np.random.Generator) -> str:
    out = io.BytesIO()
    pixels = np.kron(rng.integers(0, 255, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return resources.blobs.write_photo(out.getvalue())


@contextmanager
def serving(resources: Context, extra_routes: Iterable[web.AbstractRouteDef] = ()) -> Iterator[str]:
    """Serve the pages from a thread of their own until the block ends."""
    app = create_app(resources, extra_routes=extra_routes)
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(app, access_log=None)

    async def start() -> int:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port: int = runner.addresses[0][1]
        return port

    # In that thread from the start: playwright runs a loop of its own in this one.
    thread = threading.Thread(target=loop.run_forever, name="pages", daemon=True)
    thread.start()
    port = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@dataclass(frozen=True)
class Reply:
    """An answer as it came."""

    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


@dataclass
class Visitor:
    """Asks for pages as a browser does: keeps cookies, sends the token that forms carry."""

    base: str
    jar: CookieJar = field(default_factory=CookieJar)
    token: str = ""

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        return self.ask("GET", path, headers=headers)

    def csrf(self) -> str:
        """Return the token that this visitor's pages carry."""
        page = self.get("/sign-in").text
        return page.split('name="csrf" value="')[1].split('"')[0]

    def post(self, path: str, fields: Mapping[str, Any], *, csrf: str | None = None) -> Reply:
        """Send a form as its page would."""
        given = {**fields, "csrf": self.csrf() if csrf is None else csrf}
        return self.ask("POST", path, data=urllib.parse.urlencode(given, doseq=True).encode())

    def send(self, method: str, path: str, document: Any) -> Reply:
        """Send JSON, with the token in a header."""
        headers = {"Content-Type": "application/json"}
        if not self.token:
            headers["X-CSRF-Token"] = self.csrf()
        return self.ask(method, path, data=json.dumps(document).encode(), headers=headers)

    def ask(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask once; redirects are answers too."""
        opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self.jar), _NoRedirect
        )
        asked = urllib.request.Request(self.base + path, data=data, method=method)  # noqa: S310 - loopback
        for name, value in (headers or {}).items():
            asked.add_header(name, value)
        if self.token:
            asked.add_header("Authorization", f"Bearer {self.token}")
        try:
            with opener.open(asked, timeout=30) as answer:
                return Reply(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, error.headers, error.read())
