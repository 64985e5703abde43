import json
from pathlib import Path
from typing import Any

from yarl import URL

from pipelines.sources.sandbox import INSTAGRAM_USER_ID, Sandbox
from tests.unit.pipelines.sandbox.graph_calls import (
    ALL_FIELDS,
    call,
    discover,
    find_tag,
    list_posts,
)
from tests.unit.pipelines.sandbox.shapes import shape


def read(formats: Path, name: str) -> Any:
    return json.loads((formats / "instagram" / f"{name}.json").read_text("utf-8"))


def test_a_found_tag_has_the_structure_of_a_real_one(sandbox: Sandbox, formats: Path) -> None:
    served = find_tag(sandbox, "maraton", fields="id,name").json()
    assert shape(served) == shape(read(formats, "users__hashtag_search"))
    node = call(sandbox, f"/{served['data'][0]['id']}", fields="id,name").json()
    assert shape(node) == shape(read(formats, "hashtags__hashtag_info"))


def test_a_page_of_posts_has_the_structure_of_a_real_one(sandbox: Sandbox, formats: Path) -> None:
    real = read(formats, "hashtags__hashtag_recent_medias_p1")
    fields = "id,media_type,comments_count,like_count"
    assert shape(list_posts(sandbox, fields=fields, limit="5")) == shape(real)
    parts = URL(real["paging"]["next"]).query
    following = URL(list_posts(sandbox, fields=fields, limit="5")["paging"]["next"]).query
    assert set(following) == set(parts)


def test_the_last_page_has_no_paging_as_a_real_one(sandbox: Sandbox, formats: Path) -> None:
    real = read(formats, "hashtags__hashtag_recent_medias_p2")
    served = list_posts(sandbox, fields="id,media_type,comments_count,like_count")
    assert shape(served) == shape(real)


def test_whole_posts_and_albums_have_the_structure_of_real_ones(
    sandbox: Sandbox, formats: Path
) -> None:
    real = read(formats, "hashtags__hashtag_top_medias_p1")
    real_shapes = {repr(shape(post)) for post in real["data"]}
    fields = ALL_FIELDS.replace(",timestamp", "")
    served = [
        post
        for tag in ("maraton", "comida", "perros")
        for post in list_posts(sandbox, tag, "top_media", fields=fields)["data"]
    ]
    plain = {repr(shape(post)) for post in served if post["media_type"] != "VIDEO"}
    assert real_shapes <= plain


def test_an_account_has_the_structure_of_a_real_one(sandbox: Sandbox, formats: Path) -> None:
    real = read(formats, "discovery__user_fields")
    name = sandbox.accounts[0].username
    fields = ",".join(real["business_discovery"])
    assert shape(discover(sandbox, name, fields).json()) == shape(real)


def test_an_accounts_posts_have_the_structure_of_real_ones(sandbox: Sandbox, formats: Path) -> None:
    real = read(formats, "discovery__medias_p1")["business_discovery"]["media"]
    fields = ",".join(real["data"][0])
    name = max(sandbox.accounts, key=lambda account: len(account.posts)).username
    document = discover(sandbox, name, f"id,media.limit(3){{{fields}}}").json()
    served = document["business_discovery"]["media"]
    assert shape(served["paging"]) == shape(real["paging"])
    assert all(set(post) <= set(real["data"][0]) for post in served["data"])


def test_an_error_has_the_structure_of_a_real_one(sandbox: Sandbox, formats: Path) -> None:
    reply = call(sandbox, "/999", fields="id")
    assert reply.status == 400
    assert shape(reply.json()) == shape(read(formats, "error"))
    assert shape(reply.json()) == shape(read(formats, "base__error_data"))


def test_searched_tags_have_the_structure_of_real_ones(sandbox: Sandbox, formats: Path) -> None:
    find_tag(sandbox, "maraton")
    served = call(sandbox, f"/{INSTAGRAM_USER_ID}/recently_searched_hashtags").json()
    assert shape(served) == shape(read(formats, "users__recently_searched_hashtags"))
    assert [tag["name"] for tag in served["data"]] == ["maraton"]
