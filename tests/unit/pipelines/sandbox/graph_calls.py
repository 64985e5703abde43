"""Questions to the sandbox's Instagram."""

from typing import Any

from yarl import URL

from pipelines.sources.sandbox import INSTAGRAM_TOKEN, INSTAGRAM_USER_ID, Sandbox
from tests.sandbox import Reply, ask

ALL_FIELDS = (
    "id,caption,media_type,media_url,permalink,timestamp,like_count,comments_count,"
    "children{id,media_type,media_url,permalink}"
)


def call(sandbox: Sandbox, path: str, token: str = INSTAGRAM_TOKEN, **query: str) -> Reply:
    url = URL(sandbox.instagram_url + path).with_query({"access_token": token, **query})
    return ask(str(url))


def find_tag(sandbox: Sandbox, name: str, **query: str) -> Reply:
    return call(sandbox, "/ig_hashtag_search", user_id=INSTAGRAM_USER_ID, q=name, **query)


def list_posts(
    sandbox: Sandbox, tag: str = "maraton", edge: str = "recent_media", **query: str
) -> Any:
    tag_id = find_tag(sandbox, tag).json()["data"][0]["id"]
    asked = {"fields": ALL_FIELDS, "limit": "50", "user_id": INSTAGRAM_USER_ID} | query
    return call(sandbox, f"/{tag_id}/{edge}", **asked).json()


def discover(sandbox: Sandbox, name: str, fields: str) -> Reply:
    wanted = f"business_discovery.username({name}){{{fields}}}"
    return call(sandbox, f"/v19.0/{INSTAGRAM_USER_ID}", fields=wanted)
