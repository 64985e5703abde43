"""What Instagram's Graph API answers, and asking a stand-in that answers so."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import SecretStr

from pipelines.sources.http import Fetcher
from pipelines.sources.instagram import GraphAccess, read_tag_page
from schemas.crawls import FoundPost, Page
from tests.unit.pipelines.http.stand_in import Handler, StandIn, always, policy, reply, serve

TOKEN, USER, TAG_ID = "S3CRET", "17841400000000001", "17843826142012701"
ACCESS = GraphAccess(base_url="http://e.test", user_id=USER, token=SecretStr(TOKEN))
NEXT = (
    f"https://graph.test/v4.0/1/top_media?access_token={TOKEN}&pretty=0&fields=id&user_id=1&limit=5"
)

POST: dict[str, object] = {
    "id": "18088158883149835",
    "caption": "Mi perro #perro 🐶",
    "media_type": "IMAGE",
    "media_url": "https://cdn.test/a.heic?stp=dst-jpg&oe=1",
    "permalink": "https://www.instagram.com/p/B8g/",
    "timestamp": "2021-08-17T19:00:42+0000",
    "like_count": 87,
    "comments_count": 11,
}
ALBUM: dict[str, object] = {
    "id": "1",
    "media_type": "CAROUSEL_ALBUM",
    "children": {
        "data": [
            {"id": "11", "media_type": "IMAGE", "media_url": "https://cdn.test/11.jpg"},
            {"id": "12", "media_type": "VIDEO", "media_url": "https://cdn.test/12.mp4"},
            {"media_type": "IMAGE", "media_url": "https://cdn.test/13.jpg"},
        ]
    },
}
TAGGED: dict[str, object] = {
    "data": [POST, ALBUM],
    "paging": {"cursors": {"after": "QVFI"}, "next": f"{NEXT}&after=QVFI"},
}
DISCOVERED: dict[str, object] = {
    "business_discovery": {
        "id": "17841407673135339",
        "username": "jansport_cl",
        "followers_count": 64976,
        "media_count": 436,
        "media": {"data": [POST], "paging": {"cursors": {"after": "QVFI=="}}},
    },
    "id": USER,
}

T = TypeVar("T")


def ask(
    handler: Handler,
    call: Callable[[Fetcher, GraphAccess], Awaitable[T]],
    *,
    token: str = TOKEN,
    user_id: str = USER,
) -> tuple[T, StandIn]:
    async def play() -> tuple[T, StandIn]:
        async with serve(handler) as server, Fetcher(policy()) as fetcher:
            base_url = server.url("/v23.0/")
            access = GraphAccess(base_url=base_url, user_id=user_id, token=SecretStr(token))
            return await call(fetcher, access), server

    return asyncio.run(play())


def says(value: object, **headers: str) -> Handler:
    return always(reply(json.dumps(value).encode(), **headers))


def tag_page(handler: Handler, after: str | None = None) -> tuple[Page[FoundPost], StandIn]:
    (page, _), server = ask(
        handler, lambda fetcher, access: read_tag_page(fetcher, access, TAG_ID, after=after)
    )
    return page, server
