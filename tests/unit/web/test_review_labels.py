"""Doubted labels on the Review page: shown with their reason, settled with a button."""

import pytest

from storage.doubts import NewDoubt, add_doubts
from storage.labels import read_said
from storage.training import NewExample, add_examples, newest_example, read_examples
from tasks.context import Context
from tests.pages import Visitor, World

CATEGORIES = ("comida", "deporte", "otra")


@pytest.fixture
def doubted(visitor: Visitor, resources: Context, world: World) -> str:
    """A training photo of food that a model takes for sport; its hash."""
    (post, *_) = visitor.get("/api/v1/accounts/ana.cocina/posts").json
    sha256: str = post["photos"][0]
    example = NewExample(
        source="mine", photo_sha256=sha256, category="comida", split="train", caption="¡gol! <b>"
    )
    doubt = NewDoubt(
        kind="photo",
        target=sha256,
        given="comida",
        suggested="deporte",
        given_probability=0.03,
        suggested_probability=0.91,
    )
    with resources.database.write() as connection:
        add_examples(connection, [example])
        add_doubts(connection, [doubt])
    return sha256


def labels_of(resources: Context, sha256: str) -> list[str]:
    with resources.database.read() as connection:
        found = read_examples(connection, CATEGORIES, until=newest_example(connection))
    return [one.category for one in found if one.photo_sha256 == sha256]


def test_a_doubted_label_comes_first_with_its_reason(visitor: Visitor, doubted: str) -> None:
    text = visitor.get("/review").text
    assert f"/photos/{doubted}" in text
    assert "Its label is doubted" in text
    assert "Doubtful labels (1)" in text
    assert "¡gol! &lt;b&gt;" in text
    assert "91" in text
    spanish = visitor.get("/review", {"Accept-Language": "es"}).text
    assert "Su etiqueta es dudosa" in spanish


def test_other_orders_still_show_posts_of_accounts(visitor: Visitor, doubted: str) -> None:
    text = visitor.get("/review?first=certain").text
    assert 'name="post"' in text
    assert 'name="doubt"' not in text


def test_a_correction_is_trained_on_and_kept_as_a_label(
    visitor: Visitor, resources: Context, doubted: str
) -> None:
    number = visitor.get("/review").text.split('name="doubt" value="')[1].split('"')[0]
    reply = visitor.post("/review", {"doubt": number, "answer": "deporte", "first": "labels"})
    assert reply.status == 303
    assert reply.headers["Location"] == "/review?fate=relabelled&first=labels"
    assert labels_of(resources, doubted) == ["deporte"]
    with resources.database.read() as connection:
        assert read_said(connection, "photo")["review:local"][doubted] == {"deporte"}
    after = visitor.get("/review?fate=relabelled&first=labels").text
    assert "trainings learn this one from now on" in after
    assert "Nothing is left to review" in after


def test_a_label_that_is_right_is_kept(visitor: Visitor, resources: Context, doubted: str) -> None:
    number = visitor.get("/review").text.split('name="doubt" value="')[1].split('"')[0]
    assert "fate=confirmed" in visitor.post(
        "/review", {"doubt": number, "answer": "accept"}
    ).headers.get("Location", "")
    assert labels_of(resources, doubted) == ["comida"]
    assert 'name="doubt"' not in visitor.get("/review").text


@pytest.mark.parametrize("doubt", ["x", "9999"])
def test_what_is_no_doubt_is_refused(visitor: Visitor, doubt: str) -> None:
    assert visitor.post("/review", {"doubt": doubt, "answer": "accept"}).status in {400, 404}
