"""Doubted labels over the API and its client: listed page by page, settled by who may."""

from collections.abc import Sequence

import pytest

from storage.doubts import NewDoubt, add_doubts
from storage.labels import read_said
from storage.training import NewExample, add_examples
from storage.users import add_token
from tasks.context import Context, context
from tests.pages import Visitor, World
from web.client import Afin, ForbiddenError, MissingError, WrongRequestError
from web.cursor import write_cursor


def doubt_of(visitor: Visitor, resources: Context) -> list[str]:
    """Doubt the labels of three training photos; their hashes, most doubtful first."""
    posts = visitor.get("/api/v1/accounts/ana.cocina/posts").json
    hashes = [post["photos"][0] for post in posts[:3]]
    with resources.database.write() as connection:
        add_examples(
            connection,
            [
                NewExample(
                    source="mine", photo_sha256=one, category="comida", split="train", caption=""
                )
                for one in hashes
            ],
        )
        add_doubts(
            connection,
            [
                NewDoubt(
                    kind="photo",
                    target=one,
                    given="comida",
                    suggested="deporte",
                    given_probability=0.03 + place / 10,
                    suggested_probability=0.91,
                )
                for place, one in enumerate(hashes)
            ],
        )
    return hashes


def targets(visitor: Visitor, limit: int = 50) -> list[str]:
    found: list[str] = []
    cursor = ""
    while True:
        page = visitor.get(f"/api/v1/doubts?limit={limit}&cursor={cursor}").json
        assert len(page["doubts"]) <= limit
        found += [one["target"] for one in page["doubts"]]
        cursor = page["next"] or ""
        if not cursor:
            return found


@pytest.fixture
def doubted(visitor: Visitor, resources: Context, world: World) -> Sequence[str]:
    return doubt_of(visitor, resources)


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_pages_of_doubts_follow_each_other_most_doubtful_first(
    visitor: Visitor, doubted: Sequence[str], limit: int
) -> None:
    assert targets(visitor, limit) == list(doubted)


def test_a_doubt_comes_with_its_reason_and_its_photo(
    visitor: Visitor, doubted: Sequence[str]
) -> None:
    first = visitor.get("/api/v1/doubts").json["doubts"][0]
    assert (first["kind"], first["given"], first["suggested"]) == ("photo", "comida", "deporte")
    assert first["sources"] == ["mine"]
    assert visitor.get(first["photo_urls"][0]).headers["Content-Type"] == "image/png"


def test_what_is_settled_or_skipped_no_longer_waits(
    visitor: Visitor, resources: Context, doubted: Sequence[str]
) -> None:
    ids = [one["id"] for one in visitor.get("/api/v1/doubts").json["doubts"]]
    decisions = (
        {"decision": "keep"},
        {"decision": "correct", "categories": ["deporte"]},
        {"decision": "skip"},
    )
    fates = [
        visitor.send("POST", f"/api/v1/doubts/{key}", decision).json["fate"]
        for key, decision in zip(ids, decisions, strict=True)
    ]
    assert fates == ["confirmed", "relabelled", "skipped"]
    assert targets(visitor) == []
    with resources.database.read() as connection:
        said = read_said(connection, "photo")["review:local"]
    assert said == {doubted[0]: {"comida"}, doubted[1]: {"deporte"}}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/v1/doubts/999", {"decision": "keep"}, 404),
        ("/api/v1/doubts/1", {"decision": "accept"}, 400),
        ("/api/v1/doubts/1", {"decision": "correct", "categories": ["nada"]}, 400),
        ("/api/v1/doubts/x", {"decision": "keep"}, 400),
    ],
)
def test_a_decision_that_cannot_be_is_refused_with_its_reason(
    visitor: Visitor, doubted: Sequence[str], path: str, body: dict[str, object], status: int
) -> None:
    reply = visitor.send("POST", path, body)
    assert reply.status == status
    assert reply.json["detail"]
    assert targets(visitor) == list(doubted)


@pytest.mark.parametrize("mark", [("ana", 1), (7, 1), (0.5, -1), (0.5, 2**70)])
def test_another_lists_cursor_is_refused(visitor: Visitor, mark: tuple[str | float, int]) -> None:
    assert visitor.get(f"/api/v1/doubts?cursor={write_cursor(mark)}").status == 400


def test_the_client_goes_through_doubts_and_settles_them(
    stranger: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.client_base.PAGE", 1)
    resources = context()
    with resources.database.write() as connection:
        tokens = {role: add_token(connection, role) for role in ("viewer", "reviewer")}
    with Afin(stranger.base, token=tokens["viewer"]) as viewer:
        with pytest.raises(ForbiddenError):
            list(viewer.doubts())
        with pytest.raises(ForbiddenError):
            viewer.settle_doubt(1, "keep")
    stranger.token = tokens["reviewer"]
    hashes = doubt_of(stranger, resources)
    with Afin(stranger.base, token=tokens["reviewer"]) as afin:
        found = list(afin.doubts())
        assert [one.target for one in found] == hashes
        assert afin.settle_doubt(found[0].id, "correct", ["viajes"]).fate == "relabelled"
        assert [one.target for one in afin.doubts()] == hashes[1:]
        with pytest.raises(WrongRequestError):
            afin.settle_doubt(found[1].id, "correct", ["nada"])
        with pytest.raises(MissingError):
            afin.settle_doubt(999, "keep")
