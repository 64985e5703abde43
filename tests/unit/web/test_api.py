"""The API gives what its document promises."""

import pytest

from tasks.context import Context
from tasks.maps import make_map
from tests.pages import ACCOUNTS, Visitor, World
from web.api.routes import describe, operations


def test_every_get_operation_answers_what_its_schema_says(
    visitor: Visitor, world: World, resources: Context
) -> None:
    make_map(resources, None, "image")
    values = {
        "username": "ana.cocina",
        "id": world.bundle_id,
        "category=&threshold=": "?category=comida&threshold=0.5",
    }
    campaign = {"name": "c", "weights": {"comida": 1}}
    assert visitor.send("POST", "/api/v1/campaigns", campaign).status == 201
    for operation in operations():
        if operation.verb != "GET":
            continue
        number = operation.path.startswith(("/runs/", "/campaigns/"))
        path = operation.path.format(username=values["username"], id=1 if number else values["id"])
        if path.endswith("/threshold"):
            path += "?category=comida&threshold=0.5"
        if path.endswith("/compare"):
            path += f"?first={world.bundle_id}&second={world.bundle_id}"
        reply = visitor.get(f"/api/v1{path}")
        assert reply.status == 200, (path, reply.text)


def test_the_document_refers_only_to_schemas_it_holds() -> None:
    document = describe()
    held = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(_references(document)) <= held


def test_pages_of_accounts_follow_each_other_without_gap_or_repetition(visitor: Visitor) -> None:
    names, cursor = [], ""
    for _page in ACCOUNTS:
        found = visitor.get(f"/api/v1/accounts?limit=1&cursor={cursor}").json
        names += [one["username"] for one in found["accounts"]]
        cursor = found["next"] or ""
    assert names == sorted(ACCOUNTS)
    assert cursor == ""


@pytest.mark.parametrize("order", ["certain", "uncertain"])
def test_certainty_orders_pages_too(visitor: Visitor, order: str) -> None:
    sure, cursor = [], ""
    for _page in ACCOUNTS:
        found = visitor.get(f"/api/v1/accounts?limit=1&order={order}&cursor={cursor}").json
        sure += [one["standing"]["certainty"] for one in found["accounts"]]
        cursor = found["next"] or ""
    assert sure == sorted(sure, reverse=order == "certain")


def test_an_answer_that_is_known_already_is_not_sent_again(visitor: Visitor) -> None:
    first = visitor.get("/api/v1/accounts")
    again = visitor.get("/api/v1/accounts", {"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/accounts?limit=0", 400),
        ("/api/v1/accounts?cursor=%7B", 400),
        ("/api/v1/accounts?category=nothing", 400),
        ("/api/v1/accounts/nobody", 404),
        ("/api/v1/runs/x", 400),
        ("/api/v1/nothing", 404),
        ("/api/v1/models/none/threshold?category=comida&threshold=0.5", 404),
    ],
)
def test_an_error_is_a_problem_document(visitor: Visitor, path: str, status: int) -> None:
    reply = visitor.get(path)
    assert reply.status == status
    assert reply.headers["Content-Type"].startswith("application/problem+json")
    assert reply.json["status"] == status
    assert reply.json["detail"]


def test_a_verdict_can_be_had_in_the_thesiss_form(visitor: Visitor) -> None:
    verdict = visitor.get("/api/v1/accounts/ana.cocina/verdict").json
    assert verdict["username"] == "ana.cocina"
    assert isinstance(verdict["categories"]["nn"], list)


def test_a_correction_becomes_a_label_and_leaves_the_queue(visitor: Visitor) -> None:
    task = visitor.get("/api/v1/reviews/next").json
    decision = {"post": task["post"]["id"], "decision": "correct", "categories": ["viajes"]}
    assert visitor.send("POST", "/api/v1/reviews", decision).json == {"fate": "trains"}
    (label,) = visitor.get("/api/v1/reviews").json
    assert (label["categories"], label["reviewer"]) == (["viajes"], "local")
    assert visitor.get("/api/v1/reviews/next").json["post"]["id"] != task["post"]["id"]


def test_another_threshold_flips_the_accounts_between(visitor: Visitor, world: World) -> None:
    path = f"/api/v1/models/{world.bundle_id}/threshold?category=comida&threshold="
    accounts = visitor.get("/api/v1/accounts").json["accounts"]
    shares = [
        share["share"]
        for one in accounts
        for share in one["shares"]
        if share["category"] == "comida"
    ]
    above = sum(share >= 0.28 for share in shares)
    assert visitor.get(path + "0.99").json["lose"] == above - sum(s >= 0.99 for s in shares)
    assert visitor.get(path + "0.01").json["gain"] == sum(0.01 <= s < 0.28 for s in shares)
    assert visitor.get(path + "0.28").json["precision"] is None


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [one for value in node.values() for one in _references(value)]
    if isinstance(node, list):
        return [one for value in node for one in _references(value)]
    return []
